//! Black-box tests: the real server on a free port, real Postgres, real HTTP.
#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "a test that meets what it did not expect must fail there, and it may be as long as its story"
)]

mod audit;
mod collections;
mod commands;
mod conditions;
mod cors;
mod direction;
mod errors;
mod faults;
mod feed;
mod forged_tokens;
mod fuzz;
mod harness;
mod idempotency;
mod json_bodies;
mod keys;
mod logs;
mod oauth_apps;
mod oauth_authorize;
mod oauth_codes;
mod oauth_device;
mod oauth_documents;
mod oauth_dpop;
mod oauth_exchange;
mod oauth_logout;
mod oauth_oidc;
mod oauth_pages;
mod oauth_par;
mod oauth_proof;
mod oauth_registration;
mod oauth_revocation;
mod openapi;
mod operations;
#[cfg(feature = "otel")]
mod otel;
mod passwords;
mod patch_vectors;
mod purge;
mod realtime;
mod record_batches;
mod record_crowds;
mod record_figures;
mod record_history;
mod record_lines;
mod record_lists;
mod record_members;
mod record_references;
mod records;
mod refresh;
mod refresh_model;
mod revocation;
mod roles;
mod rules;
mod schema;
mod schema_vectors;
mod sessions;
mod snapshots;
mod token_faults;
mod tokens;
mod typed;
mod upstream;
mod users;
mod wire;
