//! What a schema says of single members beyond JSON Schema: who may see and write them, which are unique, which are searched.

use serde_json::Value;

use super::{Asker, Declaration, Term, compiled::claims, indexes::LONGEST_TEXTS, schema};
use crate::{
    error::{ApiError, FieldError},
    input::escaped,
    rules::{Kind, Members, Rule, Vocabulary},
};

/// The keywords, all of members of the document itself.
pub(super) const KEYWORDS: [&str; 4] = ["x-readable", "x-writable", "x-search", "x-unique"];

/// A rule of one member.
#[derive(Clone, Debug)]
pub struct MemberRule {
    /// The member.
    pub name: String,
    /// Who may do with it what the rule is for.
    pub rule: Rule,
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
                if wanted && !is_text {
                    return Err("only texts are searched".to_owned());
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
