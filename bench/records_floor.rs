//! The floors of records: the same rows by the same Postgres, and nothing else: no middleware, no token, no rules, no feed.

use actix_web::{
    HttpResponse, HttpServer,
    http::header::ContentType,
    web::{self, Bytes, Data},
};
use chrono::{DateTime, Utc};
use diesel::{
    PgConnection,
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    r2d2::{ConnectionManager, Pool},
    sql_types::{BigInt, Nullable, Text, Timestamptz, Untyped, Uuid as SqlUuid},
};
use uuid::Uuid;

type Connections = Pool<ConnectionManager<PgConnection>>;

/// Serves `/record/{id}`, `/record` and `/list/{owner}` on the table of the first collection.
pub fn serve(listener: std::net::TcpListener, url: &str, workers: usize) -> anyhow::Result<()> {
    let pool = Pool::builder()
        .max_size(4)
        .test_on_check_out(false)
        .build(ConnectionManager::<PgConnection>::new(url))?;
    actix_web::rt::System::new().block_on(async move {
        HttpServer::new(move || {
            actix_web::App::new()
                .app_data(Data::new(pool.clone()))
                .route("/record/{id}", web::get().to(read))
                .route("/record", web::post().to(create))
                .route("/list/{owner}", web::get().to(list))
        })
        .workers(workers)
        .listen(listener)?
        .run()
        .await?;
        anyhow::Ok(())
    })
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    owner: Option<Uuid>,
    #[diesel(sql_type = BigInt)]
    version: i64,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    updated_at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    data: String,
}

const COLUMNS: &str = "id, owner, version, created_at, updated_at, data::text as data";

enum Statement {
    Read(Uuid),
    Create(Uuid, String),
    List(Uuid),
}

impl QueryId for Statement {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Statement {
    type SqlType = Untyped;
}

impl RunQueryDsl<PgConnection> for Statement {}

impl QueryFragment<Pg> for Statement {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        match self {
            Self::Read(id) => {
                out.push_sql(&format!(
                    "select {COLUMNS} from tollgate_data.c1 where id = "
                ));
                out.push_bind_param::<SqlUuid, _>(id)
            }
            Self::Create(id, document) => {
                out.push_sql("insert into tollgate_data.c1 (id, data) values (");
                out.push_bind_param::<SqlUuid, _>(id)?;
                out.push_sql(", ");
                out.push_bind_param::<Text, _>(document)?;
                out.push_sql(&format!("::jsonb) returning {COLUMNS}"));
                Ok(())
            }
            Self::List(owner) => {
                out.push_sql(&format!(
                    "select {COLUMNS} from tollgate_data.c1 where owner = "
                ));
                out.push_bind_param::<SqlUuid, _>(owner)?;
                out.push_sql(" order by (case when jsonb_typeof(data->'price') = 'number' then (data->>'price')::numeric end) desc nulls last, id desc limit 51");
                Ok(())
            }
        }
    }
}

/// One hop and one statement; the rows become JSON without being parsed.
async fn answer(pool: Data<Connections>, statement: Statement) -> actix_web::Result<String> {
    let rows: Vec<Row> = web::block(move || {
        #[expect(clippy::disallowed_methods, reason = "a floor has no door to Postgres")]
        let mut conn = pool.get().map_err(|error| error.to_string())?;
        statement
            .load(&mut *conn)
            .map_err(|error| error.to_string())
    })
    .await?
    .map_err(actix_web::error::ErrorInternalServerError)?;
    Ok(rows.iter().map(text).collect::<Vec<_>>().join(","))
}

fn text(row: &Row) -> String {
    let owner = row
        .owner
        .map_or("null".to_owned(), |owner| format!("\"{owner}\""));
    format!(
        "{{\"id\":\"{}\",\"owner\":{owner},\"version\":{},\"created_at\":\"{}\",\"updated_at\":\"{}\",{}",
        row.id,
        row.version,
        row.created_at.to_rfc3339(),
        row.updated_at.to_rfc3339(),
        row.data.trim_start_matches('{'),
    )
}

fn json(text: String) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::json())
        .body(text)
}

async fn read(pool: Data<Connections>, id: web::Path<Uuid>) -> actix_web::Result<HttpResponse> {
    Ok(json(answer(pool, Statement::Read(id.into_inner())).await?))
}

async fn create(pool: Data<Connections>, body: Bytes) -> actix_web::Result<HttpResponse> {
    let document = String::from_utf8(body.to_vec()).map_err(actix_web::error::ErrorBadRequest)?;
    let statement = Statement::Create(Uuid::now_v7(), document);
    Ok(json(answer(pool, statement).await?))
}

async fn list(pool: Data<Connections>, owner: web::Path<Uuid>) -> actix_web::Result<HttpResponse> {
    let items = answer(pool, Statement::List(owner.into_inner())).await?;
    Ok(json(format!("{{\"items\":[{items}]}}")))
}
