//! Live updates: the Centrifuge client protocol in JSON over WebSocket, guarded by the same tokens and rules as everything else.
//!
//! Each socket is a task of its own. What it subscribes to is a topic, shared by all that are shown the same: it reads the feed of changes
//! once, writes every publication once, and puts it into the bounded queue of each socket.

mod channel;
pub mod echo;
mod frames;
mod hub;
mod outbox;
mod protocol;
pub mod routes;
mod socket;
mod subscribe;
mod talk;
mod topic;

pub use hub::Hub;
