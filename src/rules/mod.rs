//! The language of rules and filters: who may do what, and which records are asked for.
//!
//! An expression in the syntax of CEL is parsed once into a small tree of our own ([`Rule::parse`]), and everything that
//! the tree can't say is refused with its place. The tree is read by two compilers: [`Rule::evaluate`] works in process,
//! [`Rule::predicate`] makes SQL. Both know three truths (true, false, error) and must agree on every expression and
//! every document; a differential property test holds them together. An error grants nothing, wherever it stands: only
//! what is true without it is true.

mod bounds;
mod check;
mod check_calls;
mod decimal;
mod evaluate;
mod facts;
mod fold;
mod member;
mod mistake;
mod moment;
mod parse;
mod scan;
mod sql;
mod sql_compare;
mod sql_lists;
mod sql_values;
mod tree;
mod value;
mod vocabulary;

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc};

pub use bounds::{Bound, Test};
pub use facts::{Claims, Facts, Record, Verdict};
pub use member::accessor;
pub use mistake::Mistake;
pub use moment::{canonical, read_canonical};
pub use sql::Condition;
pub use tree::Fault;
pub use vocabulary::{Kind, Members, Vocabulary};

use evaluate::Scope;
use sql::Writer;
use tree::{Expr, Root};
use value::Value;

/// A rule or a filter, ready to be asked.
#[derive(Clone, Debug)]
pub struct Rule(Arc<Trees>);

#[derive(Debug)]
struct Trees {
    /// As it was written.
    written: Expr,
    /// The same with every `!` moved inside, for Postgres.
    positive: Expr,
}

/// Parts of a rule that are evaluated while others wait.
const FEW_STEPS: usize = 2_000;

/// Which records a rule leaves, once it is known who asks.
#[derive(Clone, Debug)]
pub enum Predicate {
    /// All.
    True,
    /// None.
    False,
    /// Those for which this is true.
    Sql(Condition),
}

impl Rule {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &str, vocabulary: &Vocabulary) -> Result<Self, Mistake> {
        let written = parse::parse(text, vocabulary)?;
        let positive = fold::push_negations(written.clone());
        Ok(Self(Arc::new(Trees { written, positive })))
    }

    /// Tells whether it holds; `record` may be left out where the rule names none.
    pub fn evaluate(&self, facts: &Facts<'_>, record: Option<&Record<'_>>) -> Verdict {
        Scope::new(facts, record).holds(&self.0.written).into()
    }

    /// Tells whether it grants: an error doesn't.
    pub fn allows(&self, facts: &Facts<'_>, record: Option<&Record<'_>>) -> bool {
        self.evaluate(facts, record) == Verdict::True
    }

    /// Tells the same where that takes few steps.
    pub fn allows_at_once(&self, facts: &Facts<'_>, record: Option<&Record<'_>>) -> Option<bool> {
        self.allows_within(FEW_STEPS, facts, record)
    }

    /// Tells the same where it takes no more than so many steps.
    pub fn allows_within(
        &self,
        steps: usize,
        facts: &Facts<'_>,
        record: Option<&Record<'_>>,
    ) -> Option<bool> {
        let mut scope = Scope::within(steps, facts, record);
        let allows = scope.holds(&self.0.written) == Ok(true);
        (!scope.is_exhausted()).then_some(allows)
    }

    /// Tells whether it can ever grant something to whoever has these claims: what records, input and time say is left open.
    pub fn can_hold(&self, facts: &Facts<'_>, claims: Claims) -> bool {
        fold::is_possible(&fold::foresee(&self.0.positive, facts, claims))
    }

    /// Compiles it for a table, known as `alias` in the statement, with the columns `id`, `owner`, `version`,
    /// `created_at`, `updated_at` and `data`: the condition is true for exactly the records that it allows.
    pub fn predicate(&self, facts: &Facts<'_>, alias: &'static str) -> Predicate {
        let mut writer = Writer::new(alias);
        match fold::without_errors(fold::fold(&self.0.positive, facts)) {
            Expr::Constant(Value::Boolean(true)) => Predicate::True,
            Expr::Constant(_) => Predicate::False,
            folded => {
                writer.truth(&folded);
                Predicate::Sql(writer.finish())
            }
        }
    }

    /// Whether it holds of every record, as far as these facts go.
    pub fn is_true_for(&self, facts: &Facts<'_>) -> bool {
        let folded = fold::without_errors(fold::fold(&self.0.positive, facts));
        matches!(folded, Expr::Constant(Value::Boolean(true)))
    }

    /// Compiles it like [`Self::predicate`], but so that Postgres tells the whole verdict: null for an error.
    pub fn verdict(&self, facts: &Facts<'_>, alias: &'static str) -> Condition {
        let mut writer = Writer::new(alias);
        writer.exact(&fold::fold(&self.0.written, facts));
        writer.finish()
    }

    /// The conditions that every record has to meet whoever asks, for whoever looks for an index.
    pub fn bounds(&self) -> Vec<Bound> {
        bounds::bounds(&self.0.positive)
    }

    /// The same once it is known who asks: where an alternative is decided by the token, the rest may be a bound.
    pub fn bounds_for(&self, facts: &Facts<'_>) -> Vec<Bound> {
        bounds::bounds(&fold::without_errors(fold::fold(&self.0.positive, facts)))
    }

    /// The members of the record that it reads, by the names that lead to them.
    pub fn members(&self) -> Vec<Vec<String>> {
        let mut members = Vec::new();
        self.0.written.any_path(&mut |path| {
            if path.root == Root::Record && !members.contains(&path.members) {
                members.push(path.members.clone());
            }
            false
        });
        members
    }

    /// The claims of the token that it reads; a name that is empty stands for all of them.
    pub fn claims(&self) -> BTreeSet<String> {
        let mut claims = BTreeSet::new();
        self.0.written.any_path(&mut |path| {
            if path.root == Root::Auth {
                claims.insert(path.members.first().cloned().unwrap_or_default());
            }
            false
        });
        claims
    }

    /// Whether it reads the stored record.
    pub fn uses_record(&self) -> bool {
        self.uses(Root::Record)
    }

    /// Whether it reads what is to be stored.
    pub fn uses_input(&self) -> bool {
        self.uses(Root::Input)
    }

    /// Whether it reads the claims of the token: otherwise it says the same to everyone.
    pub fn uses_auth(&self) -> bool {
        self.uses(Root::Auth)
    }

    /// Whether it reads the time: otherwise a verdict stays.
    pub fn uses_now(&self) -> bool {
        self.uses(Root::Now)
    }

    fn uses(&self, root: Root) -> bool {
        self.0.written.any_path(&mut |path| path.root == root)
    }
}
