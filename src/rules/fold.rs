//! What Postgres need not know: parts without `record` are evaluated here, and `!` moves to where it is harmless.

use std::borrow::Cow;

use super::{
    evaluate::Scope,
    facts::{Claims, Facts},
    tree::{Comparison, Elements, Expr, Fault, Path, Quantifier, Root, Variable},
    value::Value,
};

/// Parts that a folded condition may have: lists of the token are written out in it.
const MOST_PARTS: usize = 8192;

/// Moves every `!` as far inside as it goes, so that a comparison stays one that an index knows: the laws of De Morgan
/// hold for three truths too.
pub(super) fn push_negations(expr: Expr) -> Expr {
    match expr {
        Expr::Not(part) => negation(*part),
        Expr::And(parts) => joined(Quantifier::All, parts.into_iter().map(push_negations)),
        Expr::Or(parts) => joined(Quantifier::Exists, parts.into_iter().map(push_negations)),
        Expr::Quantified(quantifier, list, variable, condition) => {
            let condition = Box::new(push_negations(*condition));
            Expr::Quantified(quantifier, list, variable, condition)
        }
        other => other,
    }
}

fn negation(expr: Expr) -> Expr {
    match expr {
        Expr::Not(part) => push_negations(*part),
        Expr::And(parts) => joined(Quantifier::Exists, parts.into_iter().map(negation)),
        Expr::Or(parts) => joined(Quantifier::All, parts.into_iter().map(negation)),
        Expr::Compare(comparison, one, other) => Expr::Compare(comparison.negated(), one, other),
        Expr::Quantified(quantifier, list, variable, condition) => {
            let condition = Box::new(negation(*condition));
            Expr::Quantified(quantifier.dual(), list, variable, condition)
        }
        other => Expr::Not(Box::new(other)),
    }
}

/// Joins conditions with `&&` or `||`, and leaves out what decides nothing; what is joined likewise becomes one list.
fn joined(quantifier: Quantifier, parts: impl IntoIterator<Item = Expr>) -> Expr {
    let decisive = quantifier == Quantifier::Exists;
    let mut kept = Vec::new();
    for part in parts {
        match (quantifier, part) {
            (_, Expr::Constant(Value::Boolean(truth))) if truth == decisive => {
                return Expr::Constant(Value::Boolean(truth));
            }
            (_, Expr::Constant(Value::Boolean(_))) => {}
            (Quantifier::All, Expr::And(parts)) | (Quantifier::Exists, Expr::Or(parts)) => {
                kept.extend(parts);
            }
            (_, part) => kept.push(part),
        }
    }
    if matches!(kept.as_slice(), [part] if stands_alone(part)) {
        return kept.swap_remove(0);
    }
    match quantifier {
        _ if kept.is_empty() => Expr::Constant(Value::Boolean(!decisive)),
        Quantifier::All => Expr::And(kept),
        Quantifier::Exists => Expr::Or(kept),
    }
}

/// Whether a condition needs no other to be one: what is read may turn out to be no truth value, and then it is an error.
fn stands_alone(part: &Expr) -> bool {
    !matches!(part, Expr::Path(_) | Expr::Constant(_))
}

/// Leaves out what can't make a condition true: where only truth matters, an error is false.
pub(super) fn without_errors(expr: Expr) -> Expr {
    match expr {
        Expr::Failure(_) => Expr::FALSE,
        Expr::And(parts) => joined(Quantifier::All, parts.into_iter().map(without_errors)),
        Expr::Or(parts) => joined(Quantifier::Exists, parts.into_iter().map(without_errors)),
        other => other,
    }
}

/// Evaluates what needs no record.
pub(super) fn fold(expr: &Expr, facts: &Facts<'_>) -> Expr {
    folded(expr, facts, None)
}

/// Evaluates what needs nothing but the token, before there is a request.
pub(super) fn foresee(expr: &Expr, facts: &Facts<'_>, claims: Claims) -> Expr {
    folded(expr, facts, Some(claims))
}

fn folded(expr: &Expr, facts: &Facts<'_>, foreseen: Option<Claims>) -> Expr {
    let mut folder = Folder {
        scope: Scope::new(facts, None),
        foreseen,
        parts: 0,
    };
    folder.fold(expr)
}

/// Whether a folded condition can be true at all.
pub(super) fn is_possible(expr: &Expr) -> bool {
    match expr {
        Expr::Failure(_) => false,
        Expr::Constant(value) => *value == Value::Boolean(true),
        Expr::And(parts) => parts.iter().all(is_possible),
        Expr::Or(parts) => parts.iter().any(is_possible),
        Expr::Quantified(Quantifier::Exists, _, _, condition) => is_possible(condition),
        _ => true,
    }
}

struct Folder<'a> {
    scope: Scope<'a>,
    /// The token alone is known, so well.
    foreseen: Option<Claims>,
    parts: usize,
}

impl<'a> Folder<'a> {
    fn fold(&mut self, expr: &'a Expr) -> Expr {
        self.parts += 1;
        if self.parts > MOST_PARTS {
            return Expr::Failure(Fault::Bounds);
        }
        if self.is_closed(expr) && !matches!(expr, Expr::List(_)) {
            return evaluated(&mut self.scope, expr);
        }
        let folded = match expr {
            Expr::Claim(part) => Expr::Claim(Box::new(self.fold(part))),
            Expr::And(parts) => return self.join(Quantifier::All, parts),
            Expr::Or(parts) => return self.join(Quantifier::Exists, parts),
            Expr::Quantified(quantifier, list, variable, condition) => {
                return self.quantified(*quantifier, list, *variable, condition);
            }
            Expr::In(element, list, elements) => return self.is_in(element, list, *elements),
            Expr::List(items) => {
                return Expr::List(items.iter().map(|item| self.fold(item)).collect());
            }
            Expr::Moment(part) => Expr::Moment(Box::new(self.fold(part))),
            Expr::Shift(part, by) => Expr::Shift(Box::new(self.fold(part)), *by),
            Expr::IsNull(part) => Expr::IsNull(Box::new(self.fold(part))),
            Expr::Not(part) => Expr::Not(Box::new(self.fold(part))),
            Expr::Size(part) => Expr::Size(Box::new(self.fold(part))),
            Expr::Compare(comparison, one, other) => Expr::Compare(
                *comparison,
                Box::new(self.fold(one)),
                Box::new(self.fold(other)),
            ),
            Expr::Arithmetic(operator, one, other) => Expr::Arithmetic(
                *operator,
                Box::new(self.fold(one)),
                Box::new(self.fold(other)),
            ),
            Expr::Affix(affix, one, other) => {
                Expr::Affix(*affix, Box::new(self.fold(one)), Box::new(self.fold(other)))
            }
            Expr::Constant(_) | Expr::Failure(_) | Expr::Path(_) => expr.clone(),
        };
        // All of these need every part.
        if let Some(fault) = folded.parts().into_iter().find_map(failed) {
            return Expr::Failure(fault);
        }
        let is_known = |part: &&Expr| matches!(part, Expr::Constant(_));
        if matches!(folded, Expr::Path(_)) || !folded.parts().iter().all(is_known) {
            return folded;
        }
        // A part that names the record may have been decided without it.
        evaluated(&mut Scope::new(self.scope.facts, None), &folded)
    }

    /// Whether everything that it reads is known.
    fn is_closed(&self, expr: &Expr) -> bool {
        let variables = &self.scope.variables;
        !expr.any_path(&mut |path: &Path| match path.root {
            Root::Record => true,
            // A variable further in belongs to a part of the expression.
            Root::Variable(variable) => variables.get(variable).is_some_and(Option::is_none),
            Root::Input | Root::Now => self.foreseen.is_some(),
            Root::Auth => {
                let claim = path.members.first();
                self.foreseen == Some(Claims::Some)
                    && claim.is_none_or(|name| self.scope.facts.auth.get(name).is_none())
            }
        })
    }

    fn join(&mut self, quantifier: Quantifier, parts: &'a [Expr]) -> Expr {
        let parts: Vec<_> = parts.iter().map(|part| self.fold(part)).collect();
        joined(quantifier, parts)
    }

    fn quantified(
        &mut self,
        quantifier: Quantifier,
        list: &'a Expr,
        variable: Variable,
        condition: &'a Expr,
    ) -> Expr {
        if !self.is_closed(list) {
            let list = self.fold(list);
            let condition = self.within(None, condition);
            return Expr::Quantified(quantifier, Box::new(list), variable, Box::new(condition));
        }
        // Written out element by element, each comparison can use an index.
        match self.scope.items(list) {
            Ok(items) => {
                let items = items.iter().cloned().map(|item| Some(Cow::Owned(item)));
                let parts: Vec<_> = items.map(|item| self.within(item, condition)).collect();
                joined(quantifier, parts)
            }
            Err(fault) => Expr::Failure(fault),
        }
    }

    fn within(&mut self, item: Option<Cow<'a, serde_json::Value>>, condition: &'a Expr) -> Expr {
        self.scope.variables.push(item);
        let folded = self.fold(condition);
        self.scope.variables.pop();
        folded
    }

    /// What is looked for in a list of the token or in one that is written out is compared with known values, and with
    /// unknown ones one by one.
    fn is_in(&mut self, element: &'a Expr, list: &'a Expr, elements: Elements) -> Expr {
        let sought = self.fold(element);
        if let Some(fault) = failed(&sought) {
            return Expr::Failure(fault);
        }
        let items: Vec<_> = match list {
            Expr::List(items) => items.iter().map(|item| self.fold(item)).collect(),
            list if self.is_closed(list) => match self.scope.items(list) {
                Ok(items) => items.iter().map(|item| known(item, elements)).collect(),
                Err(fault) => return Expr::Failure(fault),
            },
            list => {
                let list = self.fold(list);
                return Expr::In(Box::new(sought), Box::new(list), elements);
            }
        };
        let (known, unknown): (Vec<_>, Vec<_>) = items
            .into_iter()
            .partition(|item| matches!(item, Expr::Constant(_) | Expr::Failure(_)));
        self.parts += known.len() + unknown.len();
        let equals =
            |item| Expr::Compare(Comparison::Equal, Box::new(item), Box::new(sought.clone()));
        let mut parts: Vec<_> = unknown.into_iter().map(equals).collect();
        if let Expr::Constant(sought) = &sought {
            parts.push(is_among(sought, &known));
        } else if parts.is_empty() || !known.is_empty() {
            let list = Box::new(Expr::List(known));
            parts.push(Expr::In(Box::new(sought), list, elements));
        }
        joined(Quantifier::Exists, parts)
    }
}

fn evaluated<'a>(scope: &mut Scope<'a>, expr: &'a Expr) -> Expr {
    match scope.value(expr) {
        Ok(value) => Expr::Constant(value.into_owned()),
        Err(fault) => Expr::Failure(fault),
    }
}

fn failed(expr: &Expr) -> Option<Fault> {
    match expr {
        Expr::Failure(fault) => Some(*fault),
        _ => None,
    }
}

/// Looks for a known value among known values.
fn is_among(sought: &Value<'_>, items: &[Expr]) -> Expr {
    let compared = items.iter().map(|item| match item {
        Expr::Constant(item) => item.compare(Comparison::Equal, sought),
        item => Err(failed(item).unwrap_or(Fault::Type)),
    });
    let compared = compared.map(|truth| match truth {
        Ok(truth) => Expr::Constant(Value::Boolean(truth)),
        Err(fault) => Expr::Failure(fault),
    });
    joined(Quantifier::Exists, compared)
}

/// An element of a known list.
fn known(item: &serde_json::Value, elements: Elements) -> Expr {
    let value = match Value::read(item) {
        Ok(Value::Null) if elements.claims => Err(Fault::Claim),
        Ok(value) if elements.moments => value.into_moment(),
        read => read,
    };
    match value {
        Ok(value) => Expr::Constant(value.into_owned()),
        Err(fault) => Expr::Failure(fault),
    }
}
