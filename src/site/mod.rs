//! A built single-page app, served from the origin of the API, so that it needs no CORS.

pub mod routes;
