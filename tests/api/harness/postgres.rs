//! One private Postgres for all tests of the process, and a new database for every server.

use std::sync::{LazyLock, mpsc};

use diesel::{
    Connection, PgConnection, RunQueryDsl, connection::SimpleConnection, sql_query, sql_types::Text,
};
use tollgate::embedded::{PrivatePostgres, Settings};

/// The address of the maintenance database; the cluster lives as long as the process.
static CLUSTER: LazyLock<String> = LazyLock::new(|| {
    let (ready, started) = mpsc::channel();
    // The cluster ends with the thread that starts it, so that thread must never end.
    std::thread::spawn(move || {
        sweep();
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir().unwrap();
        super::process::let_everyone_in(directory.path());
        let postgres = PrivatePostgres::start(&Settings {
            data_dir: directory.path().to_owned(),
            guard: env!("CARGO_BIN_EXE_tollgate").into(),
            bin_dir: None,
        })
        .unwrap();
        ready.send(postgres.url().to_owned()).unwrap();
        loop {
            std::thread::park();
        }
    });
    let url = started.recv().unwrap();
    make_template(&url);
    url
});

const PREFIX: &str = "tollgate-tests-";

/// After this long a Postgres of a test run that goes on holds its lock.
const SETTLED: std::time::Duration = std::time::Duration::from_secs(60);

/// Deletes what earlier processes have left, of which nobody holds the lock any more: they end without a last word.
fn sweep() {
    for entry in std::fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        let path = entry.path();
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let Ok(lock) = std::fs::File::open(path.join("postgres.lock")) else {
            continue;
        };
        // One that begins just now has not locked it yet.
        let age = lock.metadata().and_then(|metadata| metadata.modified());
        let is_old = age.is_ok_and(|made| made.elapsed().is_ok_and(|age| age > SETTLED));
        if is_ours && is_old && lock.try_lock().is_ok() {
            // Somebody else may be sweeping, too.
            let _gone = std::fs::remove_dir_all(&path);
        }
    }
}

const TEMPLATE: &str = "tollgate_template";

fn make_template(url: &str) {
    let mut conn = PgConnection::establish(url).unwrap();
    conn.batch_execute(&format!("create database {TEMPLATE}"))
        .unwrap();
    let mut template = PgConnection::establish(&sibling(url, TEMPLATE)).unwrap();
    tollgate::db::prepare(&mut template, |_conn| Ok(())).unwrap();
}

fn sibling(url: &str, name: &str) -> String {
    url.replacen("/tollgate?", &format!("/{name}?"), 1)
}

/// Makes a migrated database and answers its address.
pub fn create_database() -> String {
    create(&format!("template {TEMPLATE}"))
}

/// Makes an empty database and answers its address.
pub fn create_empty_database() -> String {
    create("")
}

/// The same in which texts are sorted as people sort them, unless a statement says otherwise.
pub fn create_collated_database() -> String {
    create("template template0 locale_provider icu icu_locale 'en-US'")
}

fn create(options: &str) -> String {
    let name = format!("t{}", uuid::Uuid::now_v7().simple());
    let mut conn = PgConnection::establish(&CLUSTER).unwrap();
    // Two databases can't be made from one template at the same time.
    sql_query("select pg_advisory_lock(1)")
        .execute(&mut conn)
        .unwrap();
    conn.batch_execute(&format!("create database {name} {options}"))
        .unwrap();
    sibling(&CLUSTER, &name)
}

/// Runs SQL that answers nothing.
pub fn query(database: &str, sql: &str) {
    PgConnection::establish(database)
        .unwrap()
        .batch_execute(sql)
        .unwrap();
}

/// Runs SQL that answers one text, `select … as value`.
pub fn query_value(database: &str, sql: &str) -> String {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        value: String,
    }
    let mut conn = PgConnection::establish(database).unwrap();
    sql_query(sql).get_result::<Row>(&mut conn).unwrap().value
}

/// Cuts every connection to the database and, when `forbidden`, lets nobody back in.
pub fn drop_connections(database: &str, forbidden: bool) {
    let name = database
        .rsplit_once('/')
        .unwrap()
        .1
        .split('?')
        .next()
        .unwrap();
    let name = database
        .split_once("@/")
        .map_or(name, |(_, rest)| rest.split('?').next().unwrap());
    query(
        &CLUSTER,
        &format!("alter database {name} allow_connections {}", !forbidden),
    );
    let of_ours = format!("from pg_stat_activity where datname = '{name}'");
    let cut = format!("select count(pg_terminate_backend(pid))::text as value {of_ours}");
    // Whoever was about to come in when the door closed may be in by now.
    let mut empty = 0;
    while query_value(&CLUSTER, &cut) != "0" || {
        empty += 1;
        forbidden && empty < 5
    } {
        if !forbidden {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
