//! The small tree that both compilers read: what it holds is well-formed, and nothing else can be written in it.

use super::{value::Value, vocabulary::BOOKKEEPING};

/// An expression.
#[derive(Clone, Debug)]
pub(super) enum Expr {
    /// A literal, or what a part without `record` came to.
    Constant(Value<'static>),
    /// What a part without `record` failed with.
    Failure(Fault),
    /// A member of one of the roots, or a root itself.
    Path(Path),
    /// A value that comes from a token: null is an error here, so that nobody equals nothing.
    Claim(Box<Expr>),
    /// The timestamp that a canonical text tells; null stays null.
    Moment(Box<Expr>),
    /// A timestamp, so many milliseconds later.
    Shift(Box<Expr>, i64),
    /// Whether a value is null, which is the same as missing.
    IsNull(Box<Expr>),
    Not(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Compare(Comparison, Box<Expr>, Box<Expr>),
    Arithmetic(Operator, Box<Expr>, Box<Expr>),
    /// A list that is written out.
    List(Vec<Expr>),
    /// Whether a list holds a value.
    In(Box<Expr>, Box<Expr>, Elements),
    /// Whether a text begins with, ends with or contains another.
    Affix(Affix, Box<Expr>, Box<Expr>),
    /// The number of a text's code points or of a list's elements.
    Size(Box<Expr>),
    /// Whether a condition holds for some or for every element of a list.
    Quantified(Quantifier, Box<Expr>, Variable, Box<Expr>),
}

/// Where a value is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub root: Root,
    pub members: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    Auth,
    Record,
    Input,
    Now,
    Variable(Variable),
}

/// A variable of `exists` or `all`, by how many others are in scope around it.
pub(super) type Variable = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Affix {
    Start,
    End,
    Anywhere,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantifier {
    Exists,
    All,
}

/// How the elements of a list are read when a value is looked for among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Elements {
    /// They come from a token.
    pub claims: bool,
    /// They are timestamps.
    pub moments: bool,
}

/// Why an expression has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Two values of different types were compared, or an operator met a type that it is not for.
    #[error("the types don't fit")]
    Type,
    /// Null was ordered, calculated with, or taken for text, a list or a truth value.
    #[error("there is no value")]
    Null,
    /// A value from the token is null where something is compared with it.
    #[error("the token has no such claim")]
    Claim,
    /// A member of a string, a number, a truth value or a list was asked for.
    #[error("only objects have members")]
    Member,
    /// Text that should be a timestamp is none.
    #[error("the text is no timestamp")]
    Timestamp,
    /// A number or timestamp is out of bounds, text holds U+0000, or lists are so long that evaluation takes too long.
    #[error("a value is out of bounds")]
    Bounds,
    /// The caller gave no record, or no input.
    #[error("there is nothing to read from")]
    Absent,
}

impl Comparison {
    /// The comparison that is true when this one is false, and an error when it is.
    pub(super) fn negated(self) -> Self {
        match self {
            Self::Equal => Self::NotEqual,
            Self::NotEqual => Self::Equal,
            Self::Less => Self::GreaterOrEqual,
            Self::LessOrEqual => Self::Greater,
            Self::Greater => Self::LessOrEqual,
            Self::GreaterOrEqual => Self::Less,
        }
    }

    /// The comparison that says the same with the sides exchanged.
    pub(super) fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            same => same,
        }
    }

    pub(super) fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }

    /// As it is written, in the language as in SQL; SQL's inequality aside.
    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

impl Quantifier {
    pub(super) fn dual(self) -> Self {
        match self {
            Self::Exists => Self::All,
            Self::All => Self::Exists,
        }
    }
}

impl Path {
    /// Whether it is a root that has members, and not one of them.
    pub(super) fn is_whole(&self) -> bool {
        self.members.is_empty() && matches!(self.root, Root::Auth | Root::Record | Root::Input)
    }

    /// The column that holds it, where it is not in the document.
    pub(super) fn column(&self) -> Option<&'static str> {
        match self.members.as_slice() {
            [member] if self.root == Root::Record => BOOKKEEPING
                .into_iter()
                .find_map(|(name, _)| (name == member).then_some(name)),
            _ => None,
        }
    }
}

impl Expr {
    pub(super) const FALSE: Self = Self::Constant(Value::Boolean(false));

    /// The parts that it consists of.
    pub(super) fn parts(&self) -> Vec<&Self> {
        match self {
            Self::Constant(_) | Self::Failure(_) | Self::Path(_) => Vec::new(),
            Self::Claim(part)
            | Self::Moment(part)
            | Self::Shift(part, _)
            | Self::IsNull(part)
            | Self::Not(part)
            | Self::Size(part) => vec![part],
            Self::And(parts) | Self::Or(parts) | Self::List(parts) => parts.iter().collect(),
            Self::Compare(_, one, other)
            | Self::Arithmetic(_, one, other)
            | Self::In(one, other, _)
            | Self::Affix(_, one, other)
            | Self::Quantified(_, one, _, other) => vec![one, other],
        }
    }

    /// Whether `found` is true of any path in it.
    pub(super) fn any_path(&self, found: &mut impl FnMut(&Path) -> bool) -> bool {
        match self {
            Self::Path(path) => found(path),
            other => other.parts().into_iter().any(|part| part.any_path(found)),
        }
    }

    /// Whether it is a moment whatever it reads.
    pub(super) fn is_moment(&self) -> bool {
        match self {
            Self::Constant(Value::Moment(_)) | Self::Moment(_) | Self::Shift(..) => true,
            Self::Path(path) => {
                path.root == Root::Now || matches!(path.column(), Some("created_at" | "updated_at"))
            }
            Self::Claim(part) => part.is_moment(),
            _ => false,
        }
    }
}
