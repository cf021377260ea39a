//! Lists of records over HTTP.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderName, HeaderValue},
    web,
};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{
    Count, ListQuery, Place, Request, Shown, Wanted,
    line_routes::{stream_list, wants_lines},
    routes::{FEED_POSITION, Record},
};
use crate::{
    app::AppState,
    collections::CollectionName,
    config::Mode,
    error::{ApiError, Code, Problem},
    http::{Page, PageQuery, Pager, Query, Texts, Visitor, hash},
    scope::RecordsRead,
};

/// A page of records.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the document shows it; `Page` writes itself")]
pub struct RecordPage {
    /// The records.
    items: Vec<Record>,
    /// Goes into `?cursor=` for the next page; null on the last one.
    #[schema(required = true)]
    next_cursor: Option<String>,
    /// How many there are on all pages, where that was asked for.
    #[schema(required = false)]
    count: i64,
}

/// What a list of records is asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RecordsQuery {
    /// An expression that every record has to meet, in the language of the rules; members are named directly.
    #[param(max_length = 4096, example = "price >= 10 && status == 'open'")]
    pub filter: Option<String>,
    /// Words that members marked `x-search` hold: all of them, `-word` none, `"some words"` together, `one or another`.
    #[param(max_length = 1000, example = "red ink")]
    pub search: Option<String>,
    /// Members to order by, separated by commas, a minus before those that descend; what lacks one comes last.
    #[param(max_length = 500, example = "-price,title")]
    pub order_by: Option<String>,
    /// Members to show, separated by commas; `id` and `version` are there in any case.
    #[param(example = "title,price")]
    pub fields: Option<String>,
    /// Members that refer to other records, separated by commas: these are shown as members of `expanded`, as far as the caller may
    /// read them.
    #[param(example = "customer")]
    pub expand: Option<String>,
    /// Whether to tell how many there are: `exact`, or `estimated` as Postgres guesses without looking, where the `list` rule shows the
    /// caller all of them.
    #[param(inline)]
    pub count: Option<Count>,
    /// Items of a page: 50 when left out, at most 200 (more is clamped).
    #[param(minimum = 1, example = 50)]
    pub limit: Option<u32>,
    /// Where to go on: the `next_cursor` of the page before, with the same other parameters.
    pub cursor: Option<String>,
}

/// Lists records
///
/// Those that the collection's `list` rule shows the caller and the filter leaves. With `Accept: application/x-ndjson` all of them, as
/// they are at one moment, each on a line of its own.
#[utoipa::path(
    get,
    path = "/v1/data/{collection}",
    tag = "records",
    params(("collection" = String, Path, description = "The collection's name", example = "orders"), RecordsQuery),
    security((), ("bearer" = ["records:read"])),
    responses(
        (status = 200, description = "A page", body = RecordPage, headers(("Feed-Position" = String, description = "Where `GET /v1/changes?since=` goes on from this list"))),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn list_records(
    app: web::Data<AppState>,
    visitor: Visitor<RecordsRead>,
    collection: web::Path<CollectionName>,
    query: Query<RecordsQuery>,
    http: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let (collection, Query(query)) = (collection.into_inner(), query);
    let path = format!("/v1/data/{}", collection.as_ref());
    let request = Request::new(&app, &visitor, collection);
    let page = PageQuery {
        limit: query.limit,
        cursor: query.cursor,
    };
    let query = ListQuery {
        filter: query.filter,
        search: query.search,
        order_by: query.order_by,
        wanted: Wanted {
            fields: query.fields,
            expand: query.expand,
        },
        count: query.count,
        demands_index: app.config.mode() == Mode::Production,
    };
    if wants_lines(&http) {
        if page.limit.is_some() || page.cursor.is_some() || query.count.is_some() {
            let detail = "lines are all of a list: no `limit`, `cursor` or `count`";
            return Err(ApiError::new(Code::InvalidQuery, detail));
        }
        return stream_list(&app, request, query).await;
    }
    let sub = request.asker.auth.get("sub");
    let list = serde_json::to_vec(&(&path, sub, &query.filter, &query.search, &query.order_by));
    let list = hash(&list.map_err(ApiError::internal)?);
    let keyring = app.tokens.keyring();
    let pager: Pager<Place> = Pager::new(list, &page, &keyring)?;
    let (after, rows) = (pager.after().cloned(), pager.limit());
    let (catalog, asked) = (app.catalog.clone(), query.clone());
    let list = move |conn: &mut _| {
        let mut listing = super::list(conn, &catalog, &request, &asked, after.as_ref(), rows)?;
        let items = Texts::of(&std::mem::take(&mut listing.items), Shown::text);
        Ok((items, listing))
    };
    let (items, listing) = app.db.run_again(list).await?;
    let mut page: Page<()> = pager.page_until(Vec::new(), listing.end, &keyring)?;
    page.count = listing.count;
    let filters = [
        ("filter", query.filter),
        ("search", query.search),
        ("order_by", query.order_by),
        ("fields", query.wanted.fields),
        ("expand", query.wanted.expand),
    ];
    let mut response = page.respond_texts(&path, &filters, items)?;
    let position = listing.feed_position.parse().map_err(ApiError::internal)?;
    response.headers_mut().insert(FEED_POSITION, position);
    if let Some(warning) = listing.warning {
        let (name, value) = self::warning(&warning)?;
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

/// What tells a developer that production refuses the list.
pub(super) fn warning(warning: &str) -> Result<(HeaderName, HeaderValue), ApiError> {
    tracing::warn!(warning, "production refuses this list");
    // RFC 9111 section 5.5 has the header no more; the tools of browsers show it all the same.
    let text = format!("299 - \"{}\"", warning.replace('"', "'"));
    let value = text.parse().map_err(ApiError::internal)?;
    Ok((header::WARNING, value))
}
