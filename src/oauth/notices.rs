//! Telling apps that a session of theirs has ended (OpenID Connect Back-Channel Logout), until they have heard.

use serde_json::json;
use uuid::Uuid;

use super::{
    Server,
    notice_store::{self as store, NoticeRow},
};
use crate::{
    db::{self, Db},
    error::ApiError,
    tokens::Statement,
};

/// Seconds that a logout token is good for (`OAU-27`: at most two minutes).
const LIFETIME: i64 = 120;

/// Notices that are sent in one turn.
const TOGETHER: i64 = 32;

/// How often an app is told before it is given up: the last time after a day.
const ATTEMPTS: i32 = 10;

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

impl Server {
    /// Sends the notices that are due.
    ///
    /// # Errors
    /// Postgres.
    pub async fn send_notices(&self, db: &Db) -> Result<(), ApiError> {
        let due = db
            .run(|conn| db::tx(conn, |conn| Ok(store::take_notices(conn, TOGETHER)?)))
            .await?;
        let sent = due.into_iter().map(|notice| self.send(notice));
        let heard = futures_util::future::join_all(sent).await;
        let done: Vec<Uuid> = heard.into_iter().flatten().collect();
        if done.is_empty() {
            return Ok(());
        }
        db.run(move |conn| {
            for id in done {
                store::forget_notice(conn, id)?;
            }
            Ok(())
        })
        .await
    }

    /// Tells one app; the notice when it need not come again.
    async fn send(&self, notice: NoticeRow) -> Option<Uuid> {
        let client = self.registry.find(&notice.client_id);
        let uri = client.and_then(|client| client.metadata.backchannel_logout_uri.clone());
        // Nobody is there any more who wants to hear.
        let Some(uri) = uri else {
            return Some(notice.id);
        };
        let token = match self.logout_token(&notice) {
            Ok(token) => token,
            Err(error) => {
                tracing::error!(%error, "a logout token can't be made");
                return None;
            }
        };
        let form = [("logout_token", token.as_str())];
        let told = self.documents.outbound().post_form(&uri, &form, None).await;
        let (heard, outcome) = match &told {
            Ok(answer) => (
                matches!(answer.status, 200..=299),
                answer.status.to_string(),
            ),
            Err(error) => (false, error.to_string()),
        };
        if heard {
            metrics::counter!("tollgate_logout_notices_total", "outcome" => "heard").increment(1);
            return Some(notice.id);
        }
        let is_last = notice.attempts >= ATTEMPTS;
        tracing::warn!(
            client = notice.client_id,
            attempts = notice.attempts,
            outcome,
            is_last,
            "an app did not take in that a session has ended"
        );
        let name = if is_last { "given_up" } else { "failed" };
        metrics::counter!("tollgate_logout_notices_total", "outcome" => name).increment(1);
        is_last.then_some(notice.id)
    }

    fn logout_token(&self, notice: &NoticeRow) -> Result<String, ApiError> {
        let now = self.rules.tokens.now().timestamp();
        let claims = json!({
            "iss": self.issuer(),
            "sub": notice.user_id,
            "aud": notice.client_id,
            "iat": now,
            "exp": now + LIFETIME,
            "jti": Uuid::now_v7(),
            "events": {EVENT: {}},
            "sid": notice.session_id,
        });
        self.rules.tokens.sign_statement(Statement::Logout, &claims)
    }
}
