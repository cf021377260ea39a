//! Documents of clients elsewhere: clients that are documents (Client ID Metadata Document), and their keys.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    clients::{AuthMethod, Client, Metadata},
    jose::PublicKeys,
    outbound::{Answer, Outbound},
};

/// Documents that are kept; a full cache forgets the expired, and all when none is.
const MOST: usize = 1_000;

/// How long a document is kept that says nothing about it.
const USUALLY: u64 = 300;

/// How long it is kept at most.
const AT_MOST: u64 = 86_400;

/// How long it is not asked for again after it could not be had.
const AFTER_FAILURE: u64 = 5;

type Kept<T> = Arc<Mutex<HashMap<String, (Option<Arc<T>>, Instant)>>>;

/// Fetches documents, and keeps them for as long as they say.
#[derive(Clone)]
pub struct Documents {
    outbound: Outbound,
    clients: Kept<Client>,
    keys: Kept<PublicKeys>,
}

impl Documents {
    pub(super) fn new(outbound: Outbound) -> Self {
        Self {
            outbound,
            clients: Kept::default(),
            keys: Kept::default(),
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
        self.find(&self.keys, uri, |document| {
            PublicKeys::parse(&document).ok()
        })
        .await
    }

    async fn find<T>(
        &self,
        kept: &Kept<T>,
        uri: &str,
        read: impl Fn(Value) -> Option<T>,
    ) -> Option<Arc<T>> {
        let lock = || kept.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some((known, until)) = lock().get(uri)
            && *until > now
        {
            return known.clone();
        }
        let (found, seconds) = match self.outbound.get(uri, "application/json").await {
            Ok(answer) => {
                let seconds = answer
                    .max_age
                    .unwrap_or(USUALLY)
                    .clamp(AFTER_FAILURE, AT_MOST);
                let found = json(&answer).and_then(read).map(Arc::new);
                (found, seconds)
            }
            Err(error) => {
                tracing::info!(uri = %uri.escape_debug(), %error, "a document of a client can't be had");
                (None, AFTER_FAILURE)
            }
        };
        let seconds = if found.is_some() {
            seconds
        } else {
            AFTER_FAILURE
        };
        let mut kept = lock();
        if kept.len() >= MOST {
            kept.retain(|_, (_, until)| *until > now);
        }
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert(
            uri.to_owned(),
            (found.clone(), now + Duration::from_secs(seconds)),
        );
        found
    }
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
