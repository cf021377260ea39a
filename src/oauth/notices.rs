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

/// What came of telling an app.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The app has taken it in.
    Heard,
    /// It comes again.
    Failed,
    /// It does not come again.
    GivenUp,
}

impl Notice {
    /// How metrics call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Heard => "heard",
            Self::Failed => "failed",
            Self::GivenUp => "given_up",
        }
    }
}

impl Server {
    /// Sends the notices that are due; answers what came of each.
    ///
    /// # Errors
    /// Postgres.
    pub async fn send_notices(&self, db: &Db) -> Result<Vec<Notice>, ApiError> {
        let due = db
            .run(|conn| db::tx(conn, |conn| Ok(store::take_notices(conn, TOGETHER)?)))
            .await?;
        let sending = due.iter().map(|notice| self.send(notice));
        let sent = futures_util::future::join_all(sending).await;
        let done: Vec<Uuid> = (due.iter().zip(&sent))
            .filter(|(_, outcome)| **outcome != Notice::Failed)
            .map(|(notice, _)| notice.id)
            .collect();
        if !done.is_empty() {
            db.run(move |conn| Ok(store::forget_notices(conn, &done)?))
                .await?;
        }
        Ok(sent)
    }

    /// Tells one app.
    async fn send(&self, notice: &NoticeRow) -> Notice {
        let client = self.registry.find(&notice.client_id);
        let uri = client.and_then(|client| client.metadata.backchannel_logout_uri.clone());
        // Nobody is there any more who wants to hear.
        let Some(uri) = uri else {
            return Notice::GivenUp;
        };
        let token = match self.logout_token(notice) {
            Ok(token) => token,
            Err(error) => {
                tracing::error!(%error, "a logout token can't be made");
                return Notice::Failed;
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
            return Notice::Heard;
        }
        let is_last = notice.attempts >= ATTEMPTS;
        tracing::warn!(
            client = notice.client_id,
            attempts = notice.attempts,
            outcome,
            is_last,
            "an app did not take in that a session has ended"
        );
        if is_last {
            Notice::GivenUp
        } else {
            Notice::Failed
        }
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
