//! Several sequencers, 32 writers, random delays, kills: nothing is lost, nothing comes twice, positions are dense, and of each
//! record the changes come in their order.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{LIMITLESS, changes, settle};
use crate::harness::{
    MASTER_KEY, Person, Process, Response, Shop, TestApp, client, create_database, directory,
    query, query_value,
};

const WRITERS: usize = 32;
const RECORDS: usize = 36;
const REPLICAS: usize = 3;

/// A change that a writer was told of: the record, its version since.
type Acknowledged = (String, i64);

/// What the storm is about.
struct Storm {
    /// Where the replicas listen just now.
    addresses: Mutex<Vec<String>>,
    is_over: AtomicBool,
    acknowledged: Mutex<Vec<Acknowledged>>,
    /// Writes whose answer was lost, or that were refused halfway.
    doubtful: AtomicUsize,
    kills: AtomicUsize,
    cuts: AtomicUsize,
}

impl Storm {
    /// Whether enough has happened to find something.
    fn is_enough(&self) -> bool {
        let written = lock(&self.acknowledged).len();
        let (kills, cuts) = (&self.kills, &self.cuts);
        written > 500 && kills.load(Ordering::Relaxed) > 1 && cuts.load(Ordering::Relaxed) > 5
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number below `end` that nobody foresees.
fn random(end: usize) -> usize {
    let bytes = uuid::Uuid::now_v7().into_bytes();
    let number = bytes[8..]
        .iter()
        .fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    usize::try_from(number % u64::try_from(end).unwrap()).unwrap()
}

/// Lets commits come in another order than the numbers that were drawn, some much later.
const SLOW_COMMITS: &str = "
    create function dawdle() returns trigger language plpgsql as $$
    begin
        perform pg_sleep(case when random() < 0.05 then 0.3 else random() * 0.02 end);
        return null;
    end
    $$;
    create constraint trigger outbox_dawdle after insert on outbox deferrable initially deferred
        for each row execute function dawdle()";

fn start(database: &str, directory: tempfile::TempDir) -> Process {
    Process::start_in(
        directory,
        &[
            ("DATABASE_URL", database),
            ("TOLLGATE_MASTER_KEY", MASTER_KEY),
            ("TOLLGATE_ISSUER", "http://localhost:8080"),
            ("TOLLGATE_LIMITS__ENABLED", "false"),
            ("TOLLGATE_DATABASE__POOL_SIZE", "14"),
        ],
    )
}

/// Writes to random records through random replicas until the storm is over.
async fn write(storm: Arc<Storm>, token: String, records: Arc<Vec<String>>, writer: usize) {
    let client = client();
    let mut count = 0;
    while !storm.is_over.load(Ordering::Relaxed) {
        count += 1;
        let record = &records[random(RECORDS)];
        let address = {
            let addresses = lock(&storm.addresses);
            addresses[random(addresses.len())].clone()
        };
        let send = |method: &str, version: Option<i64>| {
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            let mut request = client
                .request(method, format!("{address}{record}"))
                .timeout(Duration::from_secs(5))
                .bearer_auth(&token);
            if let Some(version) = version {
                request = request.header("if-match", format!("\"{version}\""));
            }
            request
        };
        let id = record.rsplit_once('/').unwrap().1.to_owned();
        let kind = random(10);
        let known = if kind < 2 {
            let Ok(read) = send("GET", None).send().await else {
                continue;
            };
            let version = Response::read(read).await.at("/version").as_i64();
            if version.is_none() {
                continue;
            }
            version
        } else {
            None
        };
        let document = json!({"title": format!("{writer}-{count}")});
        let request = match kind {
            0 | 1 => send("DELETE", known),
            2 | 3 => send("PATCH", None).json(&document),
            _ => send("PUT", None).json(&document),
        };
        match request.send().await {
            Ok(answer) => {
                let answer = Response::read(answer).await;
                match answer.status() {
                    200 | 201 => {
                        let version = answer.at("/version").as_i64().unwrap();
                        lock(&storm.acknowledged).push((id, version));
                    }
                    204 => lock(&storm.acknowledged).push((id, known.unwrap() + 1)),
                    404 | 412 => {}
                    503 => {
                        storm.doubtful.fetch_add(1, Ordering::Relaxed);
                    }
                    other => panic!("{other}: {}", answer.text()),
                }
            }
            // Nobody was there.
            Err(error) if error.is_connect() => {}
            Err(_lost) => {
                storm.doubtful.fetch_add(1, Ordering::Relaxed);
            }
        }
        tokio::time::sleep(Duration::from_micros(u64::try_from(random(5_000)).unwrap())).await;
    }
}

/// Kills replicas until the storm is over.
fn kill(storm: &Storm, database: &str, mut replicas: Vec<Process>) -> Vec<Process> {
    while !storm.is_over.load(Ordering::Relaxed) {
        pause(400);
        let one = random(REPLICAS);
        let place = replicas.remove(one).kill();
        storm.kills.fetch_add(1, Ordering::Relaxed);
        let replica = start(database, place);
        lock(&storm.addresses)[one] = replica.listening();
        replicas.insert(one, replica);
    }
    replicas
}

/// Cuts connections in the middle of what they do until the storm is over: mostly of those who give positions.
fn cut(storm: &Storm, database: &str) {
    while !storm.is_over.load(Ordering::Relaxed) {
        pause(100);
        let kind = ["feed_state|pg_try_advisory|COMMIT", "insert into outbox"]
            [usize::from(random(4) == 0)];
        let cut = query_value(
            database,
            &format!(
                "select count(pg_terminate_backend(pid))::text as value from (
                    select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
                    and state <> 'idle' and query ~ '{kind}' order by random() limit 1) as one_of_them"
            ),
        );
        storm
            .cuts
            .fetch_add(cut.parse().unwrap(), Ordering::Relaxed);
    }
}

fn pause(most: usize) {
    let millis = most / 2 + random(most / 2);
    std::thread::sleep(Duration::from_millis(u64::try_from(millis).unwrap()));
}

/// Follows the feed as somebody does who is told of everything while it happens.
async fn follow(person: Person, mut since: String, storm: Arc<Storm>) -> (Vec<Value>, String) {
    let mut items = Vec::new();
    let mut quiet = 0;
    while quiet < 2 {
        let asked = [("since", since.as_str()), ("wait", "1"), ("limit", "200")];
        let answer = changes(&person, &asked).await;
        if answer.status() == 503 {
            continue;
        }
        let answer = answer.expect(200).json();
        let new = answer["items"].as_array().unwrap();
        if new.is_empty() && storm.is_over.load(Ordering::Relaxed) {
            quiet += 1;
        }
        items.extend(new.iter().cloned());
        since = answer["position"].as_str().unwrap().to_owned();
    }
    (items, since)
}

/// Lists the records again and again while the storm goes on: each list, and where the feed goes on from it.
async fn list(person: Person, path: String, storm: Arc<Storm>) -> Vec<(Vec<Value>, i64)> {
    let mut lists = Vec::new();
    while !storm.is_over.load(Ordering::Relaxed) {
        let list = person.get(&path).await;
        if list.status() == 200 {
            let place = super::number(list.header("feed-position"));
            lists.push((list.at("/items").as_array().unwrap().clone(), place));
        }
    }
    lists
}

/// Goes on from a list by the changes since.
fn go_on(list: Vec<Value>, place: i64, changes: &[Value]) -> Vec<Value> {
    let by_id = |record: Value| (record["id"].as_str().unwrap().to_owned(), record);
    let mut copy: BTreeMap<String, Value> = list.into_iter().map(by_id).collect();
    let since = usize::try_from(place).unwrap();
    for item in &changes[since..] {
        let id = item["id"].as_str().unwrap().to_owned();
        let known = copy.get(&id).and_then(|record| record["version"].as_i64());
        if known.is_some_and(|known| known >= item["version"].as_i64().unwrap()) {
            continue;
        }
        match item["type"].as_str().unwrap() {
            "delete" => drop(copy.remove(&id)),
            _ => drop(copy.insert(id, item["record"].clone())),
        }
    }
    copy.into_values().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_and_nothing_comes_twice_in_a_storm() {
    let database = create_database();
    let app = TestApp::on_database(&database, LIMITLESS).unwrap();
    let shop = Shop::open(&app, |declaration| {
        for rule in ["list", "read", "update", "delete"] {
            declaration["rules"][rule] = json!("true");
        }
    })
    .await;
    let ada = app.person().await;
    let begin = super::here(&ada).await;
    query(&database, SLOW_COMMITS);
    let replicas: Vec<_> = (0..REPLICAS)
        .map(|_| start(&database, directory()))
        .collect();
    let storm = Arc::new(Storm {
        addresses: Mutex::new(replicas.iter().map(Process::listening).collect()),
        is_over: AtomicBool::new(false),
        acknowledged: Mutex::default(),
        doubtful: AtomicUsize::new(0),
        kills: AtomicUsize::new(0),
        cuts: AtomicUsize::new(0),
    });
    let records = (0..RECORDS).map(|_| shop.record(&json!(uuid::Uuid::now_v7().to_string())));
    let records = Arc::new(records.collect::<Vec<_>>());
    let followers: Vec<_> = (0..2)
        .map(|_| tokio::spawn(follow(ada.clone(), begin.clone(), Arc::clone(&storm))))
        .collect();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let token = ada.access_token().to_owned();
            tokio::spawn(write(
                Arc::clone(&storm),
                token,
                Arc::clone(&records),
                writer,
            ))
        })
        .collect();
    let path = format!("{}?limit=200", shop.records());
    let listing = tokio::spawn(list(ada.clone(), path.clone(), Arc::clone(&storm)));
    let killing = {
        let (storm, database) = (Arc::clone(&storm), database.clone());
        std::thread::spawn(move || kill(&storm, &database, replicas))
    };
    let cutting = {
        let (storm, database) = (Arc::clone(&storm), database.clone());
        std::thread::spawn(move || cut(&storm, &database))
    };
    let seconds = std::env::var("TOLLGATE_TEST_STORM").map_or(6, |text| text.parse().unwrap());
    let (begun, patience) = (Instant::now(), Duration::from_secs(seconds + 60));
    while begun.elapsed() < Duration::from_secs(seconds) || !storm.is_enough() {
        assert!(begun.elapsed() < patience, "the machine has too much to do");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    storm.is_over.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    let replicas = tokio::task::spawn_blocking(|| killing.join().unwrap())
        .await
        .unwrap();
    cutting.join().unwrap();
    settle(&database);
    let mut live = Vec::new();
    for follower in followers {
        live.push(follower.await.unwrap());
    }
    let (kills, cuts) = (
        storm.kills.load(Ordering::Relaxed),
        storm.cuts.load(Ordering::Relaxed),
    );
    let doubtful = storm.doubtful.load(Ordering::Relaxed);
    let acknowledged = std::mem::take(&mut *lock(&storm.acknowledged));
    println!(
        "{} acknowledged, {doubtful} doubtful, {kills} replicas killed, {cuts} connections cut",
        acknowledged.len()
    );
    check_table(&database, &acknowledged, doubtful);
    let (all, end) = super::all(&ada, &begin, &[("limit", "200")]).await;
    check_told(&all);
    for (items, place) in live {
        assert_eq!(place, end);
        assert_eq!(items.len(), all.len());
        assert!(
            items == all,
            "whoever follows is told the same as who comes later"
        );
    }
    for replica in &replicas {
        check_replica(replica, &ada, &begin, &all).await;
    }
    // A copy that begins with nothing, or with any list, and goes on by the changes since, is the list.
    let listed = ada.get(&path).await.expect(200);
    let listed: Vec<Value> = listed.at("/items").as_array().unwrap().clone();
    assert_eq!(go_on(Vec::new(), 0, &all), listed);
    let lists = listing.await.unwrap();
    println!("{} lists", lists.len());
    assert!(lists.len() > 10);
    for (list, place) in lists {
        check_list(&list, place, &all);
        assert_eq!(go_on(list, place, &all), listed, "from {place}");
    }
}

/// Checks that a list holds every change up to its place; later ones it may hold, too.
fn check_list(list: &[Value], place: i64, changes: &[Value]) {
    let number = |change: &Value| change["version"].as_i64().unwrap();
    let (before, after) = changes.split_at(usize::try_from(place).unwrap());
    let newest: HashMap<&str, &Value> = before
        .iter()
        .map(|change| (change["id"].as_str().unwrap(), change))
        .collect();
    for (id, change) in newest {
        let listed = list.iter().find(|record| record["id"] == id);
        let is_later = |later: &Value| later["id"] == id && later["type"] == "delete";
        match listed {
            Some(record) if change["type"] == "delete" => assert!(number(record) > number(change)),
            Some(record) => assert!(number(record) >= number(change), "{change} at {place}"),
            None => assert!(
                change["type"] == "delete" || after.iter().any(is_later),
                "{change} at {place}"
            ),
        }
    }
}

/// Checks what is stored.
fn check_table(database: &str, acknowledged: &[Acknowledged], doubtful: usize) {
    let value = |sql: &str| query_value(database, sql);
    assert_eq!(value("select count(*)::text as value from outbox"), "0");
    let dense = "select (count(*) = max(position) and count(distinct position) = count(*) and min(position) = 1)::text as value from feed";
    assert_eq!(value(dense), "true", "positions are dense");
    let head =
        "select (position = (select max(position) from feed))::text as value from feed_state";
    assert_eq!(value(head), "true");
    let twice = "select count(*)::text as value from (select from feed group by record_id, version having count(*) > 1) as twice";
    assert_eq!(value(twice), "0", "nothing comes twice");
    // A record that is made anew begins with a version that is larger than all it had.
    let torn = "select count(*)::text as value from (
            select version, data, old_version, old_data, old_updated_at, lag(version) over told as last_version,
                lag(data) over told as last_data, lag(updated_at) over told as last_updated_at, row_number() over told as number
            from feed window told as (partition by record_id order by position)) as changes
        where last_version >= version or old_data is distinct from last_data or old_updated_at is distinct from last_updated_at
            or (old_data is not null and (old_version <> last_version or version <> old_version + 1))
            or (number = 1 and old_data is not null)";
    assert_eq!(
        value(torn),
        "0",
        "each change begins where the one before ended"
    );
    let stored: HashMap<Acknowledged, ()> = value(
        "select coalesce(json_agg(json_build_array(record_id, version)), '[]')::text as value from feed",
    )
    .parse::<Value>()
    .unwrap()
    .as_array()
    .unwrap()
    .iter()
    .map(|pair| {
        let id = pair[0].as_str().unwrap().to_owned();
        ((id, pair[1].as_i64().unwrap()), ())
    })
    .collect();
    let lost: Vec<_> = acknowledged
        .iter()
        .filter(|one| !stored.contains_key(*one))
        .collect();
    assert!(
        lost.is_empty(),
        "{} are lost: {:?}",
        lost.len(),
        lost.first()
    );
    let surplus = stored.len() - acknowledged.len();
    assert!(
        surplus <= doubtful,
        "{surplus} that nobody wrote, of {doubtful}"
    );
}

/// Checks what a reader was told.
fn check_told(items: &[Value]) {
    let mut versions: HashMap<&str, i64> = HashMap::new();
    for (index, item) in items.iter().enumerate() {
        let position = super::number(item["position"].as_str().unwrap());
        assert_eq!(position, i64::try_from(index).unwrap() + 1);
        let (id, version) = (
            item["id"].as_str().unwrap(),
            item["version"].as_i64().unwrap(),
        );
        let before = versions.insert(id, version);
        assert!(
            before.is_none_or(|before| before < version),
            "{item} after {before:?}"
        );
    }
}

/// Checks that another replica tells the same.
async fn check_replica(replica: &Process, person: &Person, begin: &str, all: &[Value]) {
    let (mut items, mut since) = (Vec::new(), begin.to_owned());
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < deadline);
        let request = client()
            .get(format!("{}/v1/changes", replica.listening()))
            .query(&[("since", since.as_str()), ("limit", "200")])
            .bearer_auth(person.access_token());
        let answer = Response::read(request.send().await.unwrap()).await;
        if answer.status() == 503 {
            continue;
        }
        let answer = answer.expect(200).json();
        items.extend(answer["items"].as_array().unwrap().iter().cloned());
        since = answer["position"].as_str().unwrap().to_owned();
        if answer["more"] == false {
            break;
        }
    }
    assert!(items == all, "every replica tells the same");
}
