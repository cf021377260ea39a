//! The grant `refresh_token` (RFC 6749 section 6): the table of `sessions::refresh`, for the client that it was given to.

use super::{
    OAuthError, Server, hop, once,
    token::{TokenAnswer, TokenRequest},
};
use crate::{db::Db, sessions::refresh};

impl Server {
    pub(super) async fn refresh(
        &self,
        db: &Db,
        request: TokenRequest,
    ) -> Result<TokenAnswer, OAuthError> {
        let tokens = &self.rules.tokens;
        let presented = tokens
            .verify_refresh(request.need("refresh_token")?, tokens.now())
            .map_err(refresh::refusal)?;
        if presented.client_id != request.client().id {
            let actor = request.actor();
            return Err(refresh::refuse_foreign(db, presented, &actor).await.into());
        }
        let wish = request.wish(self)?;
        let used = request.used();
        if !used.is_empty() {
            // Before the rotation, so that a proof that was seen before rotates nothing.
            hop(db, move |conn| once::take_all(conn, &used)).await?;
        }
        let actor = request.actor();
        let pair = refresh::refresh(&self.desk, db, presented, &wish, &self.rules, &actor).await?;
        Ok(TokenAnswer::of(pair, &request))
    }
}
