//! What every request passes: identity, input, output; rooms see its types, never actix's.

mod authenticate;
mod caller;
mod compress;
mod conditional;
mod connection;
mod cookies;
mod cors;
mod form;
mod guard;
mod idempotency;
mod inputs;
mod json;
mod limit;
mod lines;
mod observe;
mod origin;
mod page;
mod resource;
mod seats;
mod upgrade;

pub use authenticate::{authenticate, token_text};
pub use caller::{Caller, Visitor};
pub use compress::compress;
pub use conditional::{Tagged, hash, known};
pub use connection::{Connection, HEAD_PATIENCE, keep_little};
pub use cookies::{CookieNames, Cookies};
pub use cors::Cors;
pub use form::Form;
pub use guard::{QueryNames, guard};
pub use idempotency::Idempotency;
pub use inputs::InputSchemas;
pub use json::{
    AnyJson, AnyPatch, Json, JsonObject, JsonPatch, JsonPatchStep, MaybeJson, PATCH_TYPES, PatchOf,
    body_limit,
};
pub use limit::{RateLimits, limit};
pub use lines::{NDJSON, OneOrLines};
pub use observe::{Rendered, observe};
pub use origin::{Anyone, Proxies};
pub use page::{Page, PageQuery, Pager, Query, Texts, read_query};
pub use resource::Routes;
pub use seats::Seats;
pub use upgrade::{Upgraded, converse, upgrade};
