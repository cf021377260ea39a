//! Records line by line (NDJSON) over HTTP: whole lists, and many new records.

use std::{collections::VecDeque, pin::Pin, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{self, Bytes},
};
use futures_util::{Stream, StreamExt, stream};
use tokio::time::{Instant, timeout_at};

use super::{LineReport, Lines, ListQuery, Request, export, import, routes::FEED_POSITION};
use crate::{
    app::AppState,
    collections::Catalog,
    db,
    error::{ApiError, Code, FieldError},
    http::NDJSON,
};

/// Bytes of one line.
const LONGEST_LINE: usize = 1_048_576;

/// Lines of one request.
const MOST_LINES: usize = 10_000;

/// Lines that are stored by one trip to the database.
const TOGETHER: usize = 50;

/// Bytes that are stored by one trip to the database.
const TOGETHER_BYTES: usize = 1_048_576;

/// Bytes of all lines of one request.
const MOST_BYTES: usize = 67_108_864;

/// Bytes of reports after which no more lines are taken.
const LONGEST_BODY: usize = 8_388_608;

/// How long one request may take: the token is looked at when it begins.
const LONGEST: Duration = Duration::from_secs(60);

/// How long the next part of a body may take to arrive.
const PART_PATIENCE: Duration = Duration::from_secs(15);

/// Whether lines are wanted and nothing else is preferred to them.
pub(super) fn wants_lines(request: &HttpRequest) -> bool {
    let accept = request.headers().get(header::ACCEPT);
    let ranges = accept.and_then(|accept| accept.to_str().ok());
    let mut ranges = ranges.into_iter().flat_map(|accept| accept.split(','));
    ranges.next().is_some_and(|first| {
        let media_type = first.split(';').next().unwrap_or_default();
        media_type.trim().eq_ignore_ascii_case(NDJSON)
    })
}

/// Answers a whole list, as it is when the first line is read.
pub(super) async fn stream_list(
    app: &AppState,
    request: Request,
    query: ListQuery,
) -> Result<HttpResponse, ApiError> {
    // By the declaration of its moment, which others may have outlived.
    let catalog = Catalog::default();
    let parts = app
        .db
        .stream(move |conn, outlet| export(conn, &catalog, &request, &query, outlet))
        .await?;
    let mut response = HttpResponse::Ok();
    response.content_type(NDJSON);
    if let Some(lines) = &parts.first {
        response.insert_header((FEED_POSITION, lines.feed_position.as_str()));
        if let Some(warning) = &lines.warning {
            response.insert_header(super::list_routes::warning(warning)?);
        }
    }
    let first = stream::iter(parts.first.map(Ok));
    let rest = stream::unfold(parts.rest, |mut rest| async move {
        Some((rest.next().await?, rest))
    });
    let bytes = first
        .chain(rest)
        .map(|lines| lines.map(|lines: Lines| Bytes::from(lines.text)));
    Ok(response.streaming(bytes))
}

/// Stores the records of a body as its lines arrive, and reports on each.
pub(super) async fn import_lines(
    app: &AppState,
    request: Request,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let mut lines = LineReader::new(Box::pin(payload));
    let ends = Instant::now() + LONGEST;
    let mut body = String::new();
    loop {
        let some = timeout_at(ends, lines.take()).await;
        let some = some.unwrap_or_else(|_elapsed| Err(Code::RequestTimeout.into()));
        let stored = match some {
            Ok(some) if some.is_empty() => break,
            Ok(some) => store(app, &request, some).await,
            Err(error) => Err(error),
        };
        match stored {
            Ok(reports) => write(&reports, &mut body)?,
            // Before anything was stored it is the answer; after, the last report.
            Err(error) if body.is_empty() => return Err(error),
            Err(error) => {
                write(&[LineReport::refused(lines.number + 1, error)], &mut body)?;
                break;
            }
        }
        if body.len() > LONGEST_BODY {
            let error = ApiError::new(Code::PayloadTooLarge, "too much is wrong with these lines");
            write(&[LineReport::refused(lines.number + 1, error)], &mut body)?;
            break;
        }
    }
    Ok(HttpResponse::Ok().content_type(NDJSON).body(body))
}

async fn store(
    app: &AppState,
    request: &Request,
    lines: Vec<(usize, Vec<u8>)>,
) -> Result<Vec<LineReport>, ApiError> {
    let (catalog, request) = (app.catalog.clone(), request.clone());
    // Between two trips the next lines arrive.
    db::wait_elsewhere();
    let stored = app
        .db
        .run(move |conn| import(conn, &catalog, &request, &lines))
        .await;
    app.feed.poke();
    stored
}

fn write(reports: &[LineReport], body: &mut String) -> Result<(), ApiError> {
    for report in reports {
        body.push_str(&serde_json::to_string(report).map_err(ApiError::internal)?);
        body.push('\n');
    }
    Ok(())
}

type Body = Pin<Box<dyn Stream<Item = Result<Bytes, actix_web::error::PayloadError>>>>;

/// Cuts a body into lines.
struct LineReader {
    body: Body,
    rest: Vec<u8>,
    lines: VecDeque<Vec<u8>>,
    is_over: bool,
    number: usize,
    bytes: usize,
    fault: Option<ApiError>,
}

impl LineReader {
    fn new(body: Body) -> Self {
        Self {
            body,
            rest: Vec::new(),
            lines: VecDeque::new(),
            is_over: false,
            number: 0,
            bytes: 0,
            fault: None,
        }
    }

    /// The next lines with their numbers, those that are empty left out; none at the end.
    async fn take(&mut self) -> Result<Vec<(usize, Vec<u8>)>, ApiError> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < TOGETHER && bytes < TOGETHER_BYTES {
            let line = match self.next().await {
                Ok(Some(line)) => line,
                Ok(None) => break,
                // What came before is stored first.
                Err(error) if taken.is_empty() => return Err(error),
                Err(error) => {
                    self.fault = Some(error);
                    break;
                }
            };
            self.number += 1;
            if !line.trim_ascii().is_empty() {
                bytes += line.len();
                taken.push((self.number, line));
            }
        }
        Ok(taken)
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>, ApiError> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        loop {
            if let Some(line) = self.lines.pop_front() {
                if self.number == MOST_LINES {
                    let detail = format!("at most {MOST_LINES} lines");
                    return Err(ApiError::new(Code::PayloadTooLarge, detail));
                }
                return Ok(Some(line));
            }
            if self.is_over {
                let rest = std::mem::take(&mut self.rest);
                return Ok((!rest.is_empty()).then_some(rest));
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<(), ApiError> {
        let part = tokio::time::timeout(PART_PATIENCE, self.body.next()).await;
        let part = part.map_err(|_elapsed| ApiError::from(Code::RequestTimeout))?;
        let Some(part) = part else {
            self.is_over = true;
            return Ok(());
        };
        let part =
            part.map_err(|_broken| ApiError::new(Code::BadRequest, "The body could not be read"))?;
        self.bytes += part.len();
        if self.bytes > MOST_BYTES {
            let detail = format!("at most {MOST_BYTES} bytes");
            return Err(ApiError::new(Code::PayloadTooLarge, detail));
        }
        let mut pieces = part.split(|byte| *byte == b'\n');
        self.rest
            .extend_from_slice(pieces.next().unwrap_or_default());
        for piece in pieces {
            let line = std::mem::replace(&mut self.rest, piece.to_vec());
            self.lines.push_back(line);
        }
        if self.rest.len() > LONGEST_LINE {
            let pointer = format!("/{}", self.number + self.lines.len() + 1);
            let fault = FieldError::new(pointer, "maxLength", "the line is longer than 1 MiB");
            return Err(ApiError::with_errors(Code::PayloadTooLarge, vec![fault]));
        }
        Ok(())
    }
}
