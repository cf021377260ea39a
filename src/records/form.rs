//! What of a record a caller is shown: all of it, what the rules of its members leave, or what was asked for.

use serde::{Serialize, Serializer, ser::Error};
use serde_json::{Map, Value, value::RawValue};
use uuid::Uuid;

use super::row::{RecordRow, SERVER_MEMBERS};
use crate::{
    collections::{Asker, Collection},
    error::{ApiError, Code, FieldError},
    input::escaped,
    rules::Record,
};

/// Members that one request may name.
const MOST: usize = 100;

/// Members that every form has.
const ALWAYS: [&str; 2] = ["id", "version"];

/// How a caller is shown the records of a collection.
pub(super) struct Form<'a> {
    collection: &'a Collection,
    asker: &'a Asker,
    fields: Option<Vec<String>>,
    /// Members that are hidden whatever their rules say.
    left_out: Vec<String>,
}

/// A record as it is shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its id.
    pub id: Uuid,
    /// Its version.
    pub version: i64,
    /// Whether all of it is there.
    pub is_whole: bool,
    text: String,
}

impl<'a> Form<'a> {
    /// All that the rules of its members leave.
    pub fn whole(collection: &'a Collection, asker: &'a Asker) -> Self {
        Self {
            collection,
            asker,
            fields: None,
            left_out: Vec::new(),
        }
    }

    /// The same without these members.
    pub fn without(self, left_out: Vec<String>) -> Self {
        Self { left_out, ..self }
    }

    /// The members that `fields` names, separated by commas; its id and version in any case.
    ///
    /// # Errors
    /// 400 for what is no member, or not the caller's to see.
    pub fn of(
        collection: &'a Collection,
        asker: &'a Asker,
        fields: Option<&str>,
    ) -> Result<Self, ApiError> {
        let mut form = Self::whole(collection, asker);
        let Some(fields) = fields else {
            return Ok(form);
        };
        let names: Vec<_> = fields
            .split(',')
            .map(|name| name.trim().to_owned())
            .collect();
        let members = collection.declared();
        let unknown = |name: &&String| {
            !SERVER_MEMBERS.contains(&name.as_str()) && members.kind(name).is_none()
        };
        if let Some(name) = names.iter().find(unknown) {
            return Err(refused(format!("there is no member `{name}`")));
        }
        if names.len() > MOST {
            return Err(refused(format!("at most {MOST} members")));
        }
        form.fields = Some(names);
        Ok(form)
    }

    /// A record in this form.
    ///
    /// # Errors
    /// 500 for a damaged record.
    pub fn show(&self, row: &RecordRow) -> Result<Shown, ApiError> {
        let shown = |text, is_whole| Shown {
            id: row.id,
            version: row.version,
            is_whole,
            text,
        };
        if self.fields.is_none() && self.collection.readable().is_empty() {
            return Ok(shown(row.text(&SERVER_MEMBERS), true));
        }
        let mut document = row.members()?;
        for name in self.hidden(row, &document) {
            document.remove(&name);
        }
        let Some(fields) = &self.fields else {
            return Ok(shown(row.text_with(&SERVER_MEMBERS, &document), false));
        };
        document.retain(|name, _| fields.contains(name));
        let is_wanted =
            |name: &&str| ALWAYS.contains(name) || fields.iter().any(|field| field == name);
        let head: Vec<_> = SERVER_MEMBERS
            .into_iter()
            .filter(|name| is_wanted(name))
            .collect();
        Ok(shown(row.text_with(&head, &document), false))
    }

    /// The members of a record that the caller may not see.
    pub fn hidden(&self, row: &RecordRow, document: &Map<String, Value>) -> Vec<String> {
        if self.collection.readable().is_empty() {
            return Vec::new();
        }
        let data = Value::Object(document.clone());
        let (facts, record) = (self.asker.facts(None), row.image(&data));
        let hidden = self.collection.readable().iter();
        hidden
            .filter(|member| !member.rule.allows(&facts, Some(&record)))
            .map(|member| member.name.clone())
            .chain(self.left_out.iter().cloned())
            .collect()
    }
}

impl Shown {
    /// The same with one member more, of the form and not of the record.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.text.truncate(self.text.len().saturating_sub(1));
        self.text.push_str(&format!(",\"{name}\":{value}}}"));
        self.is_whole = false;
        self
    }

    /// Its JSON.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same, taken.
    pub fn into_text(self) -> String {
        self.text
    }
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw = RawValue::from_string(self.text.clone()).map_err(S::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// Refuses what a caller may not write of single members, and leaves in `input` what they can't see.
///
/// `before` is the record as it is, or as it would be without members; `input` what the caller makes of what they see of it.
///
/// # Errors
/// 403 that points at every member that is not theirs to write.
pub(super) fn settle_members(
    collection: &Collection,
    asker: &Asker,
    before: &Record<'_>,
    hidden: &[String],
    input: &mut Value,
) -> Result<(), ApiError> {
    if !collection.has_member_rules() {
        return Ok(());
    }
    collection.settle(input);
    let (Value::Object(sent), Value::Object(stored)) = (&mut *input, before.data) else {
        return Ok(());
    };
    // What somebody sends under the name of a member that they can't see is a change, be it the same or not.
    let mut changed: Vec<String> = Vec::new();
    for name in hidden {
        match stored.get(name) {
            _ if sent.contains_key(name) => changed.push(name.clone()),
            Some(value) => drop(sent.insert(name.clone(), value.clone())),
            None => {}
        }
    }
    for member in collection.writable() {
        if sent.get(&member.name) != stored.get(&member.name) {
            changed.push(member.name.clone());
        }
    }
    let facts = asker.facts(Some(input));
    let is_refused = |name: &&String| {
        let mut rules = collection.writable().iter();
        match rules.find(|member| &member.name == *name) {
            Some(member) => !member.rule.allows(&facts, Some(before)),
            // Nobody writes what they can't see unless a rule says so.
            None => hidden.contains(name),
        }
    };
    changed.sort_unstable();
    changed.dedup();
    let refused: Vec<_> = changed.iter().filter(is_refused).collect();
    if refused.is_empty() {
        return Ok(());
    }
    let fault = |name: &String| {
        let pointer = format!("/{}", escaped(name));
        FieldError::new(pointer, "rule", "this member is not yours to write")
    };
    let faults = refused.into_iter().map(fault).collect();
    Err(ApiError::with_errors(Code::RuleForbids, faults))
}

/// The same refusal without what it tells of members that the caller can't see.
pub(super) fn without_hidden(mut error: ApiError, hidden: &[String]) -> ApiError {
    let is_hidden = |fault: &FieldError| {
        let name = fault.pointer.split('/').nth(1).unwrap_or_default();
        hidden.iter().any(|hidden| escaped(hidden) == name)
    };
    if !error.errors.iter().any(is_hidden) {
        return error;
    }
    let mut errors = std::mem::take(&mut error.errors);
    for fault in &mut errors {
        if is_hidden(fault) {
            let detail = "something that you can't see does not fit the schema";
            *fault = FieldError::new("", "schema", detail);
        }
    }
    error.pointing(errors)
}

fn refused(detail: String) -> ApiError {
    let fault = FieldError::new("/fields", "fields", detail);
    ApiError::with_errors(Code::InvalidQuery, vec![fault])
}
