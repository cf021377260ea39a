//! What fits together: the kinds of values are checked when an expression is declared, so far as they are known.

use std::fmt;

use cel::IdedExpr;
use uuid::Uuid;

use super::{
    mistake::Mistake,
    moment,
    parse::Reader,
    tree::{Comparison, Expr, Operator, Path, Root},
    value::Value,
    vocabulary::{Kind, Members, enumerate},
};

/// Digits before or after the point that a calculation may need at worst: so it never overflows, here or in Postgres.
const MOST_DIGITS: usize = 400;

/// Members within members that one path goes down.
const MOST_MEMBERS: usize = 16;

/// An expression, and what is known of its value.
pub(super) struct Typed {
    pub expr: Expr,
    pub kind: Kind,
    /// Whether the value comes from the token, where null equals nothing.
    pub claim: bool,
}

impl Typed {
    pub(super) fn new(expr: Expr, kind: Kind) -> Self {
        Self {
            expr,
            kind,
            claim: false,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self.expr, Expr::Constant(Value::Null))
    }
}

impl fmt::Display for Typed {
    /// What it is, for a message.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_null() {
            true => formatter.write_str("null"),
            false => self.kind.fmt(formatter),
        }
    }
}

impl Reader<'_> {
    /// Finds what a name at the beginning of a path stands for.
    pub(super) fn root(&self, syntax: &IdedExpr, name: &str) -> Result<Typed, Mistake> {
        let variables = self.variables.iter().enumerate();
        let mut variables = variables.filter(|(_, variable)| variable.name == name);
        if let Some((index, variable)) = variables.next() {
            return Ok(Typed {
                claim: variable.claim,
                ..path(Root::Variable(index), [], variable.kind.clone())
            });
        }
        let vocabulary = self.vocabulary;
        let whole = |root, members: &Members| path(root, [], Kind::Object(members.clone()));
        let found = match (
            name,
            &vocabulary.auth,
            &vocabulary.record,
            &vocabulary.input,
        ) {
            ("now", ..) => Some(path(Root::Now, [], Kind::Timestamp)),
            ("auth", Some(claims), ..) => Some(Typed {
                claim: true,
                ..whole(Root::Auth, claims)
            }),
            ("record", _, Some(members), _) if !vocabulary.direct => {
                Some(whole(Root::Record, members))
            }
            ("input", _, _, Some(members)) => Some(whole(Root::Input, members)),
            (name, _, Some(members), _) if vocabulary.direct => members
                .kind(name)
                .map(|kind| path(Root::Record, [name.to_owned()], kind.clone())),
            _ => None,
        };
        found.ok_or_else(|| {
            let roots = vocabulary.roots();
            self.mistake(
                syntax,
                format!("there is no `{name}` here; there are {roots}"),
            )
        })
    }

    /// Finds a member of an object.
    pub(super) fn member(
        &self,
        syntax: &IdedExpr,
        object: Typed,
        name: &str,
    ) -> Result<Typed, Mistake> {
        let Expr::Path(mut path) = object.expr else {
            return Err(self.mistake(syntax, format!("{} has no members", object.kind)));
        };
        if name.contains('\0') {
            return Err(self.mistake(syntax, "no member's name holds the character U+0000"));
        }
        let kind = match &object.kind {
            Kind::Any => Kind::Any,
            Kind::Object(members) => members.kind(name).cloned().ok_or_else(|| {
                let names: Vec<_> = members.names().collect();
                let known = enumerate(&names);
                self.mistake(
                    syntax,
                    format!("there is no member `{name}`; there are {known}"),
                )
            })?,
            other => {
                return Err(self.mistake(syntax, format!("{other} has no member `{name}`")));
            }
        };
        path.members.push(name.to_owned());
        if path.members.len() > MOST_MEMBERS {
            let message = format!("a path goes down at most {MOST_MEMBERS} members");
            return Err(self.mistake(syntax, message));
        }
        Ok(Typed {
            expr: Expr::Path(path),
            kind,
            claim: object.claim,
        })
    }

    /// Reads a condition.
    pub(super) fn truth(&mut self, syntax: &IdedExpr) -> Result<Expr, Mistake> {
        let found = self.read(syntax)?;
        self.condition(syntax, found)
    }

    pub(super) fn condition(&self, syntax: &IdedExpr, found: Typed) -> Result<Expr, Mistake> {
        match found.kind {
            Kind::Boolean | Kind::Any if !found.is_null() => Ok(found.expr),
            _ => {
                let message = format!(
                    "a condition is needed here, and this is {found}; compare it with something"
                );
                Err(self.mistake(syntax, message))
            }
        }
    }

    /// Makes a value ready to be compared.
    pub(super) fn comparable(&self, value: Typed) -> Typed {
        let mut expr = value.expr;
        if value.kind == Kind::Timestamp && matches!(expr, Expr::Path(_)) && !expr.is_moment() {
            expr = Expr::Moment(Box::new(expr));
        }
        if value.claim {
            expr = Expr::Claim(Box::new(expr));
        }
        Typed { expr, ..value }
    }

    /// Takes a list that is written out for a value, where all its elements are written out.
    pub(super) fn whole(&self, syntax: &IdedExpr, value: Typed) -> Result<Typed, Mistake> {
        let Expr::List(items) = &value.expr else {
            return Ok(value);
        };
        let items = items.iter().map(|item| match item {
            Expr::Constant(constant) if !item.is_moment() => Ok(constant.to_json()),
            _ => Err(self.mistake(syntax, "the elements of this list have to be written out: numbers, strings, true, false or null")),
        });
        let items = items.collect::<Result<Vec<_>, _>>()?;
        Ok(Typed::new(
            Expr::Constant(Value::List(items.into())),
            value.kind,
        ))
    }

    pub(super) fn compare(
        &self,
        syntax: &IdedExpr,
        comparison: Comparison,
        one: Typed,
        other: Typed,
    ) -> Result<Typed, Mistake> {
        let (one, other) = (self.whole(syntax, one)?, self.whole(syntax, other)?);
        if one.is_null() || other.is_null() {
            if !comparison.is_equality() {
                return Err(self.mistake(
                    syntax,
                    "null has no order; it can only be tested with `== null` and `!= null`",
                ));
            }
            let tested = if one.is_null() { other } else { one };
            let test = Expr::IsNull(Box::new(tested.expr));
            let test = match comparison {
                Comparison::Equal => test,
                _ => Expr::Not(Box::new(test)),
            };
            return Ok(Typed::new(test, Kind::Boolean));
        }
        self.check_comparable(syntax, &one, &other)?;
        let unordered = [&one.kind, &other.kind]
            .into_iter()
            .find(|kind| !kind.has_order());
        if let Some(kind) = unordered.filter(|_| !comparison.is_equality()) {
            return Err(self.mistake(
                syntax,
                format!("{kind} has no order; numbers, strings and timestamps have"),
            ));
        }
        let (one, other) = (self.comparable(one), self.comparable(other));
        let compared = Expr::Compare(comparison, Box::new(one.expr), Box::new(other.expr));
        Ok(Typed::new(compared, Kind::Boolean))
    }

    pub(super) fn check_comparable(
        &self,
        syntax: &IdedExpr,
        one: &Typed,
        other: &Typed,
    ) -> Result<(), Mistake> {
        if !one.kind.meets(&other.kind) {
            let hint = match (&one.kind, &other.kind) {
                (Kind::Timestamp, Kind::String) | (Kind::String, Kind::Timestamp) => {
                    "; write timestamp(\"2026-11-24T09:00:00Z\")"
                }
                _ => "",
            };
            let (one, other) = (&one.kind, &other.kind);
            return Err(self.mistake(
                syntax,
                format!("{one} is never compared with {other}{hint}"),
            ));
        }
        for (kind, value) in [(&one.kind, other), (&other.kind, one)] {
            if let (Kind::Uuid, Expr::Constant(Value::Text(text))) = (kind, &value.expr)
                && Uuid::parse_str(text).map_or(true, |uuid| uuid.to_string() != *text)
            {
                return Err(self.mistake(syntax, "a UUID is written in small letters and with hyphens, as \"0197c2a4-0000-7000-8000-000000000000\""));
            }
        }
        Ok(())
    }

    pub(super) fn arithmetic(
        &self,
        syntax: &IdedExpr,
        operator: Operator,
        one: Typed,
        other: Typed,
    ) -> Result<Typed, Mistake> {
        for operand in [&one, &other] {
            match operand.kind {
                Kind::Number | Kind::Any if !operand.is_null() => {}
                Kind::Timestamp if operator == Operator::Subtract => {
                    return Err(self.mistake(syntax, "timestamps are not taken from each other; write record.created_at > now - duration(\"24h\")"));
                }
                _ => {
                    return Err(self.mistake(syntax, format!("numbers are calculated with, and durations added to timestamps; this is {operand}")));
                }
            }
        }
        let sum = Expr::Arithmetic(operator, Box::new(one.expr), Box::new(other.expr));
        let (before, after) = extent(&sum);
        if before.max(after) > MOST_DIGITS {
            return Err(self.mistake(
                syntax,
                format!("the result could have more than {MOST_DIGITS} digits; multiply less"),
            ));
        }
        Ok(Typed::new(sum, Kind::Number))
    }

    pub(super) fn shift(
        &self,
        syntax: &IdedExpr,
        moment: Typed,
        by: i64,
    ) -> Result<Typed, Mistake> {
        if moment.kind != Kind::Timestamp {
            return Err(self.mistake(syntax, format!("a duration is added to a timestamp, and this is {moment}; text becomes one with timestamp(…)")));
        }
        // Durations are added up before the timestamp meets them, so what is between doesn't matter.
        let (moment, by) = match self.comparable(moment).expr {
            Expr::Shift(moment, before) => (moment, before + by),
            moment => (Box::new(moment), by),
        };
        if !moment::is_duration(by) {
            return Err(self.mistake(syntax, "durations add up to at most 1000000 hours"));
        }
        Ok(Typed::new(Expr::Shift(moment, by), Kind::Timestamp))
    }
}

fn path<const N: usize>(root: Root, members: [String; N], kind: Kind) -> Typed {
    let members = members.into();
    Typed::new(Expr::Path(Path { root, members }), kind)
}

/// The digits before and after the point that a calculation can come to.
fn extent(expr: &Expr) -> (usize, usize) {
    match expr {
        Expr::Constant(Value::Number(number)) => number.extent(),
        Expr::Arithmetic(operator, one, other) => {
            let ((one, one_after), (other, other_after)) = (extent(one), extent(other));
            match operator {
                Operator::Multiply => (one + other, one_after + other_after),
                _ => (one.max(other) + 1, one_after.max(other_after)),
            }
        }
        Expr::Size(_) => (10, 0),
        _ => (super::decimal::MOST_DIGITS, super::decimal::MOST_DIGITS),
    }
}
