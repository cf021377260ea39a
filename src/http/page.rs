//! Lists: keyset paging with cursors that only we can make.

use std::{
    borrow::Cow,
    future::{Ready, ready},
};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse, HttpResponseBuilder, dev::Payload, http::header,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    db::Window,
    error::{ApiError, Code, FieldError},
    keys::{Key, Keyring, Purpose, Slot},
};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;

/// Bytes of a page beside its items, most of them a cursor.
const ROOM: usize = 512;

/// The parameters that every list has.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Items of a page: 50 when left out, at most 200 (more is clamped).
    #[param(minimum = 1, example = 50)]
    pub limit: Option<u32>,
    /// Where to go on: the `next_cursor` of the page before, with the same other parameters.
    pub cursor: Option<String>,
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Goes into `?cursor=` for the next page; null on the last one.
    pub next_cursor: Option<String>,
    /// How many items there are on all pages, where that is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub count: Option<i64>,
    /// The limit that was asked for, which the next page has, too.
    #[serde(skip)]
    limit: Option<u32>,
}

/// How a page begins that has none.
const NO_ITEMS: &str = "{\"items\":[]";

/// The items of a page, as it begins with them. They are put together where they were made: given to another thread one by one they cost more.
pub struct Texts(String);

impl Texts {
    /// Of items that are JSON.
    pub fn of<T>(items: &[T], text: impl Fn(&T) -> &str) -> Self {
        let bytes = items.iter().map(|item| text(item).len() + 1).sum::<usize>();
        let mut body = String::with_capacity(bytes + ROOM);
        body.push_str(NO_ITEMS.trim_end_matches(']'));
        for (place, item) in items.iter().enumerate() {
            if place > 0 {
                body.push(',');
            }
            body.push_str(text(item));
        }
        body.push(']');
        Self(body)
    }
}

impl<T> Page<T> {
    /// A list that has only one page.
    pub fn whole(items: Vec<T>) -> Self {
        Self {
            items,
            next_cursor: None,
            count: None,
            limit: None,
        }
    }
}

/// Reads and makes the cursors of one list, as one caller with one set of filters sees it; a cursor says after what its page
/// begins.
pub struct Pager<A = Uuid> {
    list: String,
    limit: u32,
    asked: Option<u32>,
    after: Option<A>,
}

#[derive(Serialize, Deserialize)]
struct Cursor<A> {
    list: String,
    after: A,
}

impl Pager {
    /// The rows to read.
    pub fn window(&self) -> Window {
        Window {
            after: self.after,
            rows: self.rows(),
        }
    }
}

impl<A: Serialize + DeserializeOwned> Pager<A> {
    /// Reads the cursor of a page of `list`: a name that tells apart URIs, callers and filters.
    ///
    /// # Errors
    /// 400 for a cursor that was changed, or made for another list; for a limit of 0.
    pub fn new(list: String, query: &PageQuery, keyring: &Keyring) -> Result<Self, ApiError> {
        let refused = |parameter: &str, code: &str, detail: &str| {
            ApiError::with_errors(
                Code::InvalidQuery,
                vec![FieldError::new(parameter, code, detail)],
            )
        };
        let limit = query.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
        if limit == 0 {
            return Err(refused("/limit", "minimum", "at least 1"));
        }
        let after = match &query.cursor {
            None => None,
            Some(text) => {
                let cursor = open(text, keyring).ok_or_else(|| {
                    refused(
                        "/cursor",
                        "cursor",
                        "not a cursor of ours, or it was changed",
                    )
                })?;
                if cursor.list != list {
                    return Err(refused(
                        "/cursor",
                        "cursor",
                        "the cursor belongs to another list, caller or filter",
                    ));
                }
                Some(cursor.after)
            }
        };
        Ok(Self {
            list,
            limit,
            asked: query.limit,
            after,
        })
    }

    /// After what the page begins.
    pub fn after(&self) -> Option<&A> {
        self.after.as_ref()
    }

    /// How many the page shows at most.
    pub fn limit(&self) -> i64 {
        i64::from(self.limit)
    }

    /// How many rows to read: one more than the page shows, which tells whether there is a next one.
    pub fn rows(&self) -> i64 {
        self.limit() + 1
    }

    /// Makes the page of the rows that the window gave.
    ///
    /// # Errors
    /// 500 when there is no cursor key.
    pub fn page<Row, T>(
        self,
        mut rows: Vec<Row>,
        id: impl Fn(&Row) -> A,
        keyring: &Keyring,
    ) -> Result<Page<T>, ApiError>
    where
        T: From<Row>,
    {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let goes_on = rows.len() > limit;
        rows.truncate(limit);
        let end = rows.last().filter(|_last| goes_on).map(id);
        self.page_until(rows.into_iter().map(T::from).collect(), end, keyring)
    }

    /// Makes the page of its items; the next one, if there is one, begins after `end`.
    ///
    /// # Errors
    /// 500 when there is no cursor key.
    pub fn page_until<T>(
        self,
        items: Vec<T>,
        end: Option<A>,
        keyring: &Keyring,
    ) -> Result<Page<T>, ApiError> {
        let seal_after = |after| {
            let list = self.list;
            seal(&Cursor { list, after }, cursor_key(keyring)?)
        };
        Ok(Page {
            items,
            next_cursor: end.map(seal_after).transpose()?,
            count: None,
            limit: self.asked,
        })
    }
}

impl<T: Serialize> Page<T> {
    /// Writes the page with its `Link` header (RFC 8288).
    pub fn respond(&self, path: &str, filters: &[(&str, Option<String>)]) -> HttpResponse {
        self.begin(path, filters).json(self)
    }
}

impl<T> Page<T> {
    /// The same with items that are JSON already.
    ///
    /// # Errors
    /// None that happens.
    pub fn respond_texts(
        &self,
        path: &str,
        filters: &[(&str, Option<String>)],
        Texts(mut body): Texts,
    ) -> Result<HttpResponse, ApiError> {
        let rest = Page::<()> {
            items: Vec::new(),
            next_cursor: self.next_cursor.clone(),
            count: self.count,
            limit: None,
        };
        let rest = serde_json::to_string(&rest).map_err(ApiError::internal)?;
        let rest = rest
            .strip_prefix(NO_ITEMS)
            .ok_or_else(|| ApiError::internal("a page begins with its items"))?;
        body.push_str(rest);
        let mut response = self.begin(path, filters);
        Ok(response
            .content_type(header::ContentType::json())
            .body(body))
    }

    fn begin(&self, path: &str, filters: &[(&str, Option<String>)]) -> HttpResponseBuilder {
        let mut response = HttpResponse::Ok();
        if let Some(cursor) = &self.next_cursor {
            let mut query = form_urlencoded::Serializer::new(String::new());
            for (name, value) in filters {
                if let Some(value) = value {
                    query.append_pair(name, value);
                }
            }
            if let Some(limit) = self.limit {
                query.append_pair("limit", &limit.to_string());
            }
            query.append_pair("cursor", cursor);
            response.insert_header((
                header::LINK,
                format!("<{path}?{}>; rel=\"next\"", query.finish()),
            ));
        }
        response
    }
}

fn cursor_key(keyring: &Keyring) -> Result<&Key, ApiError> {
    keyring
        .signing(&Slot::internal(Purpose::Cursor))
        .ok_or_else(|| ApiError::internal("no key signs cursors"))
}

fn seal(cursor: &Cursor<impl Serialize>, key: &Key) -> Result<String, ApiError> {
    let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(cursor).map_err(ApiError::internal)?);
    let tag = key.sign(body.as_bytes()).map_err(ApiError::internal)?;
    Ok(format!("{body}.{}", URL_SAFE_NO_PAD.encode(tag)))
}

fn open<A: DeserializeOwned>(text: &str, keyring: &Keyring) -> Option<Cursor<A>> {
    let (body, tag) = text.split_once('.')?;
    keyring
        .verifying(Purpose::Cursor)
        .find(|key| key.verifies(tag, body.as_bytes()))?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).ok()?).ok()
}

/// Query parameters of type `T`, each at most once.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Query<T> {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(read_query(request.query_string(), &[]).map(Self))
    }
}

/// Reads query parameters of type `T`, each at most once but for those that are `lists`: their values are joined by commas.
///
/// # Errors
/// 400 for what does not fit.
pub fn read_query<T: DeserializeOwned>(query: &str, lists: &[&str]) -> Result<T, ApiError> {
    let mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if value.contains('\0') {
            // Postgres stores it nowhere, so nothing can be found by it.
            let fault =
                FieldError::new(format!("/{name}"), "nul", "a value holds the character NUL");
            return Err(ApiError::with_errors(Code::InvalidQuery, vec![fault]));
        }
        let is_list = lists.contains(&name.as_ref());
        match pairs
            .iter_mut()
            .find(|(known, _)| is_list && *known == name)
        {
            Some((_, joined)) => *joined = format!("{joined},{value}").into(),
            None => pairs.push((name, value)),
        }
    }
    let joined = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish();
    let pairs = form_urlencoded::parse(joined.as_bytes());
    let parsed = serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(pairs));
    parsed.map_err(|error| {
        let pointer = format!("/{}", error.path());
        let detail = error.into_inner().to_string();
        ApiError::with_errors(
            Code::InvalidQuery,
            vec![FieldError::new(pointer, "type", detail)],
        )
    })
}
