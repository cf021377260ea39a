//! The compiler to SQL: conditions, values and the fragment that diesel sends.
//!
//! SQL's three truths are those of the language, with null for an error. A value is written in one of four forms: as
//! `numeric`, `text` or `timestamptz`, where both an error and a null value are SQL's null, since what reads these forms
//! makes an error of either; or as `jsonb`, where JSON's null is the null of the language. Whatever comes from outside is
//! a bind. Every cast stands in a `case` that admits only what can be cast, because Postgres promises no other order.

use chrono::{DateTime, Utc};
use diesel::{
    pg::{Pg, data_types::PgInterval},
    prelude::*,
    query_builder::{AstPass, QueryFragment, QueryId},
    sql_types::{Array, Interval, Jsonb, Text, Timestamptz, Uuid as SqlUuid},
};
use serde_json::Value as Json;
use uuid::Uuid;

use super::{
    tree::{Affix, Expr, Quantifier, Variable},
    value::Value,
};

/// Parts of the longest condition whose statement is kept.
const MOST_KEPT: usize = 64;

/// A condition for a `where`, with its binds; it stands in brackets where it needs them.
///
/// What two callers ask differs without end, so Postgres's plan for it is not kept unless it is [`Self::kept`].
#[derive(Clone, Debug)]
pub struct Condition {
    parts: Vec<Part>,
    kept: bool,
}

#[derive(Clone, Debug)]
enum Part {
    Sql(String),
    Bind(Bind),
}

/// A value that is sent beside the statement.
#[derive(Clone, Debug)]
pub(super) enum Bind {
    Text(String),
    Texts(Vec<String>),
    Json(Json),
    Jsons(Vec<Json>),
    Uuid(Uuid),
    Uuids(Vec<Uuid>),
    Moment(DateTime<Utc>),
    Moments(Vec<DateTime<Utc>>),
    Interval(PgInterval),
}

impl Condition {
    /// Lets the connection keep the prepared statement: for rules, of which there are few; but not where a rule is long
    /// because a list was written out in it, since each length of the list would be another statement.
    #[must_use]
    pub fn kept(self) -> Self {
        let kept = self.parts.len() <= MOST_KEPT;
        Self { kept, ..self }
    }

    /// The SQL, where nothing is bound.
    pub(super) fn into_plain_text(self) -> Option<String> {
        let texts = self.parts.into_iter().map(|part| match part {
            Part::Sql(text) => Some(text),
            Part::Bind(_) => None,
        });
        texts.collect()
    }
}

impl QueryId for Condition {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl QueryFragment<Pg> for Condition {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if !self.kept {
            out.unsafe_to_cache_prepared();
        }
        for part in &self.parts {
            match part {
                Part::Sql(text) => out.push_sql(text),
                Part::Bind(Bind::Text(bind)) => out.push_bind_param::<Text, _>(bind)?,
                Part::Bind(Bind::Texts(bind)) => out.push_bind_param::<Array<Text>, _>(bind)?,
                Part::Bind(Bind::Json(bind)) => out.push_bind_param::<Jsonb, _>(bind)?,
                Part::Bind(Bind::Jsons(bind)) => out.push_bind_param::<Array<Jsonb>, _>(bind)?,
                Part::Bind(Bind::Uuid(bind)) => out.push_bind_param::<SqlUuid, _>(bind)?,
                Part::Bind(Bind::Uuids(bind)) => out.push_bind_param::<Array<SqlUuid>, _>(bind)?,
                Part::Bind(Bind::Moment(bind)) => out.push_bind_param::<Timestamptz, _>(bind)?,
                Part::Bind(Bind::Moments(bind)) => {
                    out.push_bind_param::<Array<Timestamptz>, _>(bind)?;
                }
                Part::Bind(Bind::Interval(bind)) => out.push_bind_param::<Interval, _>(bind)?,
            }
        }
        Ok(())
    }
}

/// What a condition is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// It is true exactly where it holds; false and null are the same. Indexes know this form.
    Truth,
    /// It is true, false, or null for an error.
    Verdict,
}

/// Writes SQL.
pub(super) struct Writer {
    alias: &'static str,
    parts: Vec<Part>,
}

impl Writer {
    pub(super) fn new(alias: &'static str) -> Self {
        Self {
            alias,
            parts: Vec::new(),
        }
    }

    pub(super) fn finish(self) -> Condition {
        Condition {
            parts: self.parts,
            kept: false,
        }
    }

    pub(super) fn push(&mut self, sql: impl AsRef<str>) {
        match self.parts.last_mut() {
            Some(Part::Sql(text)) => text.push_str(sql.as_ref()),
            _ => self.parts.push(Part::Sql(sql.as_ref().to_owned())),
        }
    }

    pub(super) fn bind(&mut self, bind: Bind) {
        self.parts.push(Part::Bind(bind));
    }

    pub(super) fn column(&self, name: &str) -> String {
        format!("{}.{name}", self.alias)
    }

    pub(super) fn truth(&mut self, expr: &Expr) {
        self.condition(Aim::Truth, expr);
    }

    pub(super) fn exact(&mut self, expr: &Expr) {
        self.condition(Aim::Verdict, expr);
    }

    fn condition(&mut self, aim: Aim, expr: &Expr) {
        match expr {
            Expr::Constant(Value::Boolean(true)) => self.push("true"),
            Expr::Constant(Value::Boolean(false)) => self.push("false"),
            Expr::Path(path) if path.column().is_none() => {
                let place = self.place(path);
                self.member_as_boolean(&place);
            }
            Expr::And(parts) => self.joined(aim, " and ", parts),
            Expr::Or(parts) => self.joined(aim, " or ", parts),
            Expr::Not(part) => {
                self.push("(not ");
                self.exact(part);
                self.push(")");
            }
            Expr::IsNull(part) => self.is_null(part),
            Expr::Compare(comparison, one, other) => self.compare(aim, *comparison, one, other),
            Expr::In(element, list, elements) => self.is_in(aim, element, list, *elements),
            Expr::Affix(affix, text, part) => self.affix(aim, *affix, text, part),
            Expr::Quantified(quantifier, list, variable, condition) => {
                self.quantified(aim, *quantifier, list, *variable, condition);
            }
            _ => self.push("null::boolean"),
        }
    }

    fn joined(&mut self, aim: Aim, operator: &str, parts: &[Expr]) {
        self.push("(");
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                self.push(operator);
            }
            self.condition(aim, part);
        }
        self.push(")");
    }

    fn affix(&mut self, aim: Aim, affix: Affix, text: &Expr, part: &Expr) {
        self.push("(");
        if let (Aim::Truth, Affix::Start, Expr::Constant(Value::Text(prefix))) = (aim, affix, part)
        {
            self.within_prefix(text, prefix);
        }
        // Not with `like`, in which some characters mean others.
        let (before, between, after) = match affix {
            Affix::Start => ("starts_with(", ", ", ")"),
            Affix::End => ("right(", ", char_length(", ")) = "),
            Affix::Anywhere => ("strpos(", ", ", ") > 0"),
        };
        self.push(before);
        self.text(text);
        self.push(between);
        self.text(part);
        self.push(after);
        if affix == Affix::End {
            self.text(part);
        }
        self.push(")");
    }

    /// The range of texts with a prefix, which an index finds whatever the plan is made for.
    fn within_prefix(&mut self, text: &Expr, prefix: &str) {
        self.text(text);
        self.push(" >= ");
        self.bind(Bind::Text(prefix.to_owned()));
        self.push(" and ");
        if let Some(end) = after_prefix(prefix) {
            self.text(text);
            self.push(" < ");
            self.bind(Bind::Text(end));
            self.push(" and ");
        }
    }

    fn quantified(
        &mut self,
        aim: Aim,
        quantifier: Quantifier,
        list: &Expr,
        variable: Variable,
        condition: &Expr,
    ) {
        let place = match list {
            Expr::Path(path) if path.column().is_none() => self.place(path),
            _ => return self.push("null::boolean"),
        };
        match (aim, quantifier) {
            (Aim::Truth, Quantifier::Exists) => {
                self.push("exists (select from ");
                self.member_elements(&place, variable);
                self.push(" where ");
                self.truth(condition);
                self.push(")");
            }
            (Aim::Truth, Quantifier::All) => {
                self.push("(");
                self.member_is_list(&place);
                self.push(" and not exists (select from ");
                self.member_elements(&place, variable);
                self.push(" where ");
                self.truth(condition);
                self.push(" is not true))");
            }
            (Aim::Verdict, _) => {
                // Of false, error and true the greatest decides, or the least.
                let (extreme, of_none) = match quantifier {
                    Quantifier::Exists => ("max", 0),
                    Quantifier::All => ("min", 2),
                };
                self.push("(case when ");
                self.member_is_list(&place);
                // The inner select makes the aggregate one over these elements, even where the condition reads others.
                self.push(format!(
                    " then (select case coalesce({extreme}(told.truth), {of_none})
                    when 2 then true when 0 then false end from (select case "
                ));
                self.exact(condition);
                self.push(" when true then 2 when false then 0 else 1 end from ");
                self.member_elements(&place, variable);
                self.push(") as told(truth)) end)");
            }
        }
    }
}

/// The least text that is greater than all with this prefix; none where there is no greater one.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            text.push(next);
            return Some(text);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_the_next_text() {
        for (prefix, end) in [
            ("a", Some("b")),
            ("az", Some("a{")),
            ("a\u{10ffff}", Some("b")),
            ("\u{d7ff}", Some("\u{e000}")),
            ("\u{10ffff}", None),
            ("", None),
        ] {
            assert_eq!(after_prefix(prefix).as_deref(), end, "{prefix:?}");
        }
    }
}
