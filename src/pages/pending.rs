//! The request that a page is about, where it is about one.

use std::sync::Arc;

use diesel::PgConnection;

use super::{Browser, PageFault, shown_client, view};
use crate::{
    clients::Client,
    error::ApiError,
    oauth::{
        Refusal, Server,
        authorize::{Done, Outcome, Visitor},
        waiting::{Pending, Reference},
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
        let (server, waiting) = (browser.server(), waiting.cloned());
        let reading = browser.visit(move |conn, _visitor| {
            let pending = waiting.map(|waiting| waiting.find(&server, conn));
            Ok::<_, PageFault>(pending.transpose()?)
        });
        let (visitor, pending) = reading.await?;
        Ok(Self { pending, visitor }.greet(browser))
    }

    /// Reads both and then does `work` in the same hop. Where it is refused, a page can tell; where it is done, a request that
    /// has expired meanwhile is none.
    ///
    /// # Errors
    /// Those of `read`, and what fails on our side.
    pub async fn read_and<T, F>(
        browser: &mut Browser,
        waiting: Option<&Waiting>,
        work: F,
    ) -> Result<(Self, Result<T, ApiError>), PageFault>
    where
        T: Send + 'static,
        F: FnOnce(&mut PgConnection, Option<&Pending>) -> Result<T, ApiError> + Send + 'static,
    {
        let (server, waiting) = (browser.server(), waiting.cloned());
        let reading = browser.visit(move |conn, _visitor| {
            let pending = waiting.map(|waiting| waiting.find(&server, conn));
            let known = pending.as_ref().and_then(|found| found.as_ref().ok());
            match work(conn, known) {
                Ok(done) => Ok((pending.and_then(Result::ok), Ok(done))),
                Err(error) if error.is_ours() => Err(PageFault::from(error)),
                Err(refused) => Ok((pending.transpose()?, Err(refused))),
            }
        });
        let (visitor, (pending, done)) = reading.await?;
        Ok((Self { pending, visitor }.greet(browser), done))
    }

    /// Lets pages speak the language that the app asks for.
    fn greet(self, browser: &mut Browser) -> Self {
        let asked = self.pending.as_ref().map(|pending| &pending.authorization);
        browser.speak(asked.and_then(|asked| asked.ui_locales.as_deref()));
        self
    }

    /// Where forms of a page about this request may end.
    pub fn place(&self) -> Option<&str> {
        let pending = self.pending.as_ref()?;
        Some(&pending.authorization.target.redirect_uri)
    }
}
