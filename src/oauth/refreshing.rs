//! The grant `refresh_token` (RFC 6749 section 6): the table of `sessions::refresh`, for the client that it was given to.

use super::{
    OAuthError, Server, hop, once,
    token::{TokenAnswer, TokenRequest},
};
use crate::{
    db::{self, Db},
    sessions::refresh,
};

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
        let (used, actor) = (request.used(), request.actor());
        let rules = self.rules.clone();
        let pair = if used.is_empty() {
            refresh::refresh(&self.desk, db, presented, &wish, &rules, &actor).await?
        } else {
            // A proof that was seen before rotates nothing, one that is new stays used up also when the table refuses.
            hop(db, move |conn| {
                let answer = db::tx(conn, |conn| {
                    once::take_all(conn, &used)?;
                    once::keeping(conn, |conn| {
                        let alone = refresh::refresh_alone(conn, presented, &wish, &rules, &actor);
                        Ok::<_, OAuthError>(alone?)
                    })
                })?;
                if !matches!(answer, Ok(Ok(_))) {
                    rules.tokens.catch_up(conn);
                }
                Ok::<_, OAuthError>(answer??)
            })
            .await?
        };
        Ok(TokenAnswer::of(pair, &request))
    }
}
