//! Many records, line by line: what is wrong with one keeps no other from being stored.

use diesel::PgConnection;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{Request, create_as, replace, row::SERVER_MEMBERS};
use crate::{
    collections::Catalog,
    error::{ApiError, Code, FieldError},
    precondition::{Precondition, Tags},
    strict_json,
};

/// What became of one line.
#[derive(Debug, Serialize)]
pub struct LineReport {
    /// Its number, from 1.
    pub line: usize,
    /// The status that it would have had by itself.
    pub status: u16,
    /// The record that was made of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// Why none was, in a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

impl LineReport {
    /// The report on a line of which no record was made.
    pub(super) fn refused(line: usize, error: ApiError) -> Self {
        Self {
            line,
            status: error.code.entry().status,
            id: None,
            code: Some(error.code.entry().slug),
            errors: error.errors,
        }
    }
}

/// Makes a record of each line: a document, or a record as it was exported. Such a one keeps its id, and its owner where that is the
/// caller or the caller an administrator; the rest is made anew.
///
/// # Errors
/// 404 for no collection; what is ours to mend. What is wrong with a line is told in its report.
pub fn import(
    conn: &mut PgConnection,
    catalog: &Catalog,
    request: &Request,
    lines: &[(usize, Vec<u8>)],
) -> Result<Vec<LineReport>, ApiError> {
    // Whether there is such a collection is no matter of a line.
    catalog.with(conn, &request.collection, |_conn, _collection| Ok(Some(())))?;
    let report = |(line, bytes): &(usize, Vec<u8>)| {
        let made = parse(bytes).and_then(|document| make(conn, catalog, request, document));
        match made {
            Ok(id) => Ok(LineReport {
                line: *line,
                status: 201,
                id: Some(id),
                code: None,
                errors: Vec::new(),
            }),
            Err(error) if error.is_ours() => Err(error),
            Err(error) => Ok(LineReport::refused(*line, error)),
        }
    };
    lines.iter().map(report).collect()
}

fn parse(bytes: &[u8]) -> Result<Value, ApiError> {
    let text = strict_json::check(bytes)?;
    serde_json::from_str(text)
        .map_err(|error| ApiError::new(Code::MalformedJson, error.to_string()))
}

fn make(
    conn: &mut PgConnection,
    catalog: &Catalog,
    request: &Request,
    mut document: Value,
) -> Result<Uuid, ApiError> {
    let (id, owner) = take_server_members(&mut document)?;
    let mut request = request.clone();
    if let Some(owner) = owner
        && owner != request.owner
    {
        if !request.asker.is_administrator {
            let fault = FieldError::new("/owner", "owner", "it is not yours");
            return Err(ApiError::with_errors(Code::RuleForbids, vec![fault]));
        }
        request.owner = owner;
    }
    let made = match id {
        None => create_as(conn, catalog, &request, Uuid::now_v7(), &document),
        Some(id) => {
            let only_new = Precondition {
                if_match: None,
                if_none_match: Some(Tags::Any),
            };
            replace(conn, catalog, &request, id, &only_new, &document).map(|(shown, _)| shown)
        }
    };
    match made {
        Ok(made) => Ok(made.id),
        Err(error) if error.code == Code::InvalidToken && owner.is_some() => {
            let fault = FieldError::new("/owner", "owner", "there is no such account");
            Err(ApiError::invalid(vec![fault]))
        }
        Err(error) => Err(error),
    }
}

/// The id of an exported record, and its owner.
type Kept = (Option<Uuid>, Option<Option<Uuid>>);

/// Takes what the server has put into an exported record out of it.
fn take_server_members(document: &mut Value) -> Result<Kept, ApiError> {
    let Value::Object(members) = document else {
        return Ok((None, None));
    };
    let invalid = |name: &str| {
        let fault = FieldError::new(format!("/{name}"), "format", "it is no UUID");
        ApiError::invalid(vec![fault])
    };
    let mut taken = SERVER_MEMBERS.map(|name| members.remove(name));
    let read = |name: &str, value: &Value| {
        let id = value.as_str().and_then(|text| text.parse::<Uuid>().ok());
        id.ok_or_else(|| invalid(name))
    };
    let [id, owner, ..] = &mut taken;
    let id = id.as_ref().map(|id| read("id", id)).transpose()?;
    let owner = match owner {
        None => None,
        Some(Value::Null) => Some(None),
        Some(owner) => Some(Some(read("owner", owner)?)),
    };
    Ok((id, owner))
}
