//! `schema.rs` is what the migrations make, and every constraint has a name of ours.

use std::collections::BTreeMap;

use crate::harness::{create_database, query, query_value};

/// Reads the `table!` blocks: table, then column to type.
fn declared() -> BTreeMap<String, BTreeMap<String, String>> {
    let mut tables = BTreeMap::new();
    for block in include_str!("../../src/schema.rs")
        .split("diesel::table! {")
        .skip(1)
    {
        let block = block.split("\n}").next().unwrap();
        let name = block.split_whitespace().next().unwrap().to_owned();
        let mut columns = BTreeMap::new();
        let mut stored_name = None;
        for line in block.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("#[sql_name = \"") {
                stored_name = rest.split('"').next();
            } else if let Some((column, kind)) = line.trim_end_matches(',').split_once(" -> ") {
                columns.insert(
                    stored_name.take().unwrap_or(column).to_owned(),
                    kind.to_owned(),
                );
            }
        }
        tables.insert(name, columns);
    }
    tables
}

fn diesel_type(kind: &str, nullable: bool) -> String {
    let name = match kind {
        "uuid" => "Uuid",
        "text" => "Text",
        "bool" => "Bool",
        "int4" => "Int4",
        "int8" => "Int8",
        "timestamptz" => "Timestamptz",
        "jsonb" => "Jsonb",
        "bytea" => "Bytea",
        "_text" => "Array<Text>",
        other => panic!("{other} has no name yet"),
    };
    if nullable {
        format!("Nullable<{name}>")
    } else {
        name.to_owned()
    }
}

#[test]
fn schema_rs_is_what_the_migrations_make() {
    let database = create_database();
    let stored = query_value(
        &database,
        "select json_object_agg(table_name, columns)::text as value from (
            select table_name, json_object_agg(column_name, json_build_array(udt_name, is_nullable = 'YES')) as columns
            from information_schema.columns
            where table_schema = 'public' and table_name <> '__diesel_schema_migrations' group by table_name
         ) as tables",
    );
    let stored: BTreeMap<String, BTreeMap<String, (String, bool)>> =
        serde_json::from_str(&stored).unwrap();
    let stored: BTreeMap<_, BTreeMap<_, _>> = stored
        .into_iter()
        .map(|(table, columns)| {
            let columns = columns
                .into_iter()
                .map(|(column, (kind, nullable))| (column, diesel_type(&kind, nullable)));
            (table, columns.collect())
        })
        .collect();
    assert_eq!(declared(), stored);
}

#[test]
fn every_constraint_and_index_is_named_after_its_table() {
    let database = create_database();
    let unnamed = query_value(
        &database,
        "select coalesce(string_agg(conrelid::regclass || '.' || conname, ', '), 'none') as value from pg_constraint
         where connamespace = 'public'::regnamespace and conrelid::regclass::text <> '__diesel_schema_migrations'
           and not starts_with(conname, conrelid::regclass::text)",
    );
    assert_eq!(unnamed, "none");
}

#[test]
fn migrations_go_down_and_up_again() {
    let database = create_database();
    let folders = std::fs::read_dir("migrations")
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = folders.collect();
    folders.sort();
    for folder in folders.iter().rev() {
        query(
            &database,
            &std::fs::read_to_string(folder.join("down.sql")).unwrap(),
        );
    }
    let left = "select count(*)::text as value from information_schema.tables where table_schema = 'public'";
    assert_eq!(query_value(&database, left), "1", "only diesel's own table");
    for folder in &folders {
        query(
            &database,
            &std::fs::read_to_string(folder.join("up.sql")).unwrap(),
        );
    }
}
