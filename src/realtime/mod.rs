//! Live updates: the Centrifuge client protocol in JSON over WebSocket, guarded by the same tokens and rules as everything else.
//!
//! Each socket has a connection of its own, which is no HTTP any more. What it subscribes to is a topic, shared by all that are shown the same: it reads the feed of changes
//! once, writes every publication once, and puts it into the bounded queue of each socket. What is told beside records is heard of the
//! channels, and told the same way.

mod attend;
mod beat;
mod channel;
mod channel_talk;
pub mod echo_routes;
mod events;
pub mod events_routes;
mod following;
mod frames;
mod hub;
mod outbox;
mod protocol;
pub mod routes;
mod socket;
mod stream;
mod subscribe;
mod talk;
pub mod ticket_routes;
mod ticket_store;
mod topic;
mod wire;

pub use hub::Hub;
pub use ticket_store::purge as purge_tickets;
