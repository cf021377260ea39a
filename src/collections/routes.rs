//! Collections over HTTP.

use std::collections::HashMap;

use actix_web::{Either, HttpResponse, web};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::{
    CollectionName, CollectionRow, Declaration, IndexRow, OnOwnerDelete, RuleTexts, Saving,
};
use crate::{
    app::AppState,
    error::{ApiError, Code, FieldError, Problem},
    http::{Caller, Json, Page, Query, Tagged},
    precondition::Precondition,
    scope::{CollectionsRead, CollectionsWrite},
    timestamp::Timestamp,
};

/// How far an index is.
#[derive(Debug, Serialize, ToSchema)]
pub struct IndexState {
    /// As it was declared.
    pub members: Vec<String>,
    /// `building`, `ready` or `failed`.
    #[schema(pattern = "^(building|ready|failed)$", example = "ready")]
    pub state: String,
    /// How it works: by `order`, by order and `unique`, or by `search` of words.
    #[schema(pattern = "^(order|unique|search)$", example = "order")]
    pub method: String,
    /// How much of it is built, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub progress: Option<f64>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub detail: Option<String>,
}

impl IndexState {
    fn of(row: IndexRow, progress: &HashMap<i64, f64>) -> Self {
        Self {
            progress: progress.get(&row.number).copied(),
            members: row.members,
            state: row.state,
            method: row.method,
            detail: row.detail,
        }
    }
}

/// A declared collection.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "name": "orders",
    "type_name": "Order",
    "schema": {"type": "object", "properties": {"title": {"type": "string"}}},
    "indexes": [["owner", "-price"]],
    "index_states": [{"members": ["owner", "-price"], "state": "ready", "method": "order"}],
    "rules": {"list": "record.owner == auth.sub", "create": "auth.sub != null"},
    "history": false,
    "require_precondition": false,
    "on_owner_delete": "delete",
    "version": 7,
    "created_at": "2026-11-24T09:00:00.000Z",
    "updated_at": "2026-11-24T09:00:00.000Z",
}))]
pub struct DeclaredCollection {
    /// Its name, for ever.
    pub name: String,
    /// The name of its records' type.
    pub type_name: String,
    /// The JSON Schema of its documents.
    #[schema(value_type = Object)]
    pub schema: Map<String, Value>,
    /// What lists are filtered and ordered by.
    pub indexes: Vec<Vec<String>>,
    /// How far these indexes are; where there is none for a member, lists look at every record.
    pub index_states: Vec<IndexState>,
    /// Who may do what.
    #[schema(inline = false)]
    pub rules: RuleTexts,
    /// Whether the versions that are replaced are kept, as long as the record is there.
    pub history: bool,
    /// Whether changing and deleting takes `If-Match`.
    pub require_precondition: bool,
    /// What becomes of somebody's records when their account is erased.
    pub on_owner_delete: OnOwnerDelete,
    /// The number of its declaration, which grows with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last declared.
    pub updated_at: Timestamp,
}

impl DeclaredCollection {
    /// A collection as it is shown.
    ///
    /// # Errors
    /// Postgres; 500 for a damaged row.
    pub fn of(conn: &mut PgConnection, row: CollectionRow) -> Result<Self, ApiError> {
        let declaration = row.declaration()?;
        let indexes = super::list_indexes(conn, &row.name)?;
        let progress = match indexes.iter().any(|index| index.state == "building") {
            true => super::index_progress(conn)?,
            false => HashMap::new(),
        };
        let states = indexes.into_iter();
        let states = states.map(|index| IndexState::of(index, &progress));
        Ok(Self {
            indexes: declaration.indexes,
            index_states: states.collect(),
            name: row.name,
            type_name: declaration.type_name,
            schema: declaration.schema,
            rules: declaration.rules,
            history: declaration.history,
            require_precondition: declaration.require_precondition,
            on_owner_delete: declaration.on_owner_delete,
            version: row.generation,
            created_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
        })
    }

    fn tagged(self) -> Tagged<Self> {
        let version = self.version;
        Tagged::versioned(self, version)
    }
}

/// How a declaration is to be taken.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeclareQuery {
    /// Only tells what would become of the stored records.
    #[serde(default)]
    pub dry_run: bool,
    /// Takes the declaration also where stored records don't fit the schema; they stay as they are.
    #[serde(default)]
    pub force: bool,
}

/// What a declaration would do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"records": 1200, "misfits": 1, "errors": [
    {"pointer": "/records/0197a3f0-0000-7000-8000-000000000000/price", "code": "minimum", "detail": "the value is less than the minimum of 0"},
]}))]
pub struct DryRun {
    /// Stored records.
    pub records: usize,
    /// Those that don't fit the schema.
    pub misfits: usize,
    /// What is wrong with the first of them.
    pub errors: Vec<FieldError>,
}

/// What declaring answers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Declared {
    /// The collection as it is now.
    Done(Box<DeclaredCollection>),
    /// With `dry_run`, what would be.
    Tried(DryRun),
}

/// Lists the collections
///
/// Every declared collection, by name, on one page.
#[utoipa::path(
    get,
    path = "/v1/collections",
    tag = "collections",
    security(("bearer" = ["collections:read"])),
    responses(
        (status = 200, description = "Every collection", body = Page<DeclaredCollection>),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn list_collections(
    app: web::Data<AppState>,
    _caller: Caller<CollectionsRead>,
) -> Result<web::Json<Page<DeclaredCollection>>, ApiError> {
    let listed = |conn: &mut PgConnection| {
        let rows = super::list(conn)?.into_iter();
        rows.map(|row| DeclaredCollection::of(conn, row)).collect()
    };
    Ok(web::Json(Page::whole(app.db.run_again(listed).await?)))
}

/// Reads a collection
///
/// One collection as it is declared.
#[utoipa::path(
    get,
    path = "/v1/collections/{name}",
    tag = "collections",
    params(("name" = String, Path, description = "The collection's name", example = "orders")),
    security(("bearer" = ["collections:read"])),
    responses(
        (status = 200, description = "The collection", body = DeclaredCollection),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn read_collection(
    app: web::Data<AppState>,
    _caller: Caller<CollectionsRead>,
    name: web::Path<CollectionName>,
) -> Result<Tagged<DeclaredCollection>, ApiError> {
    let name = name.into_inner();
    let read = move |conn: &mut PgConnection| {
        let row = super::find(conn, name.as_ref())?.ok_or_else(ApiError::not_found)?;
        DeclaredCollection::of(conn, row)
    };
    Ok(app.db.run_again(read).await?.tagged())
}

/// Declares a collection
///
/// Makes it, or declares it anew: at once and for every replica. A schema that stored records don't fit is refused unless forced;
/// `?dry_run=true` only tells how many there are.
#[utoipa::path(
    put,
    path = "/v1/collections/{name}",
    tag = "collections",
    params(
        ("name" = String, Path, description = "The collection's name", pattern = "^[a-z][a-z0-9_]{0,62}$", example = "orders"),
        DeclareQuery,
    ),
    request_body = Declaration,
    security(("bearer" = ["collections:write"])),
    responses(
        (status = 200, description = "Declared anew, or with `dry_run` what would be", body = Declared),
        (status = 201, description = "Made", body = DeclaredCollection, headers(("Location" = String, description = "The collection's URI"))),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn declare_collection(
    app: web::Data<AppState>,
    caller: Caller<CollectionsWrite>,
    name: web::Path<CollectionName>,
    query: Query<DeclareQuery>,
    precondition: Precondition,
    input: Json<Declaration>,
) -> Result<Either<Tagged<DeclaredCollection>, web::Json<Declared>>, ApiError> {
    let (name, Json(declaration), Query(query)) = (name.into_inner(), input, query);
    let saving = Saving {
        precondition,
        is_forced: query.force,
    };
    if query.dry_run {
        let misfits = app
            .db
            .run_again(move |conn| super::try_out(conn, &name, &declaration, &saving))
            .await?;
        let tried = DryRun {
            records: misfits.of,
            misfits: misfits.count,
            errors: misfits.errors(),
        };
        return Ok(Either::Right(web::Json(Declared::Tried(tried))));
    }
    let save = move |conn: &mut PgConnection| {
        let saved = super::save(conn, &caller.actor, &name, &declaration, &saving)?;
        Ok((DeclaredCollection::of(conn, saved.row)?, saved.is_new))
    };
    let (collection, is_new) = app.db.run(save).await?;
    let location = super::location(&collection.name);
    Ok(Either::Left(if is_new {
        collection.tagged().created(location)
    } else {
        collection.tagged()
    }))
}

/// What a deletion has to say.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeleteQuery {
    /// The collection's name once more: all its records go with it.
    #[param(example = "orders")]
    pub confirm: String,
}

/// Deletes a collection
///
/// With all its records, for ever; `confirm` repeats the name.
#[utoipa::path(
    delete,
    path = "/v1/collections/{name}",
    tag = "collections",
    params(("name" = String, Path, description = "The collection's name", example = "orders"), DeleteQuery),
    security(("bearer" = ["collections:write"])),
    responses(
        (status = 204, description = "Deleted"),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn delete_collection(
    app: web::Data<AppState>,
    caller: Caller<CollectionsWrite>,
    name: web::Path<CollectionName>,
    query: Query<DeleteQuery>,
    precondition: Precondition,
) -> Result<HttpResponse, ApiError> {
    let (name, Query(query)) = (name.into_inner(), query);
    if query.confirm != name.as_ref() {
        let detail = "repeat the collection's name: all its records go with it";
        return Err(ApiError::with_errors(
            Code::InvalidQuery,
            vec![FieldError::new("/confirm", "confirm", detail)],
        ));
    }
    app.db
        .run(move |conn| super::delete(conn, &caller.actor, &name, &precondition))
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
