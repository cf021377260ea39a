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
}

/// Nobody could fetch it in time, because too many others are being fetched.
#[derive(Clone, Copy)]
struct Busy;

/// Fetches documents, and keeps them for as long as they say; each once, however many ask for it at the same time.
#[derive(Clone)]
pub struct Documents {
    outbound: Outbound,
    turns: Arc<Semaphore>,
    clients: Cache<String, Kept<Client>>,
    keys: Cache<String, Kept<PublicKeys>>,
}

impl Documents {
    pub(super) fn new(outbound: Outbound) -> Self {
        Self {
            outbound,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            clients: cache(),
            keys: cache(),
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
        self.find(&self.clients, id, read).await
    }

    /// The public keys at an address.
    pub(super) async fn keys(&self, uri: &str) -> Option<Arc<PublicKeys>> {
        let read = |document: Value| PublicKeys::parse(&document).ok();
        self.find(&self.keys, uri, read).await
    }

    /// The same after one was named that is not among them; `None` where they were fetched just now.
    pub(super) async fn keys_anew(&self, uri: &str) -> Option<Arc<PublicKeys>> {
        let known = self.keys.get(uri).await;
        if known.is_some_and(|kept| kept.fetched.elapsed() < Duration::from_secs(AGAIN_AFTER)) {
            return None;
        }
        self.keys.invalidate(uri).await;
        self.keys(uri).await
    }

    async fn find<T: Send + Sync + 'static>(
        &self,
        kept: &Cache<String, Kept<T>>,
        uri: &str,
        read: impl Fn(Value) -> Option<T>,
    ) -> Option<Arc<T>> {
        let fetch = async {
            let turn = tokio::time::timeout(PATIENCE, self.turns.acquire()).await;
            let Ok(Ok(_turn)) = turn else {
                return Err(Busy);
            };
            Ok(self.fetch(uri, read).await)
        };
        match kept.try_get_with_by_ref(uri, fetch).await {
            Ok(kept) => kept.found,
            Err(_busy) => None,
        }
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

fn cache<T: Send + Sync + 'static>() -> Cache<String, Kept<T>> {
    Cache::builder()
        .max_capacity(MOST)
        .expire_after(AsItSays)
        .build()
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
