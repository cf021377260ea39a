//! HTTP to addresses that others chose: public ones only, nothing followed, little time, little text.

mod addresses;
mod resolver;

use std::time::Duration;

use anyhow::Context;
use reqwest::{
    Certificate, Client, ClientBuilder, RequestBuilder, Response, Url,
    header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap},
    redirect, retry,
};

pub use addresses::{Reach, check_url};

use crate::db;
use resolver::ReachableOnly;

/// How long a connection may take to come about, name and TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the whole exchange may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of the largest answer that is read.
const MAX_BODY: usize = 65_536;

/// Why there is no answer, in words that tell an outsider nothing of what is inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// Malformed, out of reach, unknown, or nobody answers there: which of them is not told.
    #[error("the address can't be used")]
    Unusable,
    /// The answer leads elsewhere.
    #[error("the answer is a redirect, and those are not followed")]
    Redirected,
    /// The answer has more than 64 KiB.
    #[error("the answer is larger than {MAX_BODY} bytes")]
    TooLarge,
    /// The answer is not complete after 5 s.
    #[error("the answer took too long")]
    Slow,
    /// The answer is no HTTP, or ends too early.
    #[error("the answer is broken")]
    Broken,
}

/// What came back, whatever its status, redirects excepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The media type, with its parameters.
    pub content_type: Option<String>,
    /// Seconds for which it may be kept (RFC 9111 section 5.2.2); 0 when it must not be.
    pub max_age: Option<u64>,
    /// The body, at most 64 KiB.
    pub body: Vec<u8>,
}

/// A client for addresses that others chose; cheap to clone.
#[derive(Clone, Debug)]
pub struct Outbound {
    client: Client,
    reach: Reach,
}

impl Outbound {
    /// Makes a client that trusts the system's certificate authorities, or Mozilla's when the system has none.
    ///
    /// # Errors
    /// TLS can't be set up.
    pub fn new(reach: Reach) -> anyhow::Result<Self> {
        Self::with_timeout(reach, TIMEOUT)
    }

    fn with_timeout(reach: Reach, timeout: Duration) -> anyhow::Result<Self> {
        let client = builder(reach, timeout)
            .build()
            .or_else(|error| {
                tracing::debug!(%error, "no system certificates; the built-in ones are used");
                let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS
                    .iter()
                    .map(|root| Certificate::from_der(root))
                    .collect::<Result<Vec<_>, _>>()?;
                builder(reach, timeout).tls_certs_only(roots).build()
            })
            .context("TLS for outgoing requests can't be set up")?;
        Ok(Self { client, reach })
    }

    /// Fetches `url`.
    ///
    /// # Errors
    /// `OutboundError`; a status of 400 or more is no error.
    pub async fn get(&self, url: &str, accept: &str) -> Result<Answer, OutboundError> {
        self.get_as(url, accept, None).await
    }

    /// The same with who asks; `authorization` is the whole header value.
    ///
    /// # Errors
    /// Those of `get`.
    pub async fn get_as(
        &self,
        url: &str,
        accept: &str,
        authorization: Option<&str>,
    ) -> Result<Answer, OutboundError> {
        let url = check_url(url, self.reach)?;
        let mut request = self.client.get(url).header(ACCEPT, accept);
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        exchange(request).await
    }

    /// Adds parameters to an address within reach, for a browser that is sent there.
    ///
    /// # Errors
    /// `Unusable`.
    pub fn address_with(
        &self,
        url: &str,
        parameters: &[(&str, &str)],
    ) -> Result<String, OutboundError> {
        let mut url = check_url(url, self.reach)?;
        url.set_fragment(None);
        url.query_pairs_mut().extend_pairs(parameters);
        Ok(url.into())
    }

    /// Posts a form and asks for JSON; `authorization` is the whole header value.
    ///
    /// # Errors
    /// `OutboundError`; a status of 400 or more is no error.
    pub async fn post_form(
        &self,
        url: &str,
        form: &[(&str, &str)],
        authorization: Option<&str>,
    ) -> Result<Answer, OutboundError> {
        let url = check_url(url, self.reach)?;
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let mut request = self
            .client
            .post(url)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        exchange(request).await
    }
}

/// Connections are not kept: a stranger's server would hold them, and each one is to be checked.
fn builder(reach: Reach, timeout: Duration) -> ClientBuilder {
    Client::builder()
        .user_agent("tollgate")
        .dns_resolver(ReachableOnly::new(reach))
        .https_only(reach == Reach::Public)
        .http1_only()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .referer(false)
        .retry(retry::never())
        .pool_max_idle_per_host(0)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(timeout)
}

async fn exchange(request: RequestBuilder) -> Result<Answer, OutboundError> {
    db::wait_elsewhere();
    let mut response = request.send().await.map_err(explain)?;
    if response.status().is_redirection() {
        return Err(OutboundError::Redirected);
    }
    let body = read_body(&mut response).await?;
    let headers = response.headers();
    Ok(Answer {
        status: response.status().as_u16(),
        content_type: headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned),
        max_age: max_age(headers),
        body,
    })
}

async fn read_body(response: &mut Response) -> Result<Vec<u8>, OutboundError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(explain)? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(OutboundError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Keeps the cause inside: it names addresses.
fn explain(error: reqwest::Error) -> OutboundError {
    let host = error.url().and_then(Url::host_str).map(str::to_owned);
    let error = error.without_url();
    let cause: &dyn std::error::Error = &error;
    tracing::debug!(host, cause, "a request to an address of others failed");
    if error.is_connect() || error.is_builder() {
        OutboundError::Unusable
    } else if error.is_timeout() {
        OutboundError::Slow
    } else {
        OutboundError::Broken
    }
}

fn max_age(headers: &HeaderMap) -> Option<u64> {
    let mut max_age = None;
    for value in headers.get_all(CACHE_CONTROL) {
        for directive in value.to_str().ok()?.split(',') {
            let (name, seconds) = directive.split_once('=').unwrap_or((directive, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "no-store" | "no-cache" => return Some(0),
                "max-age" => max_age = seconds.trim().trim_matches('"').parse().ok(),
                _ => {}
            }
        }
    }
    max_age
}

#[cfg(test)]
mod tests;
