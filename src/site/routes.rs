//! The files of the app over HTTP.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use actix_files::NamedFile;
use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        Method,
        header::{self, HeaderValue},
    },
    web,
};
use percent_encoding::percent_decode_str;

use crate::{
    app::AppState,
    error::ApiError,
    http::{hash, known},
};

/// What belongs to the API, also where there is nothing.
const RESERVED: [&str; 6] = [
    "/v1",
    "/oauth",
    "/.well-known",
    "/problems",
    "/docs",
    "/device",
];

/// The page that every address of the app begins with.
const INDEX: &str = "index.html";

/// Bytes of the largest file that is read as a whole: so it is compressed, and its tag is the same on every replica.
const LARGEST_READ: u64 = 1_048_576;

/// Characters of the shortest hash that build tools put into names.
const SHORTEST_HASH: usize = 8;

/// A file that is there.
enum Found {
    /// Its path, media type and content.
    Whole(PathBuf, String, Vec<u8>),
    /// One that is answered piece by piece.
    Large(Box<NamedFile>),
}

impl Found {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = NamedFile::open(&path)?;
        if file.metadata().len() > LARGEST_READ {
            // The tag that actix makes is of the inode, which every replica has another of; its time is left.
            let file = file.use_etag(false).disable_content_disposition();
            return Ok(Self::Large(Box::new(file)));
        }
        let mut media_type = file.content_type().to_string();
        if media_type.starts_with("text/") {
            media_type += "; charset=utf-8";
        }
        Ok(Self::Whole(path, media_type, fs::read(file.path())?))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Whole(path, ..) => path,
            Self::Large(file) => file.path(),
        }
    }

    fn answer(self, request: &HttpRequest) -> Result<HttpResponse, ApiError> {
        let (media_type, bytes) = match self {
            Self::Whole(_, media_type, bytes) => (media_type, bytes),
            Self::Large(file) => return Ok(file.into_response(request)),
        };
        let tag = hash(&bytes);
        if let Some(mut unchanged) = known(request, &tag)? {
            return Ok(unchanged.finish());
        }
        Ok(HttpResponse::Ok()
            .content_type(media_type)
            .insert_header((header::ETAG, format!("\"{tag}\"")))
            .body(bytes))
    }
}

/// Answers a file of the app; addresses inside the app, which only its script knows, get its first page.
///
/// # Errors
/// 404; 400 and 412 for conditions.
pub async fn read_site(
    app: web::Data<AppState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let root = app.config.server.static_dir.as_deref();
    let root = root.ok_or_else(ApiError::not_found)?;
    let path = request.path();
    let is_reserved = RESERVED.iter().any(|prefix| {
        path.strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    if is_reserved || !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(ApiError::not_found());
    }
    let asked = inside(path).ok_or_else(ApiError::not_found)?;
    let file = match open(root, &asked).await {
        Some(file) => file,
        // A file that is not there stays not there; a page is the app's to know.
        None if asked.extension().is_none() && wants_page(&request) => open(root, Path::new(INDEX))
            .await
            .ok_or_else(ApiError::not_found)?,
        None => return Err(ApiError::not_found()),
    };
    let keep = if is_hashed(file.path()) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let mut response = file.answer(&request)?;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("frame-ancestors 'self'"),
    );
    Ok(response)
}

/// The path of a URI below the directory: plain names only, none hidden.
fn inside(path: &str) -> Option<PathBuf> {
    let decoded = percent_decode_str(path).decode_utf8().ok()?;
    let relative = Path::new(decoded.trim_start_matches('/'));
    let plain = relative.components().all(|component| match component {
        Component::Normal(name) => name
            .to_str()
            .is_some_and(|name| !name.starts_with('.') && !name.contains(['\\', '\0', ':'])),
        _ => false,
    });
    plain.then(|| relative.to_owned())
}

async fn open(root: &Path, relative: &Path) -> Option<Found> {
    let (root, relative) = (root.to_owned(), relative.to_owned());
    let found = web::block(move || {
        let root = root.canonicalize().ok()?;
        let path = root.join(relative);
        let path = if path.is_dir() {
            path.join(INDEX)
        } else {
            path
        };
        // A link may lead out of it.
        let path = path.canonicalize().ok()?;
        let is_ours = path.starts_with(&root) && path.is_file();
        is_ours.then(|| Found::open(path).ok()).flatten()
    });
    found.await.ok().flatten()
}

fn wants_page(request: &HttpRequest) -> bool {
    request
        .headers()
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

/// Whether a name holds a hash, as `index-BqF3kX9a.js`: then its content never changes.
fn is_hashed(path: &Path) -> bool {
    let name = path.file_stem().and_then(|name| name.to_str());
    name.and_then(|name| name.rsplit(['-', '.']).next().filter(|hash| *hash != name))
        .is_some_and(|hash| {
            hash.len() >= SHORTEST_HASH
                && hash
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                && hash
                    .bytes()
                    .any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_below_the_directory() {
        assert_eq!(inside("/a/b.js"), Some(PathBuf::from("a/b.js")));
        assert_eq!(inside("/"), Some(PathBuf::new()));
        assert_eq!(inside("/a%20b"), Some(PathBuf::from("a b")));
        assert_eq!(inside("/a&b=c+d"), Some(PathBuf::from("a&b=c+d")));
        for outside in [
            "/../x",
            "/a/../../x",
            "/%2e%2e/x",
            "/.env",
            "/a/.git/config",
            "/a%5cb",
            "/a%00",
            "/c:/x",
        ] {
            assert_eq!(inside(outside), None, "{outside}");
        }
    }

    #[test]
    fn names_with_a_hash_are_kept_for_ever() {
        for (name, hashed) in [
            ("index-BqF3kX9a.js", true),
            ("app.3f2a9c1d.css", true),
            ("index.html", false),
            ("some-component.js", false),
            ("12345678.js", false),
        ] {
            assert_eq!(is_hashed(Path::new(name)), hashed, "{name}");
        }
    }
}
