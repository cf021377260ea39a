//! What a session gives out: an access token, the refresh token that brings the next one, and who it is.

use uuid::Uuid;

use super::Generation;
use crate::{
    error::{ApiError, FieldError},
    scope::Scopes,
    tokens::{Grant, IdentityGrant, Issued, RefreshGrant, Tokens, UserGrant},
    users::{self, Holder},
};

/// An access token and the refresh token that brings the next one; deliberately not to be printed.
pub struct Pair {
    /// The session.
    pub session_id: Uuid,
    /// The access token.
    pub access_token: String,
    /// Seconds until it expires.
    pub expires_in: i64,
    /// The refresh token.
    pub refresh_token: String,
    /// Seconds until it expires.
    pub refresh_expires_in: i64,
    /// What the access token may do.
    pub scopes: Scopes,
    /// The ID token, where the app may know who somebody is.
    pub id_token: Option<String>,
}

/// What the caller wants of a pair of tokens.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Less than everything that is allowed.
    pub scopes: Option<Scopes>,
    /// What the app may ask for at this time, which may be less than when the session began; `None` for our own.
    pub most: Option<Scopes>,
    /// Another API than this one.
    pub audience: Option<String>,
    /// The thumbprint of the key that the access token is to be bound to.
    pub key: Option<String>,
    /// What goes into the ID token besides what every one has.
    pub identity: IdentityWish,
}

/// What an app wants of its ID token.
#[derive(Clone, Debug, Default)]
pub struct IdentityWish {
    /// What it sent along to tell its own request.
    pub nonce: Option<String>,
    /// Whether it holds what otherwise only userinfo tells.
    pub with_claims: bool,
}

impl Wish {
    /// Reads `scope` (RFC 6749 section 3.3) and `resource` (RFC 8707) of a body.
    ///
    /// # Errors
    /// 422 for what is no scope, or an API that no tokens are made for.
    pub fn parse(
        scope: Option<&str>,
        resource: Option<String>,
        tokens: &Tokens,
    ) -> Result<Self, ApiError> {
        let mut errors = Vec::new();
        let scopes = scope.map(str::parse).transpose().unwrap_or_else(|error| {
            errors.push(FieldError::new("/scope", "scope", format!("{error}")));
            None
        });
        if resource
            .as_ref()
            .is_some_and(|audience| !tokens.knows_audience(audience))
        {
            errors.push(FieldError::new(
                "/resource",
                "resource",
                "no tokens are made for this API",
            ));
        }
        if errors.is_empty() {
            Ok(Self {
                scopes,
                audience: resource,
                ..Self::default()
            })
        } else {
            Err(ApiError::invalid(errors))
        }
    }

    /// Whether the access token is for an API whose uses of it we don't see.
    pub fn is_external(&self, tokens: &Tokens) -> bool {
        let audience = self.audience.as_deref();
        audience.is_some_and(|audience| !tokens.is_own_audience(audience))
    }

    /// What of `allowed` is wished for.
    ///
    /// # Errors
    /// 422 when more is wished for than allowed.
    pub fn within(&self, allowed: &Scopes) -> Result<Scopes, ApiError> {
        match &self.scopes {
            None => Ok(allowed.clone()),
            Some(wished) if wished.is_within(allowed) => Ok(wished.clone()),
            Some(_) => {
                let detail = format!("more than is allowed here, which is: {allowed}");
                Err(ApiError::invalid(vec![FieldError::new(
                    "/scope", "scope", detail,
                )]))
            }
        }
    }
}

/// Makes the tokens of the session's current generation; inside the transaction, so that a token that can't be made
/// leaves everything as it was.
///
/// # Errors
/// 422 when more is wished for than allowed, or the access token would be too large.
pub(super) fn pair(
    tokens: &Tokens,
    holder: &Holder,
    session: &Generation,
    wish: &Wish,
) -> Result<Pair, ApiError> {
    if let (Some(resource), Some(wished)) = (&session.resource, &wish.audience)
        && resource != wished
    {
        let detail = "the person was asked about another API";
        return Err(ApiError::invalid(vec![FieldError::new(
            "/resource",
            "resource",
            detail,
        )]));
    }
    let now = tokens.now();
    let scopes = granted(holder, session, wish)?;
    let issued = tokens.issue_access(
        Grant {
            client_id: session.client_id.clone(),
            scopes: scopes.clone(),
            audience: wish.audience.clone().or(session.resource.clone()),
            user: Some(UserGrant {
                user_id: holder.id,
                user_epoch: holder.epoch,
                roles: holder.roles.clone(),
                session_id: session.session_id,
                generation: session.generation,
                auth_time: session.auth_time.timestamp(),
                acr: session.acr.clone(),
                amr: session.amr.clone(),
                private: tokens.private_claims(&holder.mappable),
            }),
            key: wish.key.clone(),
            act: None,
            until: None,
        },
        now,
    )?;
    let refresh_token = tokens.issue_refresh(&RefreshGrant {
        user_id: holder.id,
        client_id: session.client_id.clone(),
        session_id: session.session_id,
        generation: session.generation,
        issued_at: session.rotated_at,
        expires_at: session.refresh_exp,
        kid: session.refresh_kid.clone(),
    })?;
    let id_token = if scopes.contains("openid") {
        Some(identify(tokens, holder, session, wish, &scopes, &issued)?)
    } else {
        None
    };
    Ok(Pair {
        session_id: session.session_id,
        access_token: issued.token,
        expires_in: issued.expires_in,
        refresh_token,
        refresh_expires_in: (session.refresh_exp - now).num_seconds().max(0),
        scopes,
        id_token,
    })
}

/// What the session may, cut to what the user's roles and the app may at this time, and to what is wished for.
fn granted(holder: &Holder, session: &Generation, wish: &Wish) -> Result<Scopes, ApiError> {
    let allowed = Scopes::from_stored(&session.scopes).for_roles(&holder.scopes);
    match &wish.most {
        Some(most) => wish.within(&allowed.common(most)),
        None => wish.within(&allowed),
    }
}

fn identify(
    tokens: &Tokens,
    holder: &Holder,
    session: &Generation,
    wish: &Wish,
    scopes: &Scopes,
    issued: &Issued,
) -> Result<String, ApiError> {
    let asked = session
        .claims
        .as_ref()
        .and_then(|claims| claims.get("id_token"));
    let told = if wish.identity.with_claims {
        scopes.clone()
    } else {
        Scopes::default()
    };
    let grant = IdentityGrant {
        user_id: holder.id,
        client_id: &session.client_id,
        session_id: session.session_id,
        auth_time: session.auth_time.timestamp(),
        acr: &session.acr,
        amr: &session.amr,
        nonce: wish.identity.nonce.as_deref(),
        access_token: &issued.token,
        claims: users::claims_about(&holder.mappable, &told, asked),
    };
    tokens.issue_identity(grant, tokens.now())
}
