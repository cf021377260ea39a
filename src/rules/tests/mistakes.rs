use super::*;

fn mistake(text: &str) -> Mistake {
    match Rule::parse(text, &vocabulary()) {
        Err(mistake) => mistake,
        Ok(_) => panic!("{text} is no mistake"),
    }
}

/// What is wrong, the column, and a part of the message.
const MISTAKES: &[(&str, usize, &str)] = &[
    ("", 1, "empty"),
    ("record.owner == ", 16, "value is missing"),
    ("record.price 1", 14, "`1` can't stand here"),
    ("record.paid and record.paid", 13, "`&&`"),
    (
        "recrd.price == 1",
        1,
        "there is no `recrd` here; there are `auth`, `record`, `input`, `now`",
    ),
    (
        "record.prise == 1",
        8,
        "there is no member `prise`; there are `address`",
    ),
    ("record.title.x == 1", 14, "a string has no member"),
    ("record == null", 1, "`record.` and one of them"),
    (
        "record.price == 'x'",
        14,
        "a number is never compared with a string",
    ),
    ("record.due < '2026-01-01T00:00:00Z'", 12, "timestamp(\""),
    (
        "record.price == record.tags",
        14,
        "a number is never compared with a list",
    ),
    ("record.paid < true", 13, "no order"),
    ("record.price < null", 14, "null has no order"),
    (
        "record.title && true",
        8,
        "a condition is needed here, and this is a string",
    ),
    (
        "record.title.matches('x')",
        14,
        "there is no `.matches(…)`; on a value there are `startsWith`",
    ),
    ("record.items.map(x, x)", 14, "there is no `.map(…)`"),
    (
        "lower(record.title) == 'x'",
        1,
        "there is no `lower(…)`; there are `has`",
    ),
    (
        "record.title.startsWith()",
        14,
        "another number of arguments",
    ),
    ("record.tags[0] == 'x'", 13, "`in`, `exists` and `all`"),
    ("record.tags.exists(record, true)", 20, "a name is needed"),
    (
        "now - record.created_at < duration('1h')",
        5,
        "record.created_at > now - duration",
    ),
    ("record.due + 1 < now", 12, "durations added to timestamps"),
    ("record.due + duration('1d') < now", 23, "no duration"),
    ("record.due < timestamp('soon')", 14, "no timestamp"),
    ("record.customer == 'X'", 17, "small letters"),
    ("record.title == 'a\\q'", 19, "escape"),
    ("record.title == '\\u0000'", 17, "U+0000"),
    ("record.price == 99999999999999999999", 17, "with a point"),
    ("record.price == 1e99", 17, "out of bounds"),
    (
        "record.price * record.price * record.price * record.price * record.price * record.price > 1",
        74,
        "400 digits",
    ),
    ("has(auth)", 5, "members"),
    ("(record.paid == true) in [true]", 23, "joined"),
    ("[[1]] == record.any", 2, "within lists"),
    ("record.title 'x'", 14, "can't stand here"),
    (
        "record.any in [1, 'x']",
        19,
        "the list holds a number and a string",
    ),
    ("if(true)", 1, "reserved"),
];

#[test]
fn mistakes_are_told_with_their_place_and_what_is_possible() {
    for (text, column, part) in MISTAKES {
        let mistake = mistake(text);
        let message = &mistake.message;
        assert!(message.contains(part), "{text}: {message}");
        assert_eq!(mistake.column, *column, "{text}: {message}");
    }
}

#[test]
fn places_are_counted_in_lines_and_characters() {
    let mistake = mistake("record.title == 'é' &&\n  record['some name'] == 'é' && recrd == 1");
    assert_eq!((mistake.line, mistake.column, mistake.offset), (2, 33, 57));
}

#[test]
fn the_place_of_a_syntax_error_is_counted_in_characters_too() {
    for (text, place) in [
        ("record.title == 'éé😀' and true", (1, 23, 27)),
        ("'é' ==\n  'é' 'x'", (2, 7, 15)),
        ("'é' == record.title +", (1, 22, 22)),
    ] {
        let mistake = mistake(text);
        let found = (mistake.line, mistake.column, mistake.offset);
        assert_eq!(found, place, "{text}: {}", mistake.message);
    }
}

#[test]
fn hostile_texts_are_refused_on_a_small_stack() {
    let small = std::thread::Builder::new().stack_size(2 << 20);
    let hostile = || {
        for text in [
            "(".repeat(4000),
            format!("{}true{}", "(".repeat(10_000), ")".repeat(10_000)),
            "!".repeat(4000),
            "[]".repeat(2000),
            format!("a{}", "[]".repeat(2000)),
            "()".repeat(2000),
            ".".repeat(4000),
            ",".repeat(4000),
            "record.".repeat(500),
            format!("{}true", "true && ".repeat(500)),
            format!("record.any in [{}1]", "1, ".repeat(200)),
            format!("record.any{} == 1", ".a".repeat(250)),
        ] {
            assert!(Rule::parse(&text, &vocabulary()).is_err(), "{text}");
        }
        // As much as is allowed, of each kind.
        for text in [
            format!("{}true{}", "(".repeat(32), ")".repeat(32)),
            format!("1{} > 1", "+1".repeat(126)),
            format!("true{}", " || record.paid".repeat(84)),
            format!("{}true{}", "!(".repeat(32), ")".repeat(32)),
            format!("record.any{} == 1", ".a".repeat(15)),
            format!(
                "{}true{}",
                (0..32)
                    .map(|n| format!("record.tags.exists(x{n}, "))
                    .collect::<String>(),
                ")".repeat(32)
            ),
            format!("{}true{}", "(1 in [1]) == (".repeat(31), ")".repeat(31)),
        ] {
            let rule = rule(&text);
            let facts = Facts {
                auth: &json!({}),
                input: None,
                now: chrono::Utc::now(),
            };
            rule.predicate(&facts, "r");
            rule.evaluate(&facts, None);
        }
    };
    small.spawn(hostile).unwrap().join().unwrap();
}
