//! The direction of the house: who may know whom, read from the sources.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Rooms below everything, which know nobody but each other.
const GROUND: &[&str] = &[
    "clock",
    "config",
    "db",
    "error",
    "form",
    "input",
    "network",
    "patch",
    "precondition",
    "schema",
    "scope",
    "secret",
    "strict_json",
    "timestamp",
];

/// Which rooms a room may know besides the ground.
fn allowed(room: &str) -> &'static [&'static str] {
    match room {
        "config" => &["keys", "scope"],
        "clock" | "db" | "schema" | "scope" | "strict_json" | "timestamp" | "error" | "audit"
        | "embedded" | "telemetry" | "revocation" | "idempotency" | "input" | "network" => &[],
        "patch" => &["input", "strict_json"],
        "precondition" => &[],
        "form" | "outbound" => &[],
        "jose" => &[],
        "secret" => &[],
        "clients" => &["audit", "jose", "revocation", "tokens"],
        "rules" => &[],
        "collections" => &["audit", "rules"],
        "channels" => &["collections", "idempotency", "rules"],
        "records" => &["collections", "idempotency", "rules"],
        "feed" => &["collections", "records", "rules"],
        // Whoever holds a socket is a handler for as long as it lasts.
        "realtime" => &[
            "app",
            "channels",
            "collections",
            "feed",
            "http",
            "keys",
            "operations",
            "records",
            "rules",
            "tokens",
        ],
        "oauth" => &[
            "audit",
            "clients",
            "jose",
            "keys",
            "outbound",
            "revocation",
            "sessions",
            "tokens",
            "users",
        ],
        "upstream" => &["audit", "jose", "outbound", "sessions", "users"],
        "pages" => &[
            "app", "audit", "clients", "http", "oauth", "sessions", "tokens", "upstream", "users",
        ],
        "keys" => &["audit", "revocation"],
        "tokens" => &["keys", "revocation"],
        "roles" => &["audit", "idempotency"],
        "users" => &["audit", "idempotency", "revocation", "roles"],
        "sessions" => &[
            "audit",
            "clients",
            "keys",
            "revocation",
            "roles",
            "tokens",
            "users",
        ],
        "http" => &[
            "audit",
            "clients",
            "idempotency",
            "keys",
            "telemetry",
            "tokens",
        ],
        "docs" => &[
            "audit",
            "channels",
            "clients",
            "collections",
            "feed",
            "realtime",
            "records",
            "oauth",
            "pages",
            "http",
            "keys",
            "operations",
            "roles",
            "rules",
            "sessions",
            "tokens",
            "users",
        ],
        "operations" => &["keys", "tokens"],
        "jobs" => &[
            "channels",
            "clients",
            "collections",
            "feed",
            "oauth",
            "audit",
            "idempotency",
            "operations",
            "realtime",
            "revocation",
            "sessions",
            "tokens",
            "upstream",
        ],
        "start" => &[
            "audit", "clients", "embedded", "keys", "roles", "tokens", "users",
        ],
        "app" => &[
            "audit",
            "channels",
            "clients",
            "collections",
            "feed",
            "realtime",
            "records",
            "oauth",
            "outbound",
            "pages",
            "docs",
            "http",
            "keys",
            "operations",
            "roles",
            "sessions",
            "site",
            "tokens",
            "upstream",
            "users",
        ],
        "cli" => &[
            "app",
            "clients",
            "collections",
            "feed",
            "audit",
            "docs",
            "embedded",
            "http",
            "jobs",
            "keys",
            "oauth",
            "records",
            "roles",
            "sessions",
            "start",
            "telemetry",
            "tokens",
            "users",
        ],
        _ => &[],
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every source file: its path below `src`, its room, its text without tests.
fn files() -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    sources(Path::new("src"), &mut found);
    found.sort();
    found
        .into_iter()
        .map(|path| {
            let name = path
                .strip_prefix("src")
                .unwrap()
                .to_string_lossy()
                .into_owned();
            let room = name
                .split('/')
                .next()
                .unwrap()
                .trim_end_matches(".rs")
                .to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap().to_owned();
            (name, room, code)
        })
        .collect()
}

/// The rooms that a text names after `crate::`, also inside braces.
fn rooms_named(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for rest in code.split("crate::").skip(1) {
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            for character in list.chars() {
                match character {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => rooms.push(std::mem::take(&mut word)),
                    _ if depth == 0 => word.push(character),
                    _ => {}
                }
            }
            rooms.push(word);
        } else {
            rooms.push(rest.to_owned());
        }
    }
    rooms
        .into_iter()
        .map(|path| {
            path.trim()
                .chars()
                .take_while(|character| character.is_alphanumeric() || *character == '_')
                .collect()
        })
        .filter(|room: &String| !room.is_empty())
        .collect()
}

#[test]
fn rooms_know_only_those_below_them() {
    let mut bad = Vec::new();
    for (name, room, code) in files() {
        if matches!(room.as_str(), "main" | "lib") {
            continue;
        }
        let speaks_http = name.ends_with("routes.rs") || name == "oauth/error.rs";
        for known in rooms_named(&code) {
            let ground = GROUND.contains(&known.as_str()) && !GROUND.contains(&room.as_str());
            let below = known == room || ground || allowed(&room).contains(&known.as_str());
            let ground_pair =
                GROUND.contains(&room.as_str()) && matches!(known.as_str(), "error" | "schema");
            // Handlers see the state, the extractors and, in the rooms below, everything.
            let handler = speaks_http && matches!(known.as_str(), "app" | "http");
            // The extractors and the middleware see the state that actix hands them.
            let state = room == "http" && known == "app";
            if !(below || ground_pair || handler || state) {
                bad.push(format!("{name} -> {known}"));
            }
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn only_the_edges_speak_http() {
    let speakers: Vec<_> = files()
        .into_iter()
        .filter(|(name, room, code)| {
            let edge = name.ends_with("routes.rs")
                || matches!(room.as_str(), "http" | "app" | "pages")
                || matches!(
                    name.as_str(),
                    "oauth/error.rs"
                        | "realtime/wire.rs"
                        | "realtime/frames.rs"
                        | "telemetry/spans.rs"
                );
            // The command line starts the server's runtime.
            let starter = name == "cli/serve.rs";
            let speaks = code.contains("actix_web") || code.contains("actix_http");
            speaks && !edge && !starter
        })
        .map(|(name, ..)| name)
        .collect();
    assert!(speakers.is_empty(), "{speakers:?}");
}

#[test]
fn only_stores_name_tables() {
    let named: Vec<_> = files()
        .into_iter()
        .filter(|(name, room, code)| {
            let store = name.ends_with("store.rs")
                || matches!(room.as_str(), "clock" | "db" | "schema" | "lib");
            // The throttle is one table and one statement; its store is itself.
            let own_store = name == "sessions/throttle.rs";
            rooms_named(code).contains(&"schema".to_owned()) && !store && !own_store
        })
        .map(|(name, ..)| name)
        .collect();
    assert!(named.is_empty(), "{named:?}");
}

#[test]
fn store_functions_on_accounts_take_the_owner_or_say_that_they_do_not() {
    let mut bad = Vec::new();
    for (name, _, code) in files() {
        let of_accounts = [
            "users/store.rs",
            "sessions/store.rs",
            "sessions/end_store.rs",
            "sessions/page_store.rs",
        ];
        if !of_accounts.contains(&name.as_str()) {
            continue;
        }
        for rest in code.split("fn ").skip(1) {
            let function: String = rest
                .chars()
                .take_while(|character| character.is_alphanumeric() || *character == '_')
                .collect();
            let flat: String = rest
                .split(')')
                .next()
                .unwrap()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ");
            if !flat.contains("conn: &mut PgConnection") {
                continue;
            }
            let owned = flat.contains("conn: &mut PgConnection, owner: Uuid");
            // A new row names its owner itself; refreshing is bound to the user of the verified token.
            let exempt = matches!(
                (name.as_str(), function.as_str()),
                ("users/store.rs", "insert")
            );
            if !owned && !function.ends_with("_any_owner") && !exempt {
                bad.push(format!("{name}: {function}"));
            }
        }
    }
    assert!(bad.is_empty(), "{bad:?}");
}

#[test]
fn files_stay_small() {
    let long: BTreeMap<_, _> = files()
        .into_iter()
        .map(|(name, ..)| {
            let lines = std::fs::read_to_string(Path::new("src").join(&name))
                .unwrap()
                .lines()
                .count();
            (name, lines)
        })
        // What is written after the database is as long as that is.
        .filter(|(name, lines)| *lines > 400 && name != "schema.rs")
        .collect();
    assert!(long.is_empty(), "split by endpoint, not by layer: {long:?}");
}
