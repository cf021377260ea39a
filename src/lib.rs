//! Tollgate: the back end of a front end. One line per room; ARCHITECTURE.md is the guided tour.

pub mod app;
pub mod audit;
pub mod cli;
pub mod clock;
pub mod config;
pub mod db;
pub mod docs;
pub mod embedded;
pub mod error;
pub mod http;
pub mod jobs;
pub mod keys;
pub mod operations;
pub mod revocation;
pub mod roles;
pub mod schema;
pub mod scope;
pub mod sessions;
pub mod start;
pub mod strict_json;
pub mod telemetry;
pub mod timestamp;
pub mod tokens;
pub mod users;
