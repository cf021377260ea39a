//! Typical rules and filters find their index.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::{Value, json};
use tollgate::rules::{Facts, Kind, Members, Predicate, Rule, Vocabulary, accessor};

use super::table::Table;

const RECORDS: &str = "insert into records (id, owner, version, created_at, updated_at, data)
    select lpad(to_hex(n), 32, '0')::uuid, lpad(to_hex(n % 5000), 32, '0')::uuid, 1, moment, moment, jsonb_build_object(
        'price', n % 10000, 'status', 'status ' || n % 1000, 'name', 'name ' || n, 'paid', n % 500 = 0,
        'due', to_char(moment at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'),
        'tags', jsonb_build_array('tag ' || n % 2000, 'all'), 'team', jsonb_build_object('id', 'team ' || n % 3000))
    from generate_series(1, 50000) as n, lateral (select '2026-01-01T00:00:00Z'::timestamptz + n * interval '1 minute') as at(moment)";

fn document() -> Members {
    let tags = Kind::List(Box::new(Kind::String));
    Members::closed([
        ("price", Kind::Number),
        ("status", Kind::String),
        ("name", Kind::String),
        ("paid", Kind::Boolean),
        ("due", Kind::Timestamp),
        ("tags", tags),
        (
            "team",
            Kind::Object(Members::closed([("id", Kind::String)])),
        ),
    ])
}

/// Fifty thousand records, and an index on each member.
fn table() -> Table {
    let mut table = Table::new("indexes");
    let mut run = |sql: &str| diesel::sql_query(sql).execute(&mut table.conn).unwrap();
    run(RECORDS);
    let members: [(&[&str], Kind); 6] = [
        (&["price"], Kind::Number),
        (&["status"], Kind::String),
        (&["name"], Kind::String),
        (&["paid"], Kind::Boolean),
        (&["due"], Kind::Timestamp),
        (&["team", "id"], Kind::String),
    ];
    for (path, kind) in members {
        let path: Vec<_> = path.iter().map(|name| (*name).to_owned()).collect();
        let accessor = accessor(&path, &kind).unwrap();
        run(&format!(
            "create index by_{} on records (({accessor}))",
            path.join("_")
        ));
    }
    let tags = accessor(&["tags".to_owned()], &Kind::List(Box::new(Kind::String))).unwrap();
    run(&format!(
        "create index by_tags on records using gin (({tags}) jsonb_path_ops)"
    ));
    for column in ["id", "owner", "created_at"] {
        run(&format!("create index by_{column} on records ({column})"));
    }
    run("analyze records");
    table
}

fn plan(table: &mut Table, rule: &Rule, auth: &Value) -> String {
    let now: DateTime<Utc> = "2026-01-01T06:00:00Z".parse().unwrap();
    let facts = Facts {
        auth,
        input: None,
        now,
    };
    match rule.predicate(&facts, "r") {
        Predicate::Sql(condition) => table.explain(&condition),
        decided => panic!("{decided:?}"),
    }
}

#[test]
fn filters_use_indexes_whatever_the_plan_is_made_for() {
    let mut table = table();
    for mode in ["force_custom_plan", "force_generic_plan"] {
        let set = format!("set plan_cache_mode = {mode}");
        diesel::sql_query(set).execute(&mut table.conn).unwrap();
        for (filter, index) in [
            ("price == 10", "by_price"),
            (
                "price >= 10 && price < 12 && name.contains('1')",
                "by_price",
            ),
            ("!(price < 9990 || paid)", "by_price"),
            ("price in [1, 2.0, 3]", "by_price"),
            ("status == 'status 7'", "by_status"),
            ("'status 7' == status && price > 5", "by_status"),
            ("status in ['status 7', 'status 8']", "by_status"),
            ("name.startsWith('name 123')", "by_name"),
            ("due < now - duration('1h')", "by_due"),
            ("due == timestamp('2026-01-01T01:00:00Z')", "by_due"),
            ("due in [timestamp('2026-01-01T01:00:00Z'), now]", "by_due"),
            ("created_at < now", "by_created_at"),
            ("paid", "by_paid"),
            ("paid == true && price < 5000", "by_paid"),
            ("team.id == 'team 5'", "by_team_id"),
            ("'tag 12' in tags", "by_tags"),
            (
                "paid == true && id == '00000000-0000-0000-0000-000000000007'",
                "by_id",
            ),
            (
                "owner in ['00000000-0000-0000-0000-000000000007']",
                "by_owner",
            ),
        ] {
            // A plan for any value takes each side of a range for a third of the table.
            if mode == "force_generic_plan" && (filter.contains("9990") || filter.contains("now")) {
                continue;
            }
            let rule = Rule::parse(filter, &Vocabulary::of_filter(document())).unwrap();
            let plan = plan(&mut table, &rule, &Value::Null);
            assert!(plan.contains(index), "{mode}: {filter}\n{plan}");
        }
    }
}

#[test]
fn rules_use_indexes_for_who_asks() {
    let mut table = table();
    let user = json!({"sub": "00000000-0000-0000-0000-000000000007", "roles": ["user"], "teams": ["team 1", "team 2"]});
    for (rule, index) in [
        (
            "record.owner == auth.sub || 'staff' in auth.roles",
            "by_owner",
        ),
        (
            "!('staff' in auth.roles) && auth.sub == record.owner && record.price > 3",
            "by_owner",
        ),
        (
            "record.owner == auth.sub || record.team.id in auth.teams",
            "by_team_id",
        ),
        (
            "auth.teams.exists(team, record.team.id == team)",
            "by_team_id",
        ),
        ("auth.sub in [record.owner, record.team.id]", "by_owner"),
    ] {
        let claims = Members::open::<&str>([]);
        let vocabulary = Vocabulary::of_rule(claims).with_record(document());
        let parsed = Rule::parse(rule, &vocabulary).unwrap();
        let plan = plan(&mut table, &parsed, &user);
        assert!(plan.contains(index), "{rule}\n{plan}");
    }
}
