//! The evaluator in process: for changes that are told to subscribers, and for whatever needs no database.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::{
    facts::{Facts, Record},
    moment,
    tree::{Affix, Comparison, Elements, Expr, Fault, Operator, Path, Quantifier, Root},
    value::Value,
};

/// Parts that are evaluated before an expression is given up: nested lists can make it a matter of minutes.
pub(super) const MOST_STEPS: usize = 1_000_000;

/// Bytes of a text that are looked at in one step.
const BYTES: usize = 64;

/// What the evaluator reads from.
#[derive(Clone)]
pub(super) struct Scope<'a> {
    pub facts: &'a Facts<'a>,
    pub record: Option<&'a Record<'a>>,
    /// The values of the variables, the outermost first; none for one that only Postgres knows.
    pub variables: Vec<Option<Cow<'a, Json>>>,
    /// Steps that are left.
    steps: usize,
}

impl<'a> Scope<'a> {
    pub(super) fn new(facts: &'a Facts<'a>, record: Option<&'a Record<'a>>) -> Self {
        Self::within(MOST_STEPS, facts, record)
    }

    pub(super) fn within(
        steps: usize,
        facts: &'a Facts<'a>,
        record: Option<&'a Record<'a>>,
    ) -> Self {
        Self {
            facts,
            record,
            variables: Vec::new(),
            // The last may be spent, too.
            steps: steps + 1,
        }
    }

    /// Whether it was given up.
    pub(super) fn is_exhausted(&self) -> bool {
        self.steps == 0
    }

    fn spend(&mut self, steps: usize) -> Result<(), Fault> {
        self.steps = self.steps.saturating_sub(steps);
        if self.is_exhausted() {
            return Err(Fault::Bounds);
        }
        Ok(())
    }

    /// Tells whether a condition holds.
    pub(super) fn holds(&mut self, expr: &'a Expr) -> Result<bool, Fault> {
        match self.value(expr)? {
            Value::Boolean(truth) => Ok(truth),
            Value::Null => Err(Fault::Null),
            _ => Err(Fault::Type),
        }
    }

    /// Tells the value of an expression.
    pub(super) fn value(&mut self, expr: &'a Expr) -> Result<Value<'a>, Fault> {
        self.spend(1)?;
        let truth = match expr {
            Expr::Constant(value) => return Ok(value.borrowed()),
            Expr::Failure(fault) => return Err(*fault),
            Expr::Path(path) => {
                let value = self.read(path)?;
                self.spend(weight(&value))?;
                return Ok(value);
            }
            Expr::Claim(part) => {
                return match self.value(part)? {
                    Value::Null => Err(Fault::Claim),
                    value => Ok(value),
                };
            }
            Expr::Moment(part) => return self.value(part)?.into_moment(),
            Expr::Shift(part, milliseconds) => {
                return self.shifted(part, *milliseconds);
            }
            Expr::Arithmetic(operator, one, other) => {
                return self.calculated(*operator, one, other);
            }
            Expr::Size(part) => return self.size(part),
            // The parser lets a list stand only where its elements are looked through.
            Expr::List(_) => return Err(Fault::Type),
            Expr::IsNull(part) => self.value(part)? == Value::Null,
            Expr::Not(part) => !self.holds(part)?,
            Expr::And(parts) => self.quantify(Quantifier::All, parts, Self::holds)?,
            Expr::Or(parts) => self.quantify(Quantifier::Exists, parts, Self::holds)?,
            Expr::Compare(comparison, one, other) => {
                let (one, other) = (self.value(one)?, self.value(other)?);
                one.compare(*comparison, &other)?
            }
            Expr::In(element, list, elements) => self.is_in(element, list, *elements)?,
            Expr::Affix(affix, text, part) => self.has_affix(*affix, text, part)?,
            Expr::Quantified(quantifier, list, _, condition) => {
                self.quantified(*quantifier, list, condition)?
            }
        };
        Ok(Value::Boolean(truth))
    }

    /// Joins truths by the rules of CEL: one that decides wins over an error, wherever either stands.
    fn quantify<T>(
        &mut self,
        quantifier: Quantifier,
        items: impl IntoIterator<Item = T>,
        mut holds: impl FnMut(&mut Self, T) -> Result<bool, Fault>,
    ) -> Result<bool, Fault> {
        let decisive = quantifier == Quantifier::Exists;
        let mut joined = Ok(!decisive);
        for item in items {
            match holds(self, item) {
                Ok(truth) if truth == decisive => return Ok(decisive),
                Ok(_) => {}
                Err(fault) => joined = joined.and(Err(fault)),
            }
        }
        joined
    }

    fn read(&self, path: &'a Path) -> Result<Value<'a>, Fault> {
        let root = match path.root {
            Root::Now => return Ok(Value::Moment(moment::whole_milliseconds(self.facts.now))),
            Root::Auth => Cow::Borrowed(self.facts.auth),
            Root::Input => Cow::Borrowed(self.facts.input.ok_or(Fault::Absent)?),
            Root::Record => {
                let record = self.record.ok_or(Fault::Absent)?;
                match path.column() {
                    Some(column) => return Ok(column_value(record, column)),
                    None => Cow::Borrowed(record.data),
                }
            }
            Root::Variable(variable) => {
                let value = self.variables.get(variable).cloned().flatten();
                value.ok_or(Fault::Absent)?
            }
        };
        match root {
            Cow::Borrowed(root) => Value::read(follow(root, &path.members)?),
            Cow::Owned(root) => {
                Value::read(follow(&root, &path.members)?).map(|value| value.into_owned())
            }
        }
    }

    fn shifted(&mut self, part: &'a Expr, milliseconds: i64) -> Result<Value<'a>, Fault> {
        match self.value(part)? {
            Value::Moment(moment) => moment::shift(moment, milliseconds)
                .map(Value::Moment)
                .ok_or(Fault::Bounds),
            Value::Null => Err(Fault::Null),
            _ => Err(Fault::Type),
        }
    }

    fn calculated(
        &mut self,
        operator: Operator,
        one: &'a Expr,
        other: &'a Expr,
    ) -> Result<Value<'a>, Fault> {
        match (self.value(one)?, self.value(other)?) {
            (Value::Number(one), Value::Number(other)) => Ok(Value::Number(match operator {
                Operator::Add => one.add(&other),
                Operator::Subtract => one.add(&other.negated()),
                Operator::Multiply => one.multiply(&other),
            })),
            (Value::Null, _) | (_, Value::Null) => Err(Fault::Null),
            _ => Err(Fault::Type),
        }
    }

    fn size(&mut self, part: &'a Expr) -> Result<Value<'a>, Fault> {
        let size = match self.value(part)? {
            Value::Text(text) => text.chars().count(),
            Value::List(items) => items.len(),
            Value::Null => return Err(Fault::Null),
            _ => return Err(Fault::Type),
        };
        let size = i64::try_from(size).map_err(|_error| Fault::Bounds)?;
        Ok(Value::Number(size.into()))
    }

    fn has_affix(&mut self, affix: Affix, text: &'a Expr, part: &'a Expr) -> Result<bool, Fault> {
        match (self.value(text)?, self.value(part)?) {
            (Value::Text(text), Value::Text(part)) => Ok(match affix {
                Affix::Start => text.starts_with(part.as_ref()),
                Affix::End => text.ends_with(part.as_ref()),
                Affix::Anywhere => text.contains(part.as_ref()),
            }),
            (Value::Null, _) | (_, Value::Null) => Err(Fault::Null),
            _ => Err(Fault::Type),
        }
    }

    fn is_in(
        &mut self,
        element: &'a Expr,
        list: &'a Expr,
        elements: Elements,
    ) -> Result<bool, Fault> {
        let sought = self.value(element)?;
        if let Expr::List(items) = list {
            return self.quantify(Quantifier::Exists, items, |scope, item| {
                scope.value(item)?.compare(Comparison::Equal, &sought)
            });
        }
        let items = self.items(list)?;
        self.quantify(Quantifier::Exists, items.iter(), |scope, item| {
            scope.spend(steps(item))?;
            let item = match Value::read(item)? {
                Value::Null if elements.claims => return Err(Fault::Claim),
                item if elements.moments => item.into_moment()?,
                item => item,
            };
            item.compare(Comparison::Equal, &sought)
        })
    }

    fn quantified(
        &mut self,
        quantifier: Quantifier,
        list: &'a Expr,
        condition: &'a Expr,
    ) -> Result<bool, Fault> {
        let items: Vec<Cow<'a, Json>> = match self.items(list)? {
            Cow::Borrowed(items) => items.iter().map(Cow::Borrowed).collect(),
            Cow::Owned(items) => items.into_iter().map(Cow::Owned).collect(),
        };
        self.quantify(quantifier, items, |scope, item| {
            scope.variables.push(Some(item));
            let truth = scope.holds(condition);
            scope.variables.pop();
            truth
        })
    }

    pub(super) fn items(&mut self, list: &'a Expr) -> Result<Cow<'a, [Json]>, Fault> {
        match self.value(list)? {
            Value::List(items) => Ok(items),
            Value::Null => Err(Fault::Null),
            _ => Err(Fault::Type),
        }
    }
}

/// The steps of reading a value: whoever compares it may look at all of it.
fn weight(value: &Value<'_>) -> usize {
    match value {
        Value::Text(text) => text.len() / BYTES,
        Value::List(items) => items.iter().map(steps).sum(),
        _ => 0,
    }
}

fn steps(json: &Json) -> usize {
    let inner = match json {
        Json::String(text) => text.len() / BYTES,
        Json::Array(items) => items.iter().map(steps).sum(),
        Json::Object(members) => members.values().map(steps).sum(),
        _ => 0,
    };
    1 + inner
}

fn column_value<'a>(record: &'a Record<'a>, column: &str) -> Value<'a> {
    let text = |uuid: uuid::Uuid| Value::Text(Cow::Owned(uuid.to_string()));
    match column {
        "id" => text(record.id),
        "owner" => record.owner.map_or(Value::Null, text),
        "version" => Value::Number(record.version.into()),
        "created_at" => Value::Moment(record.created_at),
        _ => Value::Moment(record.updated_at),
    }
}

/// Goes down by the names of members: a missing one is null, and so is every member of null.
fn follow<'a>(root: &'a Json, members: &[String]) -> Result<&'a Json, Fault> {
    let mut place = root;
    for name in members {
        place = match place {
            Json::Object(members) => members.get(name).unwrap_or(&Json::Null),
            Json::Null => &Json::Null,
            _ => return Err(Fault::Member),
        };
    }
    Ok(place)
}
