//! What every request passes: identity, input, output; rooms see its types, never actix's.

mod authenticate;
mod caller;
mod guard;
mod json;
mod observe;
mod origin;
mod page;
mod resource;

pub use authenticate::authenticate;
pub use caller::{Caller, Visitor};
pub use guard::{QueryNames, guard};
pub use json::{InputSchemas, Json, MergePatch, body_limit};
pub use observe::observe;
pub use origin::Anyone;
pub use page::{Page, PageQuery, Pager, Query};
pub use resource::Routes;
