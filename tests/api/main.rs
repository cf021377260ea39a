//! Black-box tests: the real server on a free port, real Postgres, real HTTP.

mod audit;
mod commands;
mod direction;
mod errors;
mod faults;
mod forged_tokens;
mod fuzz;
mod harness;
mod json_bodies;
mod key_files;
mod logs;
mod openapi;
mod passwords;
mod roles;
mod schema;
mod sessions;
mod tokens;
mod users;
