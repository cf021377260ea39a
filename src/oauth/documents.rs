//! Documents of clients elsewhere: clients that are documents (Client ID Metadata Document), and their keys.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use moka::{Expiry, future::Cache};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::{
    clients::{AuthMethod, Client, Metadata},
    jose::PublicKeys,
    outbound::{Answer, Outbound},
};

/// Documents that are kept.
const MOST: u64 = 1_000;

/// Documents that are fetched at the same time.
const AT_ONCE: usize = 32;

/// How long somebody waits until a document is fetched.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a document is kept that says nothing about it.
const USUALLY: u64 = 300;

/// How long it is kept at most.
const AT_MOST: u64 = 86_400;

/// How long it is not asked for again after it could not be had, and keys that were had while a client names another.
const AGAIN_AFTER: u64 = 5;

/// A document, or that there is none.
struct Kept<T> {
    found: Option<Arc<T>>,
    fetched: Instant,
    good_for: Duration,
}

impl<T> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Self {
            found: self.found.clone(),
            ..*self
        }
    }
}

/// Lets each document be kept for as long as it says.
struct AsItSays;

impl<T> Expiry<String, Kept<T>> for AsItSays {
    fn expire_after_create(&self, _: &String, kept: &Kept<T>, _: Instant) -> Option<Duration> {
        Some(kept.good_for)
    }

    fn expire_after_update(
        &self,
        _: &String,
        kept: &Kept<T>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(kept.good_for)
    }
}

/// Nobody could fetch it in time, because too many others are being fetched.
#[derive(Clone, Copy)]
struct Busy;

/// Documents of one kind; those of the others keep none of them waiting.
#[derive(Clone)]
struct Shelf<T: Send + Sync + 'static> {
    kept: Cache<String, Kept<T>>,
    turns: Arc<Semaphore>,
}

impl<T: Send + Sync + 'static> Shelf<T> {
    fn new() -> Self {
        let kept = Cache::builder().max_capacity(MOST).expire_after(AsItSays);
        Self {
            kept: kept.build(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// What is kept, or else what `fetch` brings, once for everyone who asks for it.
    async fn find(&self, uri: &str, fetch: impl Future<Output = Kept<T>>) -> Option<Kept<T>> {
        let fetch = async {
            let turn = tokio::time::timeout(PATIENCE, self.turns.acquire()).await;
            let Ok(Ok(_turn)) = turn else {
                return Err(Busy);
            };
            Ok(fetch.await)
        };
        self.kept.try_get_with_by_ref(uri, fetch).await.ok()
    }
}

/// Fetches documents, and keeps them for as long as they say; each once, however many ask for it at the same time.
#[derive(Clone)]
pub struct Documents {
    outbound: Outbound,
    clients: Shelf<Client>,
    keys: Shelf<PublicKeys>,
    /// Keys that were fetched though others are kept.
    keys_anew: Shelf<PublicKeys>,
}

impl Documents {
    pub(super) fn new(outbound: Outbound) -> Self {
        Self {
            outbound,
            clients: Shelf::new(),
            keys: Shelf::new(),
            keys_anew: Shelf::new(),
        }
    }

    /// What reaches other machines.
    pub fn outbound(&self) -> &Outbound {
        &self.outbound
    }

    /// The client that an address names, as the document there describes it.
    pub(super) async fn find_client(
        &self,
        id: &str,
        bound: impl Fn(&mut Metadata),
    ) -> Option<Arc<Client>> {
        if !is_document(id) {
            return None;
        }
        let read = |document: Value| {
            if document.get("client_id").and_then(Value::as_str) != Some(id) {
                return None;
            }
            let mut document = document;
            if document.get("token_endpoint_auth_method").is_none() {
                // It can't have a secret; RFC 7591's default would be one.
                let method = AuthMethod::None.name();
                document
                    .as_object_mut()?
                    .insert("token_endpoint_auth_method".to_owned(), method.into());
            }
            let mut metadata = Metadata::from_registration(document).ok()?;
            bound(&mut metadata);
            Client::document(id, metadata)
        };
        self.clients.find(id, self.fetch(id, read)).await?.found
    }

    /// The public keys at an address.
    pub(super) async fn keys(&self, uri: &str) -> Option<Arc<PublicKeys>> {
        let kept = self.keys.find(uri, self.fetch(uri, read_keys)).await;
        kept?.found
    }

    /// The same after one was named that is not among those that are kept, which stay where no others can be had; `None` also
    /// where they were fetched just now.
    pub(super) async fn keys_anew(&self, uri: &str) -> Option<Arc<PublicKeys>> {
        let again_after = Duration::from_secs(AGAIN_AFTER);
        let known = self.keys.kept.get(uri).await;
        if known.is_some_and(|kept| kept.fetched.elapsed() < again_after) {
            return None;
        }
        let fetch = async {
            let fetched = self.fetch(uri, read_keys).await;
            if fetched.found.is_some() {
                let uri = uri.to_owned();
                self.keys.kept.insert(uri, fetched.clone()).await;
            }
            Kept {
                good_for: again_after,
                ..fetched
            }
        };
        self.keys_anew.find(uri, fetch).await?.found
    }

    async fn fetch<T>(&self, uri: &str, read: impl Fn(Value) -> Option<T>) -> Kept<T> {
        let answer = self.outbound.get(uri, "application/json").await;
        if let Err(error) = &answer {
            tracing::info!(uri = %uri.escape_debug(), %error, "a document of a client can't be had");
        }
        let usual = answer.as_ref().ok().and_then(|answer| answer.max_age);
        let found = answer.ok().and_then(|answer| json(&answer)).and_then(read);
        let seconds = match &found {
            Some(_) => usual.unwrap_or(USUALLY).clamp(AGAIN_AFTER, AT_MOST),
            None => AGAIN_AFTER,
        };
        Kept {
            found: found.map(Arc::new),
            fetched: Instant::now(),
            good_for: Duration::from_secs(seconds),
        }
    }
}

fn read_keys(document: Value) -> Option<PublicKeys> {
    PublicKeys::parse(&document).ok()
}

/// Whether an id names a document: https, with a path (draft-ietf-oauth-client-id-metadata-document section 3).
fn is_document(id: &str) -> bool {
    let rest = id
        .strip_prefix("https://")
        .or_else(|| id.strip_prefix("http://"));
    rest.and_then(|rest| rest.split_once('/'))
        .is_some_and(|(host, path)| {
            !host.is_empty()
                && !path.is_empty()
                && !path.split('/').any(|segment| matches!(segment, "." | ".."))
                && !id.contains(['#', '?', '@'])
        })
}

fn json(answer: &Answer) -> Option<Value> {
    let is_json = answer.content_type.as_deref().is_some_and(|kind| {
        kind.split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .ends_with("json")
    });
    if answer.status != 200 || !is_json {
        return None;
    }
    let text = crate::strict_json::check(&answer.body).ok()?;
    serde_json::from_str(text).ok()
}
