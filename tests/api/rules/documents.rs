//! Documents and tokens with everything in them that has two readings.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tollgate::rules::{Facts, Kind, Members, Record, Vocabulary};
use uuid::Uuid;

use super::draw::Draw;

pub const TEXTS: [&str; 18] = [
    "",
    "a",
    "A",
    "b",
    "ab",
    "aB",
    "Z",
    "z",
    "é",
    "ß",
    "a%",
    "a_b",
    "a\\b",
    "%",
    "10",
    "😀",
    "\u{ffff}",
    "2026-01-01T00:00:00.000Z",
];

pub const NUMBERS: [&str; 18] = [
    "0",
    "1",
    "1.0",
    "-1",
    "-0.0",
    "0.1",
    "0.3",
    "0.2",
    "1e2",
    "100",
    "10",
    "9007199254740993",
    "9007199254740992",
    "1e40",
    "1e-40",
    "0.1000000000000000000000000000000000001",
    "2",
    "3",
];

pub const MOMENTS: [&str; 8] = [
    "2026-01-01T00:00:00.000Z",
    "2026-01-01T00:00:00.001Z",
    "2026-01-01T00:00:00.123Z",
    "2025-12-31T23:00:00.000Z",
    "2024-02-29T12:00:00.000Z",
    "9999-12-31T23:59:59.999Z",
    "0001-01-01T00:00:00.000Z",
    "1969-12-31T23:59:59.999Z",
];

/// Texts that look like timestamps, to some.
const NO_MOMENTS: [&str; 12] = [
    "2026-01-01T00:00:00Z",
    "2026-01-01T01:00:00.000+01:00",
    "2023-02-29T00:00:00.000Z",
    "2026-04-31T00:00:00.000Z",
    "0000-01-01T00:00:00.000Z",
    "2016-12-31T23:59:60.000Z",
    "2026-01-01T24:00:00.000Z",
    "2026-01-01 00:00:00.000Z",
    "infinity",
    "now",
    "٢٠٢٦-01-01T00:00:00.000Z",
    "2026-01-01T00:00:00.000Z\n",
];

pub const IDS: [&str; 4] = [
    "00000000-0000-7000-8000-000000000001",
    "0197c2a4-0000-7000-8000-00000000000a",
    "0197c2a4-0000-7000-8000-00000000000b",
    "ffffffff-ffff-7fff-bfff-ffffffffffff",
];

/// A stored record.
#[derive(Clone, Debug)]
pub struct Stored {
    pub id: Uuid,
    pub owner: Option<Uuid>,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub data: Value,
}

impl Stored {
    pub fn record(&self) -> Record<'_> {
        Record {
            id: self.id,
            owner: self.owner,
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
            data: &self.data,
        }
    }
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Asker {
    pub auth: Value,
    pub input: Value,
    pub now: DateTime<Utc>,
}

impl Asker {
    pub fn facts(&self) -> Facts<'_> {
        Facts {
            auth: &self.auth,
            input: Some(&self.input),
            now: self.now,
        }
    }
}

pub fn number(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Some value, of any type.
fn anything(draw: &mut Draw, depth: usize) -> Value {
    match draw.below(if depth == 0 { 7 } else { 9 }) {
        0 => Value::Null,
        1 => json!(draw.percent(50)),
        2 | 3 => number(draw.one(&NUMBERS)),
        4 => json!(draw.one(&TEXTS)),
        5 => json!(draw.one(&MOMENTS)),
        6 => json!(draw.one(&IDS)),
        7 => list(draw, |draw| anything(draw, depth - 1)),
        _ => json!({"s": anything(draw, depth - 1), "n": anything(draw, depth - 1)}),
    }
}

fn list(draw: &mut Draw, mut item: impl FnMut(&mut Draw) -> Value) -> Value {
    let length = draw.below(4);
    (0..length).map(|_| item(draw)).collect()
}

/// A value of a kind, mostly.
fn of_kind(draw: &mut Draw, kind: &str) -> Option<Value> {
    match draw.below(100) {
        0..12 => return None,
        12..22 => return Some(Value::Null),
        22..34 => return Some(anything(draw, 2)),
        _ => {}
    }
    let scalar = |draw: &mut Draw, kind: &str| match kind {
        "string" => json!(draw.one(&TEXTS)),
        "number" => number(draw.one(&NUMBERS)),
        "boolean" => json!(draw.percent(50)),
        "uuid" => json!(draw.one(&IDS)),
        "moment" if draw.percent(25) => json!(draw.one(&NO_MOMENTS)),
        "moment" => json!(draw.one(&MOMENTS)),
        _ => anything(draw, 2),
    };
    Some(match kind.strip_suffix("s") {
        Some(item) => list(draw, |draw| match draw.below(12) {
            0 => Value::Null,
            1 => anything(draw, 1),
            _ => scalar(draw, item),
        }),
        None => scalar(draw, kind),
    })
}

fn object(draw: &mut Draw, members: &[(&str, &str)]) -> Value {
    let mut object = serde_json::Map::new();
    for (name, kind) in members {
        if let Some(value) = of_kind(draw, kind) {
            object.insert((*name).to_owned(), value);
        }
    }
    Value::Object(object)
}

const SCALARS: [(&str, &str); 6] = [
    ("s", "string"),
    ("n", "number"),
    ("at", "moment"),
    ("b", "boolean"),
    ("any", "any"),
    ("tags", "strings"),
];

pub fn document(draw: &mut Draw) -> Value {
    let mut document = object(
        draw,
        &[
            ("s", "string"),
            ("t", "string"),
            ("n", "number"),
            ("m", "number"),
            ("b", "boolean"),
            ("at", "moment"),
            ("due", "moment"),
            ("u", "uuid"),
            ("tags", "strings"),
            ("nums", "numbers"),
            ("times", "moments"),
            ("any", "any"),
            ("other", "any"),
            ("odd name", "string"),
        ],
    );
    let nested = match draw.below(8) {
        0 => None,
        1 => Some(anything(draw, 1)),
        _ => {
            let mut outer = object(draw, &SCALARS);
            let inner = if draw.percent(20) {
                anything(draw, 1)
            } else {
                object(draw, &SCALARS)
            };
            outer.as_object_mut().unwrap().insert("p".to_owned(), inner);
            Some(outer)
        }
    };
    let items = match draw.below(8) {
        0 => None,
        1 => Some(anything(draw, 1)),
        _ => Some(list(draw, |draw| {
            if draw.percent(10) {
                anything(draw, 1)
            } else {
                object(draw, &SCALARS)
            }
        })),
    };
    let members = document.as_object_mut().unwrap();
    members.extend(nested.map(|nested| ("o".to_owned(), nested)));
    members.extend(items.map(|items| ("items".to_owned(), items)));
    document
}

/// A document in which no member has the type that its name promises, unless by chance.
fn wild(draw: &mut Draw) -> Value {
    let names = [
        "s", "t", "n", "m", "b", "at", "due", "u", "tags", "nums", "times", "any", "other",
        "odd name", "o", "items",
    ];
    let members = names.map(|name| (name.to_owned(), anything(draw, 3)));
    Value::Object(members.into_iter().collect())
}

pub fn stored(draw: &mut Draw, is_wild: bool) -> Stored {
    let moment = |draw: &mut Draw| {
        let moment: DateTime<Utc> = draw.one(&MOMENTS[..5]).parse().unwrap();
        moment + TimeDelta::microseconds(if draw.percent(30) { 456 } else { 0 })
    };
    Stored {
        id: draw.one(&IDS).parse().unwrap(),
        owner: (!draw.percent(25)).then(|| draw.one(&IDS).parse().unwrap()),
        version: i64::try_from(draw.below(4)).unwrap(),
        created_at: moment(draw),
        updated_at: moment(draw),
        data: if is_wild { wild(draw) } else { document(draw) },
    }
}

pub fn asker(draw: &mut Draw) -> Asker {
    let auth = match draw.below(8) {
        0 => json!({}),
        1 => {
            json!({"sub": draw.one(&IDS), "roles": [null, draw.one(&TEXTS)], "teams": [draw.one(&IDS), null]})
        }
        2 => json!({"sub": null, "roles": [], "teams": null, "level": null}),
        _ => {
            let mut auth = object(
                draw,
                &[
                    ("roles", "strings"),
                    ("teams", "uuids"),
                    ("level", "number"),
                    ("any", "any"),
                    ("admin", "boolean"),
                    ("since", "moment"),
                ],
            );
            let members = auth.as_object_mut().unwrap();
            members.insert("sub".to_owned(), json!(draw.one(&IDS)));
            auth
        }
    };
    Asker {
        auth,
        input: document(draw),
        now: MOMENTS[0].parse::<DateTime<Utc>>().unwrap() + TimeDelta::microseconds(123_456),
    }
}

/// A vocabulary that knows everything, or nothing.
pub fn vocabulary(typed: bool) -> Vocabulary {
    if !typed {
        let open = || Members::open::<&str>([]);
        return Vocabulary::of_rule(open())
            .with_record(open())
            .with_input(open());
    }
    let list = |kind| Kind::List(Box::new(kind));
    let scalars = [
        ("s", Kind::String),
        ("n", Kind::Number),
        ("at", Kind::Timestamp),
        ("b", Kind::Boolean),
        ("any", Kind::Any),
        ("tags", list(Kind::String)),
    ];
    let inner = Kind::Object(Members::closed(scalars.clone()));
    let item = inner.clone();
    let mut outer = scalars.to_vec();
    outer.push(("p", inner));
    let document = Members::closed([
        ("s", Kind::String),
        ("t", Kind::String),
        ("n", Kind::Number),
        ("m", Kind::Number),
        ("b", Kind::Boolean),
        ("at", Kind::Timestamp),
        ("due", Kind::Timestamp),
        ("u", Kind::Uuid),
        ("tags", list(Kind::String)),
        ("nums", list(Kind::Number)),
        ("times", list(Kind::Timestamp)),
        ("any", Kind::Any),
        ("other", Kind::Any),
        ("odd name", Kind::String),
        ("o", Kind::Object(Members::closed(outer))),
        ("items", list(item)),
    ]);
    let claims = Members::closed([
        ("sub", Kind::Uuid),
        ("roles", list(Kind::String)),
        ("teams", list(Kind::Uuid)),
        ("level", Kind::Number),
        ("any", Kind::Any),
        ("admin", Kind::Boolean),
        ("since", Kind::Timestamp),
    ]);
    Vocabulary::of_rule(claims)
        .with_record(document.clone())
        .with_input(document)
}
