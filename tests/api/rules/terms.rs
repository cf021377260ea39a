//! Expressions by chance.

use std::fmt;

use super::{
    documents::{IDS, MOMENTS, NUMBERS, TEXTS},
    draw::Draw,
};

/// An expression that can be made smaller: a text with holes, and what stands in them.
#[derive(Clone, Debug)]
pub struct Term {
    text: String,
    parts: Vec<Term>,
}

impl Term {
    fn new(text: impl Into<String>, parts: impl Into<Vec<Term>>) -> Self {
        Self {
            text: text.into(),
            parts: parts.into(),
        }
    }

    fn word(text: impl Into<String>) -> Self {
        Self::new(text, [])
    }

    /// The same with one part of it replaced by something smaller, in all ways.
    pub fn smaller(&self) -> Vec<Self> {
        let mut smaller = self.parts.clone();
        let simple = ["true", "false", "1", "'a'", "null", "record.any"];
        if self.to_string().len() > 10 {
            smaller.extend(simple.map(Self::word));
        }
        for (index, part) in self.parts.iter().enumerate() {
            for replacement in part.smaller() {
                let mut changed = self.clone();
                changed.parts[index] = replacement;
                smaller.push(changed);
            }
        }
        smaller
    }
}

impl fmt::Display for Term {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = self.parts.iter();
        for (index, text) in self.text.split('§').enumerate() {
            if index > 0 {
                write!(formatter, "{}", parts.next().unwrap())?;
            }
            formatter.write_str(text)?;
        }
        Ok(())
    }
}

/// Draws expressions.
pub struct Author<'a> {
    pub draw: &'a mut Draw,
    variables: usize,
}

const KINDS: [&str; 6] = ["text", "number", "moment", "boolean", "uuid", "any"];

impl<'a> Author<'a> {
    pub fn new(draw: &'a mut Draw) -> Self {
        Self { draw, variables: 0 }
    }

    pub fn condition(&mut self, depth: usize) -> Term {
        if depth == 0 {
            return self.test(0);
        }
        match self.draw.below(12) {
            0..3 => Term::new(
                "(§ && §)",
                [self.condition(depth - 1), self.condition(depth - 1)],
            ),
            3..6 => Term::new(
                "(§ || §)",
                [self.condition(depth - 1), self.condition(depth - 1)],
            ),
            6 | 7 => Term::new("!(§)", [self.condition(depth - 1)]),
            8 => self.quantified(depth - 1),
            9 => {
                let sign = self.draw.one(&["==", "!="]);
                Term::new(
                    format!("(§) {sign} (§)"),
                    [self.condition(depth - 1), self.condition(depth - 1)],
                )
            }
            _ => self.test(depth),
        }
    }

    fn test(&mut self, depth: usize) -> Term {
        match self.draw.below(20) {
            0 => Term::word(self.draw.one(&["true", "false"])),
            1 => self.path("boolean"),
            2 | 3 => {
                let kind = self.draw.one(&KINDS);
                let sign = self.draw.one(&["§ == null", "§ != null", "null == §"]);
                let tested = self.value(kind, depth.min(1));
                Term::new(sign, [tested])
            }
            4 => {
                let kind = self.draw.one(&KINDS);
                Term::new("has(§)", [self.path(kind)])
            }
            5 => {
                let method = self.draw.one(&["startsWith", "endsWith", "contains"]);
                Term::new(
                    format!("§.{method}(§)"),
                    [self.path("text"), self.value("text", 0)],
                )
            }
            6 => self.whole(),
            7..10 => self.membership(),
            10 if depth > 0 => self.quantified(0),
            _ => {
                let sign = self.draw.one(&["==", "!=", "<", "<=", ">", ">="]);
                let kind = self.draw.one(&KINDS);
                let other = if self.draw.percent(8) {
                    self.draw.one(&KINDS)
                } else {
                    kind
                };
                Term::new(
                    format!("§ {sign} §"),
                    [
                        self.value(kind, depth.min(2)),
                        self.value(other, depth.min(2)),
                    ],
                )
            }
        }
    }

    /// Compares lists and objects.
    fn whole(&mut self) -> Term {
        let paths = [
            "record.tags",
            "record.nums",
            "record.any",
            "record.other",
            "record.o",
            "record.o.p",
            "input.tags",
            "auth.roles",
            "record.times",
        ];
        let items = self
            .draw
            .one(&["'a'", "'a', 'b'", "", "1, 1.0", "null", "true"]);
        let one = Term::word(self.draw.one(&paths));
        let other = match self.draw.below(3) {
            0 => Term::word(self.draw.one(&paths)),
            _ => Term::word(format!("[{items}]")),
        };
        let text = self
            .draw
            .one(&["§ == §", "§ != §", "§ in [§, null]", "§ in §"]);
        Term::new(text, [one, other])
    }

    fn membership(&mut self) -> Term {
        let kind = self.draw.one(&["text", "number", "moment", "uuid", "any"]);
        let element = self.value(kind, 1);
        let list = match self.draw.below(4) {
            0 if self.variables > 0 && self.draw.percent(40) => {
                let variable = self.draw.below(self.variables);
                Term::word(format!(
                    "x{variable}{}",
                    self.draw.one(&["", ".tags", ".any"])
                ))
            }
            0 => self.list_path(kind),
            1 => {
                let list = self.draw.one(&[
                    "auth.roles",
                    "auth.teams",
                    "input.tags",
                    "input.times",
                    "auth.any",
                ]);
                Term::word(list)
            }
            _ => {
                let length = self.draw.below(4);
                let items: Vec<_> = (0..length)
                    .map(|_| {
                        if self.draw.percent(15) {
                            Term::word("null")
                        } else {
                            self.value(kind, 0)
                        }
                    })
                    .collect();
                Term::new(format!("[{}]", vec!["§"; length].join(", ")), items)
            }
        };
        Term::new("§ in §", [element, list])
    }

    fn quantified(&mut self, depth: usize) -> Term {
        let name = format!("x{}", self.variables);
        let (list, kind) = match self.draw.below(8) {
            0 => ("record.tags", "text"),
            1 => ("record.nums", "number"),
            2 => ("record.times", "moment"),
            3 => ("auth.teams", "uuid"),
            4 => ("auth.roles", "text"),
            5 => ("record.any", "any"),
            6 => ("['a', 'b', 'é']", "text"),
            _ => ("record.items", "object"),
        };
        let list = match (kind, self.variables) {
            ("text", 1..) if self.draw.percent(50) => {
                format!("x{}.tags", self.draw.below(self.variables))
            }
            _ => list.to_owned(),
        };
        self.variables += 1;
        let subject = match kind {
            "object" => {
                let member = self.draw.one(&["s", "n", "at", "b", "any"]);
                format!("{name}.{member}")
            }
            _ => name.clone(),
        };
        let kind = match kind {
            "object" if subject.ends_with(".s") => "text",
            "object" if subject.ends_with(".n") => "number",
            "object" if subject.ends_with(".at") => "moment",
            "object" => "any",
            kind => kind,
        };
        let first = match self.draw.below(4) {
            0 => Term::word(format!("{subject} == null")),
            1 if kind == "text" => {
                Term::new(format!("{subject}.startsWith(§)"), [self.value("text", 0)])
            }
            _ => {
                let sign = self.draw.one(&["==", "!=", "<", ">="]);
                Term::new(format!("{subject} {sign} §"), [self.value(kind, 1)])
            }
        };
        let condition = match self.draw.below(4) {
            0 => Term::new("(§ && §)", [first, self.condition(depth)]),
            1 => Term::new("(§ || §)", [first, self.condition(depth)]),
            2 => Term::new("!(§)", [first]),
            _ => first,
        };
        self.variables -= 1;
        let method = self.draw.one(&["exists", "all"]);
        Term::new(format!("{list}.{method}({name}, §)"), [condition])
    }

    fn list_path(&mut self, kind: &str) -> Term {
        let list = match kind {
            "text" => self
                .draw
                .one(&["record.tags", "record.o.tags", "record.o.p.tags"]),
            "number" => "record.nums",
            "moment" => "record.times",
            _ => self.draw.one(&["record.any", "record.tags"]),
        };
        Term::word(list)
    }

    fn value(&mut self, kind: &str, depth: usize) -> Term {
        if self.draw.percent(if depth == 0 { 60 } else { 35 }) {
            return self.literal(kind);
        }
        match kind {
            "number" if depth > 0 && self.draw.percent(35) => match self.draw.below(5) {
                0 => Term::new("size(§)", [self.path("text")]),
                1 => Term::new("size(§)", [self.list_path("text")]),
                2 => Term::new("(-§)", [self.path("number")]),
                _ => {
                    let operator = self.draw.one(&["+", "-", "*"]);
                    Term::new(
                        format!("(§ {operator} §)"),
                        [self.value(kind, depth - 1), self.value(kind, depth - 1)],
                    )
                }
            },
            "moment" if depth > 0 && self.draw.percent(35) => {
                let duration = self.draw.one(&["1h", "-1h", "1ms", "999999h", "0s", "24h"]);
                let operator = self.draw.one(&["+", "-"]);
                Term::new(
                    format!("(§ {operator} duration('{duration}'))"),
                    [self.value(kind, depth - 1)],
                )
            }
            kind => self.path(kind),
        }
    }

    fn literal(&mut self, kind: &str) -> Term {
        let kind = if kind == "any" {
            self.draw.one(&KINDS[..5])
        } else {
            kind
        };
        Term::word(match kind {
            "text" => quoted(self.draw.one(&TEXTS)),
            "number" => self.draw.one(&NUMBERS).to_owned(),
            "moment" if self.draw.percent(30) => "now".to_owned(),
            "moment" => format!("timestamp('{}')", self.draw.one(&MOMENTS)),
            "boolean" => self.draw.one(&["true", "false"]).to_owned(),
            _ => quoted(self.draw.one(&IDS)),
        })
    }

    fn path(&mut self, kind: &str) -> Term {
        if self.variables > 0 && self.draw.percent(25) {
            let variable = self.draw.below(self.variables);
            let member = self.draw.one(&["", ".s", ".n", ".any", ".at", ".any.s"]);
            let text = if kind == "moment" {
                "timestamp(x§)"
            } else {
                "x§"
            };
            return Term::word(text.replace('§', &format!("{variable}{member}")));
        }
        let path = match kind {
            "text" => self.draw.one(&[
                "record.s",
                "record.t",
                "record.o.s",
                "record.o.p.s",
                "record['odd name']",
                "input.s",
                "record.any",
            ]),
            "number" => self.draw.one(&[
                "record.n",
                "record.m",
                "record.o.n",
                "record.o.p.n",
                "record.version",
                "auth.level",
                "input.n",
                "record.any",
            ]),
            "moment" => self.draw.one(&[
                "record.at",
                "record.due",
                "record.o.at",
                "record.created_at",
                "record.updated_at",
                "timestamp(record.any)",
                "timestamp(record.at)",
                "auth.since",
                "input.at",
                "record.any",
            ]),
            "boolean" => self.draw.one(&[
                "record.b",
                "record.o.b",
                "auth.admin",
                "input.b",
                "record.any",
            ]),
            "uuid" => self.draw.one(&[
                "record.id",
                "record.owner",
                "record.u",
                "auth.sub",
                "record.any",
            ]),
            _ => self.draw.one(&[
                "record.any",
                "record.other",
                "record.o.any",
                "record.o.p.any",
                "record.o.p",
                "record.o",
                "record.tags",
                "record.nums",
                "auth.any",
                "auth.missing",
                "input.any",
                "record.s.s",
                "record.owner",
                "record.at",
            ]),
        };
        Term::word(path)
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
