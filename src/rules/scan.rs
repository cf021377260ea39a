//! The words of an expression: what is not of this language, or too much of it, is refused before the parser recurses.

use super::mistake::Mistake;

/// Bytes of an expression.
const MOST_BYTES: usize = 4096;

/// Names, values and operators of an expression.
const MOST_WORDS: usize = 256;

/// Brackets within brackets.
const MOST_LEVELS: usize = 32;

/// The text of an expression, known to be of bounded size and depth.
pub(super) struct Words<'a> {
    pub text: &'a str,
    /// How deep its brackets are nested.
    pub depth: usize,
    words: Vec<Word<'a>>,
}

#[derive(Clone, Copy)]
struct Word<'a> {
    offset: usize,
    text: &'a str,
}

impl<'a> Words<'a> {
    /// Cuts a text into words.
    pub(super) fn scan(text: &'a str) -> Result<Self, Mistake> {
        if text.len() > MOST_BYTES {
            let message = format!(
                "an expression has at most {MOST_BYTES} bytes, this one {}",
                text.len()
            );
            return Err(Mistake::at(text, MOST_BYTES, message));
        }
        let mut words = Vec::new();
        let mut offset = 0;
        while let Some(rest) = text.get(offset..).filter(|rest| !rest.is_empty()) {
            let length = blank(rest);
            if length == 0 {
                let length = word(rest)
                    .map_err(|(place, message)| Mistake::at(text, offset + place, message))?;
                let word = rest.get(..length).unwrap_or(rest);
                words.push(Word { offset, text: word });
                offset += length;
            }
            offset += length;
        }
        let mut words = Self {
            text,
            depth: 0,
            words,
        };
        words.check_amount()?;
        words.check_neighbours()?;
        words.depth = words.check_brackets()?;
        if words.depth > MOST_LEVELS {
            let message = format!(
                "brackets are nested {} deep; {MOST_LEVELS} are possible",
                words.depth
            );
            return Err(Mistake::at(text, 0, message));
        }
        Ok(words)
    }

    /// Tells how deep brackets are nested.
    fn check_brackets(&self) -> Result<usize, Mistake> {
        let mut open: Vec<Word<'_>> = Vec::new();
        let mut depth = 0;
        for word in &self.words {
            let opened = match word.text {
                "(" | "[" => {
                    open.push(*word);
                    depth = depth.max(open.len());
                    continue;
                }
                ")" => "(",
                "]" => "[",
                _ => continue,
            };
            if open.pop().is_none_or(|last| last.text != opened) {
                let message = format!("nothing is open that `{}` closes", word.text);
                return Err(self.mistake(*word, message));
            }
        }
        match open.last() {
            Some(open) => Err(self.mistake(*open, format!("`{}` is never closed", open.text))),
            None => Ok(depth),
        }
    }

    fn check_amount(&self) -> Result<(), Mistake> {
        let counted = |word: &&Word<'_>| !matches!(word.text, "(" | ")" | "[" | "]" | "." | ",");
        match self.words.iter().filter(counted).nth(MOST_WORDS) {
            Some(word) => {
                let message =
                    format!("an expression has at most {MOST_WORDS} names, values and operators");
                Err(self.mistake(*word, message))
            }
            None => Ok(()),
        }
    }

    fn check_neighbours(&self) -> Result<(), Mistake> {
        for (word, next) in self.words.iter().zip(self.words.iter().skip(1)) {
            // The parser would drop both, and with them the demand that the operand be a truth value or a number.
            if word.text == next.text && matches!(word.text, "!" | "-") {
                let message = format!("write `{}` once, or brackets between the two", word.text);
                return Err(self.mistake(*next, message));
            }
            if is_glued(word, next) {
                let message = "strings have one quote on each side and nothing before it";
                return Err(self.mistake(*word, message));
            }
        }
        Ok(())
    }

    fn mistake(&self, word: Word<'_>, message: impl Into<String>) -> Mistake {
        Mistake::at(self.text, word.offset, message)
    }

    /// The word at or after a place, and where it begins; nothing at the end.
    pub(super) fn from(&self, offset: usize) -> Option<(usize, &'a str)> {
        let word = self.words.iter().find(|word| word.offset >= offset)?;
        Some((word.offset, word.text))
    }

    /// Where the word before a place begins.
    pub(super) fn before(&self, offset: usize) -> usize {
        let words = self.words.iter().rev();
        let before = words.map(|word| word.offset).find(|start| *start < offset);
        before.unwrap_or(offset)
    }

    /// Where the text ends that says something.
    pub(super) fn end(&self) -> usize {
        self.words
            .last()
            .map_or(0, |word| word.offset + word.text.len())
    }
}

/// A quote right after a name or a string is a prefix or a triple quote, which the parser would know.
fn is_glued(word: &Word<'_>, next: &Word<'_>) -> bool {
    let is_quote = |text: &str| text.starts_with(['"', '\'']);
    let touches = word.offset + word.text.len() == next.offset;
    touches && is_quote(next.text) && (is_quote(word.text) || word.text.starts_with(is_letter))
}

/// The length of the blanks or the comment that a text begins with.
fn blank(text: &str) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    let is_blank = |c: &char| matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{c}');
    text.chars().take_while(is_blank).count()
}

/// The length of the word that a text begins with, or what is wrong, so many bytes further on.
fn word(text: &str) -> Result<usize, (usize, String)> {
    let run = |accept: fn(char) -> bool| text.find(|c| !accept(c)).unwrap_or(text.len());
    let first = text.chars().next().unwrap_or_default();
    let pair = text.get(..2).unwrap_or_default();
    match first {
        '"' | '\'' => string(text, first),
        _ if is_letter(first) => Ok(run(|c| is_letter(c) || c.is_ascii_digit())),
        '0'..='9' => number(text).map_err(|message| (0, message.to_owned())),
        _ if matches!(pair, "==" | "!=" | "<=" | ">=" | "&&" | "||") => Ok(2),
        '(' | ')' | '[' | ']' | '.' | ',' | '!' | '<' | '>' | '+' | '-' | '*' => Ok(1),
        other => Err((0, stranger(other))),
    }
}

fn stranger(found: char) -> String {
    match found {
        '=' => "`=` is no operator; compare with `==`".to_owned(),
        '&' => "`&` is no operator; write `&&`".to_owned(),
        '|' => "`|` is no operator; write `||`".to_owned(),
        '/' | '%' => {
            format!("there is no `{found}`; the operators on numbers are `+`, `-` and `*`")
        }
        '?' | ':' => {
            "there is no `? :`; write `condition && one || !condition && other`".to_owned()
        }
        '{' | '}' => "there are no objects to write out; compare single members".to_owned(),
        '`' => "names are not quoted; write `record[\"some name\"]`".to_owned(),
        other => format!("`{}` has no meaning here", other.escape_debug()),
    }
}

/// The length of the string that a text begins with, or what is wrong, so many bytes further on.
fn string(text: &str, quote: char) -> Result<usize, (usize, String)> {
    let mut end = 1;
    loop {
        let rest = text.get(end..).unwrap_or_default();
        end += match rest.chars().next() {
            None | Some('\n' | '\r') => {
                return Err((0, "the string is not closed on its line".to_owned()));
            }
            Some('\\') => escape(rest).ok_or_else(|| {
                let message = "there is no such escape; write `\\\\` for a backslash";
                (end, message.to_owned())
            })?,
            Some(found) if found == quote => return Ok(end + 1),
            Some(found) => found.len_utf8(),
        };
    }
}

/// The length of the escape that a text begins with.
fn escape(text: &str) -> Option<usize> {
    let (length, radix) = match text.chars().nth(1)? {
        'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '"' | '\'' | '\\' | '?' | '`' => return Some(2),
        'x' | 'X' => (4, 16),
        'u' => (6, 16),
        'U' => (10, 16),
        '0'..='3' => (4, 8),
        _ => return None,
    };
    let start = if radix == 8 { 1 } else { 2 };
    let code = u32::from_str_radix(text.get(start..length)?, radix).ok()?;
    char::from_u32(code).map(|_| length)
}

/// The length of a number: digits, a fraction, an exponent, and nothing that touches it.
fn number(text: &str) -> Result<usize, &'static str> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let from = |start: usize| text.get(start..).unwrap_or_default();
    let mut end = digits(text);
    if from(end).starts_with('.') {
        end += 1 + digits(from(end + 1));
    }
    if from(end).starts_with(['e', 'E']) {
        let sign = usize::from(from(end + 1).starts_with(['+', '-']));
        end += 1 + sign + digits(from(end + 1 + sign));
    }
    if from(end).starts_with(|c| is_letter(c) || c == '.')
        || !from(end - 1).starts_with(|c: char| c.is_ascii_digit())
    {
        return Err("the number is written in an unknown way; write one like 12, -0.5 or 1.5e3");
    }
    Ok(end)
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(text: &str) -> (String, usize) {
        let mistake = Words::scan(text).err().unwrap_or_else(|| panic!("{text}"));
        (mistake.message, mistake.offset)
    }

    #[test]
    fn ordinary_expressions_pass() {
        for text in [
            "",
            "a.b == 'it\\'s (' // ) ",
            "[1, -2.5e-3].exists(x, x < y) || !z",
            "\"é\" == b",
        ] {
            assert!(Words::scan(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn strangers_are_named_with_their_place() {
        for (text, offset, part) in [
            ("a = b", 2, "`==`"),
            ("a & b", 2, "`&&`"),
            ("a ? b : c", 2, "? :"),
            ("'é' / 2", 5, "`/`"),
            ("x == 'abc", 5, "not closed"),
            ("'é\\q'", 3, "escape"),
            ("'\\u12'", 1, "escape"),
            ("'\\ud800'", 1, "escape"),
            ("'\\", 1, "escape"),
            ("(a", 0, "never closed"),
            ("a)", 1, "nothing is open"),
            ("(a]", 2, "nothing is open"),
            ("!!a", 1, "once"),
            ("0xe-0xe", 0, "unknown way"),
            ("a < 1.", 4, "unknown way"),
            ("r'a'", 0, "nothing before"),
            ("'''a'''", 0, "one quote"),
            ("{}", 0, "objects"),
            ("a == \u{a0}b", 5, "no meaning"),
        ] {
            let (message, place) = mistake(text);
            assert_eq!(place, offset, "{text}: {message}");
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn what_would_exhaust_the_stack_is_refused() {
        assert!(mistake(&"(".repeat(10_000)).0.contains("bytes"));
        assert!(mistake(&"(".repeat(4000)).0.contains("never closed"));
        let deep = format!("{}a{}", "(".repeat(33), ")".repeat(33));
        assert!(mistake(&deep).0.contains("33 deep"));
        assert!(mistake(&"! ".repeat(2000)).0.contains("at most 256"));
        assert!(mistake(&"1+".repeat(2000)).0.contains("at most 256"));
        assert!(mistake(&"!-".repeat(2000)).0.contains("at most 256"));
    }
}
