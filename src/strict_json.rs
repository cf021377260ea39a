//! JSON that means one thing only: what RFC 8259 leaves open and Postgres or JavaScript would read otherwise is refused.

use std::collections::HashSet;

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::error::{ApiError, Code, FieldError};

/// Levels of nesting that are read.
pub const MAX_DEPTH: usize = 64;

/// Digits of a number that are read, and the largest absolute exponent.
pub const MAX_DIGITS: usize = 40;

/// What is wrong with a text that should be JSON.
#[derive(Debug)]
pub enum Fault {
    /// It is no JSON; line, column and reason.
    Malformed(String),
    /// It is JSON, but ambiguous or out of bounds; every place.
    Refused(Vec<FieldError>),
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Malformed(detail) => Self::new(Code::MalformedJson, detail),
            Fault::Refused(errors) => Self::with_errors(Code::RefusedJson, errors),
        }
    }
}

/// Checks that `bytes` are one JSON text without duplicate members, NUL, lone surrogates, deep nesting or huge numbers.
///
/// # Errors
/// Malformed, or refused with a JSON Pointer to each place.
pub fn check(bytes: &[u8]) -> Result<&str, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|error| Fault::Malformed(error.to_string()))?;
    serde_json::from_str::<IgnoredAny>(text)
        .map_err(|error| Fault::Malformed(error.to_string()))?;
    let mut scan = Scan {
        rest: text,
        levels: Vec::new(),
        faults: Vec::new(),
    };
    scan.run();
    if scan.faults.is_empty() {
        Ok(text)
    } else {
        Err(Fault::Refused(scan.faults))
    }
}

/// Whether a value takes no more than so many bytes as text, about.
pub fn is_within(value: &Value, bytes: usize) -> bool {
    fn left(value: &Value, bytes: usize) -> Option<usize> {
        let bytes = bytes.checked_sub(8)?;
        match value {
            Value::Null | Value::Bool(_) => Some(bytes),
            Value::Number(number) => bytes.checked_sub(number.to_string().len()),
            Value::String(text) => bytes.checked_sub(text.len()),
            Value::Array(items) => items
                .iter()
                .try_fold(bytes, |bytes, item| left(item, bytes)),
            Value::Object(members) => members.iter().try_fold(bytes, |bytes, (name, item)| {
                left(item, bytes.checked_sub(name.len())?)
            }),
        }
    }
    left(value, bytes).is_some()
}

/// Levels of nesting of a value: 0 for a bare one, 1 for an empty object.
pub fn depth(value: &Value) -> usize {
    let mut deepest = 0;
    // Not by recursion: the value may be deeper than the stack.
    let mut open = vec![(value, 1)];
    while let Some((value, level)) = open.pop() {
        match value {
            Value::Object(members) => open.extend(members.values().map(|one| (one, level + 1))),
            Value::Array(items) => open.extend(items.iter().map(|one| (one, level + 1))),
            _ => continue,
        }
        deepest = deepest.max(level);
    }
    deepest
}

/// One open object or array, and where in it the scan stands.
enum Level {
    Object {
        seen: HashSet<String>,
        member: Option<String>,
    },
    Array {
        index: usize,
    },
}

/// Walks over a text that is known to be well-formed.
struct Scan<'a> {
    rest: &'a str,
    levels: Vec<Level>,
    faults: Vec<FieldError>,
}

/// Faults after which a hostile text is not worth more work.
const ENOUGH_FAULTS: usize = 32;

impl Scan<'_> {
    fn run(&mut self) {
        while let Some(byte) = self.rest.bytes().next() {
            if self.faults.len() >= ENOUGH_FAULTS {
                return;
            }
            match byte {
                b'{' => self.open(Level::Object {
                    seen: HashSet::new(),
                    member: None,
                }),
                b'[' => self.open(Level::Array { index: 0 }),
                b'}' | b']' => {
                    self.levels.pop();
                    self.advance(1);
                }
                b',' => self.next_item(),
                b'"' => self.string(),
                b'-' | b'0'..=b'9' => self.number(),
                _ => self.advance(1),
            }
            if self.levels.len() > MAX_DEPTH {
                self.fault("depth", format!("more than {MAX_DEPTH} levels of nesting"));
                return;
            }
        }
    }

    fn advance(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn open(&mut self, level: Level) {
        self.levels.push(level);
        self.advance(1);
    }

    fn next_item(&mut self) {
        match self.levels.last_mut() {
            Some(Level::Array { index }) => *index += 1,
            Some(Level::Object { member, .. }) => *member = None,
            None => {}
        }
        self.advance(1);
    }

    fn string(&mut self) {
        let length = string_length(self.rest);
        let literal = self.rest.get(..length).unwrap_or_default();
        let decoded = serde_json::from_str::<String>(literal);
        self.advance(length);
        let Ok(text) = decoded else {
            self.fault("surrogate", "a lone surrogate is no character");
            return;
        };
        let has_nul = text.contains('\0');
        let duplicate = match self.levels.last_mut() {
            Some(Level::Object {
                seen,
                member: member @ None,
            }) => {
                *member = Some(text.clone());
                !seen.insert(text.clone())
            }
            _ => false,
        };
        if has_nul {
            self.fault("nul", "the character U+0000 can't be stored");
        }
        if duplicate {
            self.fault("duplicate", "the member stands here twice");
        }
        if text.starts_with("$serde_json::private") {
            self.fault("reserved", "the name is reserved");
        }
    }

    fn number(&mut self) {
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = self.rest.bytes().take_while(|byte| is_part(byte)).count();
        let literal = self.rest.get(..length).unwrap_or_default();
        let (mantissa, exponent) = literal.split_once(['e', 'E']).unwrap_or((literal, "0"));
        let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
        let exponent_fits = exponent
            .trim_start_matches(['+', '-'])
            .trim_start_matches('0')
            .parse::<usize>()
            .map_or(
                exponent.trim_start_matches(['+', '-', '0']).is_empty(),
                |exponent| exponent <= MAX_DIGITS,
            );
        self.advance(length);
        if digits > MAX_DIGITS || !exponent_fits {
            self.fault("number", format!("numbers have at most {MAX_DIGITS} digits and an exponent of at most {MAX_DIGITS}"));
        }
    }

    fn fault(&mut self, code: &str, detail: impl Into<String>) {
        let mut pointer = String::new();
        for level in &self.levels {
            match level {
                Level::Object {
                    member: Some(name), ..
                } => {
                    pointer.push('/');
                    pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
                }
                Level::Object { member: None, .. } => {}
                Level::Array { index } => {
                    pointer.push('/');
                    pointer.push_str(&index.to_string());
                }
            }
        }
        self.faults.push(FieldError::new(pointer, code, detail));
    }
}

/// The length in bytes of the string literal that `text` begins with, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (position, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return position + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Vec<(String, String)> {
        match check(text.as_bytes()) {
            Err(Fault::Refused(faults)) => faults
                .into_iter()
                .map(|fault| (fault.pointer, fault.code))
                .collect(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn ordinary_documents_pass() {
        for text in [
            "{}",
            "[]",
            " 1 ",
            "\"x\"",
            r#"{"a":{"a":1},"b":[{"a":1},{"a":2}],"":-1.5e10}"#,
            r#"["😀","\ud83d\ude00"]"#,
            "1e-040",
        ] {
            assert!(check(text.as_bytes()).is_ok(), "{text}");
        }
    }

    #[test]
    fn inp_05_ambiguous_documents_are_refused_with_a_pointer() {
        let one = |text: &str, pointer: &str, code: &str| {
            assert_eq!(
                refused(text),
                [(pointer.to_owned(), code.to_owned())],
                "{text}"
            );
        };
        one(r#"{"a":1,"a":2}"#, "/a", "duplicate");
        one(r#"{"a":1,"\u0061":2}"#, "/a", "duplicate");
        one(r#"{"x":[{"p/q":"\u0000"}]}"#, "/x/0/p~1q", "nul");
        one(r#"{"a":["ok","\ud800"]}"#, "/a/1", "surrogate");
        one(
            r#"{"a":12345678901234567890123456789012345678901}"#,
            "/a",
            "number",
        );
        one("[1e41]", "/0", "number");
        one("[1e-99999999999999999999999]", "/0", "number");
        one(
            r#"{"$serde_json::private::Number":"1"}"#,
            "/$serde_json::private::Number",
            "reserved",
        );
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        assert_eq!(refused(&deep).first().unwrap().1, "depth");
        assert!(check(format!("{}{}", "[".repeat(64), "]".repeat(64)).as_bytes()).is_ok());
    }

    #[test]
    fn depth_counts_what_the_scan_counts() {
        for (text, levels) in [
            ("1", 0),
            ("{}", 1),
            ("[[],{}]", 2),
            (r#"{"a":{"b":[1]},"c":2}"#, 3),
        ] {
            assert_eq!(
                depth(&serde_json::from_str(text).unwrap()),
                levels,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for bytes in [
            b"".as_slice(),
            b"{",
            b"{} {}",
            b"\xef\xbb\xbf{}",
            b"\xff",
            b"{'a':1}",
            b"NaN",
            b"[1,]",
        ] {
            assert!(
                matches!(check(bytes), Err(Fault::Malformed(_))),
                "{bytes:?}"
            );
        }
    }
}
