//! A collection as requests need it: its schema and rules compiled.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{
    CollectionRow, Declaration, IndexRow, MemberRule, Reference, Term,
    extensions::Extensions,
    index_store,
    indexes::{self, Index},
    reference_store::ReferenceRow,
    schema,
};
use crate::{
    error::{ApiError, Code, FieldError},
    input::{Shape, escaped},
    rules::{Bound, Claims, Facts, Kind, Members, Predicate, Record, Rule, Vocabulary},
};

/// How statements that conditions are made for call the table of records.
pub const RECORD: &str = "record";

/// Bytes of the largest document, the same as of the largest body.
const LARGEST_DOCUMENT: usize = 1_048_576;

/// A declared collection.
pub struct Collection {
    /// Its name.
    pub name: String,
    /// The number of the table of its records.
    pub serial: i64,
    /// The number of its declaration.
    pub generation: i64,
    /// Whether changing and deleting takes `If-Match`.
    pub requires_precondition: bool,
    /// Whether what is replaced is kept.
    pub has_history: bool,
    /// Who may do what.
    pub rules: Rules,
    declaration: Declaration,
    extensions: Extensions,
    members: Members,
    shape: Shape,
    indexes: Vec<Index>,
    /// The members that constraints are for.
    constraints: HashMap<String, String>,
}

impl Collection {
    /// Compiles a stored declaration.
    ///
    /// # Errors
    /// 500 for one that compiled when it was stored.
    pub(super) fn new(
        row: &CollectionRow,
        stored: &[IndexRow],
        references: &[ReferenceRow],
    ) -> Result<Self, ApiError> {
        let serial = row.serial;
        let declaration = row.declaration()?;
        let broken = |error: ApiError| ApiError::internal(format!("{}: {error}", row.name));
        let extensions = Extensions::compile(&declaration).map_err(broken)?;
        let unique = stored.iter().filter(|index| index.is_unique());
        let unique = unique.map(|index| {
            let constraint = index_store::name(row.serial, index.number);
            (constraint, index.members.join(","))
        });
        let keys = references.iter();
        let keys = keys.map(|row| (row.constraint(serial), row.member.clone()));
        let constraints = unique.chain(keys);
        Ok(Self {
            name: row.name.clone(),
            serial: row.serial,
            generation: row.generation,
            requires_precondition: declaration.require_precondition,
            has_history: declaration.history,
            rules: Rules::compile(&declaration).map_err(broken)?,
            indexes: indexes::of(&declaration, &extensions).map_err(broken)?,
            constraints: constraints.collect(),
            extensions,
            members: schema::members(&declaration),
            shape: schema::compile(&declaration).map_err(broken)?,
            declaration,
        })
    }

    /// As it was declared.
    pub fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    /// The members that its documents are known to have, of those that a caller may see in every record.
    pub fn members_for(&self, asker: &Asker) -> Members {
        let hidden = self.extensions.hidden(asker);
        self.members.clone().without(&hidden)
    }

    /// The members that its documents are known to have.
    pub fn declared(&self) -> &Members {
        &self.members
    }

    /// The words of its documents that are searched, in SQL, where any are.
    pub fn searched(&self) -> Option<String> {
        let names = &self.extensions.searched;
        (!names.is_empty()).then(|| indexes::words_of(names))
    }

    /// The members that refer to other records.
    pub fn references(&self) -> &[Reference] {
        &self.extensions.references
    }

    /// Whether several records can be made as quickly as one: none keeps another from being written, and members have no rules of their own.
    pub fn has_independent_records(&self) -> bool {
        self.constraints.is_empty() && !self.has_member_rules()
    }

    /// The refusal of what could not be written: a value that another record has, or that refers to none.
    pub fn refusal(&self, error: diesel::result::Error) -> ApiError {
        use diesel::result::{DatabaseErrorKind, Error};

        let Error::DatabaseError(kind, information) = &error else {
            return error.into();
        };
        let constraint = information.constraint_name().unwrap_or_default();
        let member = self.constraints.get(constraint);
        let fault = |code, detail: &str| {
            let pointer = member.map(|member| format!("/{}", escaped(member)));
            FieldError::new(pointer.unwrap_or_default(), code, detail)
        };
        let is_ours = |infix| constraint.starts_with(&format!("c{}_{infix}", self.serial));
        match kind {
            DatabaseErrorKind::UniqueViolation if is_ours("i") => {
                let fault = fault("unique", "another record has this value");
                ApiError::with_errors(Code::NotUnique, vec![fault])
            }
            DatabaseErrorKind::ForeignKeyViolation if is_ours("r") => {
                ApiError::invalid(vec![fault("reference", "it refers to no record")])
            }
            _ => error.into(),
        }
    }

    /// Who may see single members.
    pub fn readable(&self) -> &[MemberRule] {
        &self.extensions.readable
    }

    /// Who may write single members.
    pub fn writable(&self) -> &[MemberRule] {
        &self.extensions.writable
    }

    /// Whether what is written depends on what is there.
    pub fn is_read_before_writing(&self) -> bool {
        self.has_member_rules() || !self.extensions.references.is_empty()
    }

    /// Whether single members have rules of their own.
    pub fn has_member_rules(&self) -> bool {
        !self.extensions.readable.is_empty() || !self.extensions.writable.is_empty()
    }

    /// Whether the values of a member are short enough to order by: cursors hold them.
    pub fn can_order_by(&self, term: &Term) -> bool {
        let longest = || schema::longest_text(&self.declaration, &term.path);
        !term.is_text() || longest().is_some_and(|longest| longest <= indexes::LONGEST_TEXTS)
    }

    /// Whether one of the declared indexes, built or not, finds a list that is ordered so, where every record of it has one
    /// value of each member in `equal`.
    pub fn serves_order(&self, order: &[Term], equal: &[Vec<String>]) -> bool {
        let by_id = |term: &Term| term.path == ["id"];
        order.first().is_none_or(by_id)
            || self.indexes.iter().any(|index| index.serves(order, equal))
    }

    /// Whether an index begins with one of the members that are bounded, so that not every record has to be looked at; those in
    /// `equal` to one value.
    pub fn serves_bounds(&self, bounded: &[Vec<String>], equal: &[Vec<String>]) -> bool {
        let is_bounded = |path: &Vec<String>| bounded.contains(path);
        let own = equal
            .iter()
            .any(|path| path == &["id"] || path == &["owner"]);
        let mut firsts = self.indexes.iter().filter_map(|index| index.terms.first());
        own || firsts.any(|term| is_bounded(&term.path))
    }

    /// Brings the timestamps of a document into the form in which they are stored.
    pub fn settle(&self, document: &mut Value) {
        schema::settle(document, &self.members);
    }

    /// Settles a document that is to be stored, and checks it; answers its text.
    ///
    /// # Errors
    /// 422 with a pointer to every fault; 413 for one that patches made too large or too deep.
    pub fn accept(&self, document: &mut Value) -> Result<String, ApiError> {
        schema::refuse_reserved(document)?;
        if schema::is_too_deep(document) {
            return Err(Code::PayloadTooLarge.into());
        }
        self.settle(document);
        let text = document.to_string();
        if text.len() > LARGEST_DOCUMENT {
            return Err(Code::PayloadTooLarge.into());
        }
        self.shape.check(document)?;
        Ok(text)
    }
}

/// Who asks, as rules see it.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The claims of the token; without one, an empty object.
    pub auth: Arc<Value>,
    /// Whether the token may do everything.
    pub is_administrator: bool,
    /// When.
    pub now: DateTime<Utc>,
}

/// Who may do what with the records of a collection.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Which records a list holds.
    pub list: Permission,
    /// Which records can be seen.
    pub read: Permission,
    /// What can be made.
    pub create: Permission,
    /// What can be changed, and into what.
    pub update: Permission,
    /// What can be deleted.
    pub delete: Permission,
}

/// A rule; where there is none, administrators only.
#[derive(Clone, Debug)]
pub struct Permission(Option<Rule>);

impl Permission {
    /// What has to hold of a record in Postgres, for this caller and this input.
    pub fn predicate(&self, asker: &Asker, input: Option<&Value>) -> Predicate {
        match &self.0 {
            Some(rule) => match rule.predicate(&asker.facts(input), RECORD) {
                Predicate::Sql(condition) => Predicate::Sql(condition.kept()),
                settled => settled,
            },
            None if asker.is_administrator => Predicate::True,
            None => Predicate::False,
        }
    }

    /// The rule itself, where there is one.
    pub fn rule(&self) -> Option<&Rule> {
        self.0.as_ref()
    }

    /// The conditions that every record has to meet, for this caller.
    pub fn bounds(&self, asker: &Asker) -> Vec<Bound> {
        let rule = self.0.as_ref();
        rule.map(|rule| rule.bounds_for(&asker.facts(None)))
            .unwrap_or_default()
    }

    /// Whether it shows a record, which need not be stored as it is here any more.
    pub fn shows(&self, asker: &Asker, record: &Record<'_>) -> bool {
        match &self.0 {
            Some(rule) => rule.allows(&asker.facts(None), Some(record)),
            None => asker.is_administrator,
        }
    }

    /// Whether it shows a record, where that takes no time.
    pub fn shows_at_once(&self, asker: &Asker, record: &Record<'_>) -> Option<bool> {
        match &self.0 {
            Some(rule) => rule.allows_at_once(&asker.facts(None), Some(record)),
            None => Some(asker.is_administrator),
        }
    }

    /// Whether there can be a record, an input and a time for which it allows something to this caller.
    pub fn can_allow(&self, asker: &Asker, claims: Claims) -> bool {
        match &self.0 {
            Some(rule) => rule.can_hold(&asker.facts(None), claims),
            None => asker.is_administrator,
        }
    }

    /// Whether it reads the time: then what it shows changes though no record does.
    pub fn uses_now(&self) -> bool {
        self.0.as_ref().is_some_and(Rule::uses_now)
    }

    /// Whether it allows something that no stored record has to do with, where that takes no time.
    pub fn allows_at_once(&self, asker: &Asker, input: &Value) -> Option<bool> {
        match &self.0 {
            Some(rule) => rule.allows_at_once(&asker.facts(Some(input)), None),
            None => Some(asker.is_administrator),
        }
    }

    /// Whether it allows something that no stored record has to do with.
    pub fn allows(&self, asker: &Asker, input: &Value) -> bool {
        match &self.0 {
            Some(rule) => rule.allows(&asker.facts(Some(input)), None),
            None => asker.is_administrator,
        }
    }
}

impl Asker {
    /// What rules and filters are told.
    pub fn facts<'a>(&'a self, input: Option<&'a Value>) -> Facts<'a> {
        Facts {
            auth: &self.auth,
            input,
            now: self.now,
        }
    }
}

impl Rules {
    /// Compiles the rules of a declaration.
    ///
    /// # Errors
    /// 422 with line and column of every mistake.
    pub(super) fn compile(declaration: &Declaration) -> Result<Self, ApiError> {
        let members = schema::members(declaration);
        let asker = || Vocabulary::of_rule(claims());
        let of_record = asker().with_record(members.clone());
        let of_input = asker().with_input(members.clone());
        let of_both = of_record.clone().with_input(members);
        let texts = &declaration.rules;
        let mut faults = Vec::new();
        let mut compile = |name: &str, text: &Option<String>, vocabulary: &Vocabulary| {
            let parsed = text.as_ref().map(|text| Rule::parse(text, vocabulary));
            Permission(parsed.and_then(|parsed| {
                let fault = |mistake: &_| {
                    let detail = format!("{mistake}");
                    faults.push(FieldError::new(format!("/rules/{name}"), "rule", detail));
                };
                parsed.inspect_err(fault).ok()
            }))
        };
        let rules = Self {
            list: compile("list", &texts.list, &of_record),
            read: compile("read", &texts.read, &of_record),
            create: compile("create", &texts.create, &of_input),
            update: compile("update", &texts.update, &of_both),
            delete: compile("delete", &texts.delete, &of_record),
        };
        if faults.is_empty() {
            Ok(rules)
        } else {
            Err(ApiError::invalid(faults))
        }
    }
}

/// What a token is known to say; others may have more (private claims).
pub fn claims() -> Members {
    let texts = || Kind::List(Box::new(Kind::String));
    Members::open([
        ("sub", Kind::String),
        ("client_id", Kind::String),
        ("scope", Kind::String),
        ("sid", Kind::String),
        ("roles", texts()),
        ("amr", texts()),
        ("acr", Kind::String),
        ("auth_time", Kind::Number),
    ])
}
