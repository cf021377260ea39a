//! The request that a page is about, where it is about one.

use std::sync::Arc;

use diesel::PgConnection;

use super::{Browser, PageFault, find_visitor, shown_client, view};
use crate::{
    clients::Client,
    oauth::{
        Refusal, Server,
        authorize::{Done, Outcome, Pending, Reference, Visitor},
    },
};

/// A request by what names it, with the client that it says.
#[derive(Clone)]
pub struct Waiting {
    client: Arc<Client>,
    reference: Reference,
}

impl Waiting {
    /// Finds the client of a request that a page or a form names; `None` for a page that is about none.
    ///
    /// # Errors
    /// What is named is not one.
    pub async fn named(server: &Server, name: Option<&str>) -> Result<Option<Self>, PageFault> {
        let Some(name) = name.filter(|name| device_code(name).is_none()) else {
            return Ok(None);
        };
        let reference = Reference::parse(name).ok_or_else(PageFault::request_expired)?;
        let client = server.find_client(reference.client_id()).await;
        let client = client.ok_or_else(PageFault::unknown_client)?;
        Ok(Some(Self { client, reference }))
    }

    /// The same for a page that has to be about one.
    ///
    /// # Errors
    /// Those of `named`, and where none is named.
    pub async fn needed(server: &Server, name: Option<&str>) -> Result<Self, PageFault> {
        let waiting = Self::named(server, name).await?;
        waiting.ok_or_else(PageFault::request_expired)
    }

    /// Reads the request.
    ///
    /// # Errors
    /// It has expired.
    pub fn find(&self, server: &Server, conn: &mut PgConnection) -> Result<Pending, Refusal> {
        server.find_pending(conn, &self.client, &self.reference)
    }

    /// Goes on with the request after the person has done something.
    ///
    /// # Errors
    /// It has expired, or the client is to be told.
    pub fn go_on(
        &self,
        server: &Server,
        conn: &mut PgConnection,
        visitor: Option<&Visitor>,
        done: Done,
        actor: &crate::audit::Actor,
    ) -> Result<Outcome, Refusal> {
        let pending = self.find(server, conn)?;
        server.go_on(conn, &pending, visitor, done, actor)
    }
}

/// Where somebody who signs in wants to let a device in, in place of a request: the code that it shows.
pub fn device_code(name: &str) -> Option<&str> {
    name.strip_prefix("device:")
}

/// The app of a request as pages show it.
pub fn shown(pending: &Pending) -> view::Client {
    let authorization = &pending.authorization;
    shown_client(
        &authorization.client,
        Some(&authorization.target.redirect_uri),
    )
}

/// What a page needs of the database: the request that it is about, and who is signed in.
pub struct Scene {
    /// The request.
    pub pending: Option<Pending>,
    /// Who is signed in.
    pub visitor: Option<Visitor>,
}

impl Scene {
    /// Reads both in one hop.
    ///
    /// # Errors
    /// The request has expired; Postgres.
    pub async fn read(browser: &mut Browser, waiting: Option<&Waiting>) -> Result<Self, PageFault> {
        let (server, hash, lifetimes) =
            (browser.server(), browser.cookie_hash(), browser.lifetimes());
        let waiting = waiting.cloned();
        let scene: Self = crate::oauth::hop(&browser.app.db, move |conn| {
            let visitor = find_visitor(conn, hash.as_deref(), lifetimes)?;
            let pending = waiting.map(|waiting| waiting.find(&server, conn));
            Ok::<_, PageFault>(Self {
                pending: pending.transpose()?,
                visitor,
            })
        })
        .await?;
        let locale = scene
            .visitor
            .as_ref()
            .and_then(|visitor| visitor.account.user.locale.clone());
        let asked = scene
            .pending
            .as_ref()
            .and_then(|pending| pending.authorization.ui_locales.clone());
        browser.speak(asked.or(locale).as_deref());
        Ok(scene)
    }

    /// Where forms of a page about this request may end.
    pub fn place(&self) -> Option<&str> {
        let pending = self.pending.as_ref()?;
        Some(&pending.authorization.target.redirect_uri)
    }
}
