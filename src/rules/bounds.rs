//! What an index could help with: the conditions that every record has to meet.

use super::{
    tree::{Affix, Comparison, Expr, Path, Root},
    value::Value,
    vocabulary::Kind,
};

/// A condition on one member, whose other side needs no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The member, by the names that lead to it; a single one for the bookkeeping.
    pub path: Vec<String>,
    /// What it is compared as, where that shows; otherwise whatever the other side turns out to be.
    pub kind: Kind,
    /// How it is compared.
    pub test: Test,
}

/// How a member is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// It equals a value.
    Equal,
    /// It equals one of a list.
    OneOf,
    /// It is less, or less or equal.
    Below,
    /// It is greater, or greater or equal.
    Above,
    /// It is a text that begins with another.
    Prefix,
    /// It is a list that holds a value.
    Contains,
}

/// Finds the bounds among what is joined by `&&` at the top.
pub(super) fn bounds(expr: &Expr) -> Vec<Bound> {
    match expr {
        Expr::And(parts) => parts.iter().flat_map(bounds).collect(),
        expr => bound(expr).into_iter().collect(),
    }
}

fn bound(expr: &Expr) -> Option<Bound> {
    match expr {
        Expr::Compare(comparison, one, other) => {
            let (member, comparison, value) = match (member(one), member(other)) {
                (Some(_), _) if is_known(other) => (one, *comparison, other),
                (_, Some(_)) if is_known(one) => (other, comparison.mirrored(), one),
                _ => return None,
            };
            let test = match comparison {
                Comparison::Equal => Test::Equal,
                Comparison::NotEqual => return None,
                Comparison::Less | Comparison::LessOrEqual => Test::Below,
                Comparison::Greater | Comparison::GreaterOrEqual => Test::Above,
            };
            found(member, kind(value), test)
        }
        Expr::In(element, list, _) if is_known(list) => {
            let kind = match list.as_ref() {
                Expr::List(items) => items.first().map_or(Kind::Any, kind),
                _ => Kind::Any,
            };
            found(element, kind, Test::OneOf)
        }
        Expr::In(element, list, _) if is_known(element) => {
            found(list, Kind::List(Box::new(kind(element))), Test::Contains)
        }
        Expr::Affix(Affix::Start, text, part) if is_known(part) => {
            found(text, Kind::String, Test::Prefix)
        }
        _ => None,
    }
}

fn found(expr: &Expr, kind: Kind, test: Test) -> Option<Bound> {
    let path = member(expr)?;
    let kind = match path.column() {
        Some("id" | "owner") => Kind::Uuid,
        Some("version") => Kind::Number,
        Some(_) => Kind::Timestamp,
        None if matches!(expr, Expr::Moment(_)) => Kind::Timestamp,
        None => kind,
    };
    Some(Bound {
        path: path.members.clone(),
        kind,
        test,
    })
}

fn member(expr: &Expr) -> Option<&Path> {
    match expr {
        Expr::Path(path) if path.root == Root::Record => Some(path),
        Expr::Moment(part) => member(part),
        _ => None,
    }
}

fn is_known(expr: &Expr) -> bool {
    !expr.any_path(&mut |path| matches!(path.root, Root::Record | Root::Variable(_)))
}

fn kind(expr: &Expr) -> Kind {
    match expr {
        expr if expr.is_moment() => Kind::Timestamp,
        Expr::Constant(Value::Text(_)) => Kind::String,
        Expr::Constant(Value::Number(_)) | Expr::Arithmetic(..) | Expr::Size(_) => Kind::Number,
        Expr::Constant(Value::Boolean(_)) => Kind::Boolean,
        _ => Kind::Any,
    }
}
