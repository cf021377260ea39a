//! What a schema says of single members beyond JSON Schema: who may see and write them, which are unique, which are searched.

use serde_json::Value;

use super::{
    Asker, CollectionName, Declaration, Term, compiled::claims, indexes::LONGEST_TEXTS, schema,
};
use crate::{
    error::{ApiError, FieldError},
    input::escaped,
    rules::{self, Kind, Members, Rule, Vocabulary},
};

/// The keywords, all of members of the document itself.
pub(super) const KEYWORDS: [&str; 6] = [
    "x-readable",
    "x-writable",
    "x-search",
    "x-unique",
    "x-ref",
    "x-on-delete",
];

/// Keywords of an object that look at several of its members, or count them.
const TELLING: [&str; 13] = [
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "dependentRequired",
    "dependencies",
    "minProperties",
    "maxProperties",
    "propertyNames",
];

/// A rule of one member.
#[derive(Clone, Debug)]
pub struct MemberRule {
    /// The member.
    pub name: String,
    /// Who may do with it what the rule is for.
    pub rule: Rule,
}

/// What becomes of a record whose target is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDelete {
    /// It keeps the target from being deleted.
    Restrict,
    /// It is deleted, too.
    Delete,
    /// It loses the member.
    Clear,
}

impl OnDelete {
    /// The declared name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Restrict => "restrict",
            Self::Delete => "delete",
            Self::Clear => "clear",
        }
    }

    fn named(name: &str) -> Option<Self> {
        let all = [Self::Restrict, Self::Delete, Self::Clear];
        all.into_iter().find(|one| one.name() == name)
    }
}

/// A member that holds the id of a record of another collection, or of its own.
#[derive(Clone, Debug)]
pub struct Reference {
    /// The member, of whose name SQL needs nothing to be escaped.
    pub member: String,
    /// The other collection's name.
    pub target: String,
    /// What becomes of the record when that one is deleted.
    pub on_delete: OnDelete,
}

impl Reference {
    /// The refusal of a target that is not declared.
    pub(super) fn refuse_target(&self) -> ApiError {
        let pointer = format!("/schema/properties/{}/x-ref", escaped(&self.member));
        let detail = format!("there is no collection `{}`", self.target);
        ApiError::invalid(vec![FieldError::new(pointer, "extension", detail)])
    }
}

/// The extensions of a declaration.
#[derive(Clone, Debug, Default)]
pub(super) struct Extensions {
    /// Who may see a member, by `record`, `auth` and `now`.
    pub readable: Vec<MemberRule>,
    /// Who may write a member, by the same and `input`.
    pub writable: Vec<MemberRule>,
    /// Members that texts are sought in.
    pub searched: Vec<String>,
    /// Members of which no two records have the same value.
    pub unique: Vec<Term>,
    /// Members that refer to other records.
    pub references: Vec<Reference>,
}

impl Extensions {
    /// Reads those of a declaration.
    ///
    /// # Errors
    /// 422 that points at every one that can't be.
    pub fn compile(declaration: &Declaration) -> Result<Self, ApiError> {
        let members = schema::members(declaration);
        let mut reader = Reader {
            declaration,
            record: Vocabulary::of_rule(claims()).with_record(members.clone()),
            members,
            found: Self::default(),
            faults: Vec::new(),
        };
        let properties = declaration.schema.get("properties");
        for (name, schema) in properties.and_then(Value::as_object).into_iter().flatten() {
            reader.reference(name, schema);
            for (keyword, value) in schema.as_object().into_iter().flatten() {
                reader.read(name, keyword, value);
            }
        }
        reader.refuse_open();
        if reader.faults.is_empty() {
            Ok(reader.found)
        } else {
            Err(ApiError::invalid(reader.faults))
        }
    }

    /// The members that a caller may not see in every record: they are none of theirs to filter or to order by.
    pub fn hidden(&self, asker: &Asker) -> Vec<&str> {
        let facts = asker.facts(None);
        let is_hidden = |member: &&MemberRule| !member.rule.is_true_for(&facts);
        let hidden = self.readable.iter().filter(is_hidden);
        hidden.map(|member| member.name.as_str()).collect()
    }
}

struct Reader<'a> {
    declaration: &'a Declaration,
    members: Members,
    record: Vocabulary,
    found: Extensions,
    faults: Vec<FieldError>,
}

impl Reader<'_> {
    fn read(&mut self, name: &str, keyword: &str, value: &Value) {
        let pointer = format!("/schema/properties/{}/{keyword}", escaped(name));
        let read = match keyword {
            "x-readable" => self.rule(name, value, &self.record).map(|rule| {
                self.found.readable.push(rule);
            }),
            "x-writable" => {
                let vocabulary = self.record.clone().with_input(self.members.clone());
                self.rule(name, value, &vocabulary).map(|rule| {
                    self.found.writable.push(rule);
                })
            }
            "x-search" => self.wanted(value).and_then(|wanted| {
                let is_text = self.members.kind(name) == Some(&Kind::String);
                let is_plain = rules::accessor(&[name.to_owned()], &Kind::String).is_some();
                if wanted && !(is_text && is_plain) {
                    let detail = "only texts are searched, under a name of letters, digits and `_`";
                    return Err(detail.to_owned());
                }
                let names = wanted.then(|| name.to_owned());
                self.found.searched.extend(names);
                Ok(())
            }),
            "x-unique" => self.wanted(value).and_then(|wanted| {
                let term = wanted.then(|| self.unique(name)).transpose()?;
                self.found.unique.extend(term);
                Ok(())
            }),
            _ => Ok(()),
        };
        if let Err(detail) = read {
            self.faults
                .push(FieldError::new(pointer, "extension", detail));
        }
    }

    fn reference(&mut self, name: &str, schema: &Value) {
        let refuse = |keyword: &str, detail: &str| {
            let pointer = format!("/schema/properties/{}/{keyword}", escaped(name));
            FieldError::new(pointer, "extension", detail)
        };
        let on_delete = schema.get("x-on-delete");
        let Some(target) = schema.get("x-ref") else {
            let fault = on_delete.map(|_| refuse("x-on-delete", "it belongs to an `x-ref`"));
            self.faults.extend(fault);
            return;
        };
        let choice = on_delete.map_or(Some(OnDelete::Restrict), |choice| {
            choice.as_str().and_then(OnDelete::named)
        });
        let Some(on_delete) = choice else {
            let detail = "`restrict`, `delete` or `clear`";
            self.faults.push(refuse("x-on-delete", detail));
            return;
        };
        let target = target.as_str().and_then(|name| name.parse().ok());
        let required = self.declaration.schema.get("required");
        let mut required = required.and_then(Value::as_array).into_iter().flatten();
        let kind = self.members.kind(name);
        let is_plain = rules::accessor(&[name.to_owned()], &Kind::Uuid).is_some();
        let fault = match target {
            None => Some(refuse("x-ref", "it names a collection")),
            Some(_) if kind != Some(&Kind::Uuid) || !is_plain => Some(refuse(
                "x-ref",
                "a member of type `string` and format `uuid` refers to others, by a name of letters, digits and `_`",
            )),
            Some(_) if on_delete == OnDelete::Clear && required.any(|one| one == name) => {
                Some(refuse("x-on-delete", "a required member can't be cleared"))
            }
            Some(target) => {
                self.found.references.push(Reference {
                    member: name.to_owned(),
                    target: CollectionName::into(target),
                    on_delete,
                });
                None
            }
        };
        self.faults.extend(fault);
    }

    fn rule(
        &self,
        name: &str,
        value: &Value,
        vocabulary: &Vocabulary,
    ) -> Result<MemberRule, String> {
        let text = value.as_str().ok_or("the value is an expression")?;
        let rule = Rule::parse(text, vocabulary).map_err(|mistake| mistake.to_string())?;
        Ok(MemberRule {
            name: name.to_owned(),
            rule,
        })
    }

    fn wanted(&self, value: &Value) -> Result<bool, String> {
        let wanted = value.as_bool();
        wanted.ok_or_else(|| "the value is true or false".to_owned())
    }

    fn unique(&self, name: &str) -> Result<Term, String> {
        let term = Term::parse(name, &self.members)?;
        if term.path != [name] {
            return Err("a member with dots in its name can't be unique".to_owned());
        }
        let length = schema::longest_text(self.declaration, &term.path);
        if term.is_text() && length.is_none_or(|length| length > LONGEST_TEXTS) {
            let detail = format!("needs a `maxLength` of at most {LONGEST_TEXTS}");
            return Err(detail);
        }
        Ok(term)
    }

    /// Where there may be members that the schema doesn't name, a hidden one could be asked for as one of those.
    fn refuse_open(&mut self) {
        let Self { found, members, .. } = self;
        if !found.readable.is_empty() && !members.is_closed() {
            let detail = "members are hidden only where there are no others: `\"additionalProperties\": false`";
            self.faults
                .push(FieldError::new("/schema", "extension", detail));
        }
        // These look at members together, so a refusal would tell of one that is hidden.
        let told = TELLING.iter().filter(|_| !self.found.readable.is_empty());
        for keyword in told.filter(|keyword| self.declaration.schema.contains_key(**keyword)) {
            let detail = "it would tell of members that are hidden by `x-readable`";
            self.faults.push(FieldError::new(
                format!("/schema/{keyword}"),
                "extension",
                detail,
            ));
        }
        for member in &self.found.readable {
            if self.found.searched.contains(&member.name) {
                let pointer = format!("/schema/properties/{}/x-search", escaped(&member.name));
                let detail = "what not everybody may see is not searched";
                self.faults
                    .push(FieldError::new(pointer, "extension", detail));
            }
        }
    }
}

/// Whether a keyword of ours may stand here: on a member of the document itself.
pub(super) fn is_known(keyword: &str, place: &str) -> bool {
    let member = place.strip_prefix("/schema/properties/");
    KEYWORDS.contains(&keyword) && member.is_some_and(|member| !member.contains('/'))
}
