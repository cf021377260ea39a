//! Accounts over HTTP; changes that end sessions live with the sessions.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Account, NewUser, Reach};
use crate::{
    app::AppState,
    config::SignUp,
    error::{ApiError, Code, Problem},
    http::{Caller, Idempotency, Json, Page, PageQuery, Pager, Query, Tagged, Visitor},
    idempotency::{self, Answer},
    precondition::Precondition,
    roles::RoleName,
    scope::{AccountRead, AccountWrite, Either, Named, UsersRead, UsersWrite},
    timestamp::Timestamp,
};

/// A person with an account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "019ab0c8-5a7e-7c3e-9b5e-2f2f6b0e7a11",
    "email": "ada@example.com",
    "email_verified": false,
    "name": "Ada",
    "locale": "en",
    "roles": ["user"],
    "disabled": false,
    "user_metadata": {},
    "app_metadata": {},
    "version": 1,
    "created_at": "2026-11-24T09:00:00.000Z",
    "updated_at": "2026-11-24T09:00:00.000Z",
}))]
pub struct User {
    /// The person's id, for ever; the `sub` of their tokens.
    pub id: Uuid,
    /// Signs the person in.
    #[schema(format = Email)]
    pub email: String,
    /// Whether the person proved that the address is theirs.
    pub email_verified: bool,
    /// What the person is called.
    pub name: Option<String>,
    /// The person's language (BCP 47).
    pub locale: Option<String>,
    /// The names of their roles.
    pub roles: Vec<String>,
    /// Whether the account may not sign in.
    pub disabled: bool,
    /// What the account's owner stores.
    #[schema(value_type = HashMap<String, Value>)]
    pub user_metadata: Value,
    /// What administrators store.
    #[schema(value_type = HashMap<String, Value>)]
    pub app_metadata: Value,
    /// Grows with every change.
    pub version: i64,
    /// When the account was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl From<Account> for User {
    fn from(account: Account) -> Self {
        let user = account.user;
        Self {
            id: user.id,
            email: user.email,
            email_verified: user.email_verified,
            name: user.name,
            locale: user.locale,
            roles: account.roles,
            disabled: user.disabled,
            user_metadata: user.user_metadata,
            app_metadata: user.app_metadata,
            version: user.version,
            created_at: user.created_at.into(),
            updated_at: user.updated_at.into(),
        }
    }
}

impl User {
    /// An account with the tag of its version, as it was asked for.
    pub fn tagged(account: Account, asked: UserRef) -> Tagged<Self> {
        let (id, version) = (account.user.id, account.user.version);
        let tagged = Tagged::versioned(Self::from(account), version);
        match asked {
            UserRef::Me => tagged.alias_of(super::location(id)),
            UserRef::Id(_) => tagged,
        }
    }
}

/// An account in a URI: an id, or `me` for the caller's own.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub enum UserRef {
    /// The caller's own.
    Me,
    /// The one with this id.
    Id(Uuid),
}

impl TryFrom<String> for UserRef {
    type Error = uuid::Error;

    fn try_from(text: String) -> Result<Self, uuid::Error> {
        match text.as_str() {
            "me" => Ok(Self::Me),
            id => id.parse().map(Self::Id),
        }
    }
}

impl UserRef {
    /// Finds whose account is meant and by which right the caller reaches it; what they may not see does not exist.
    ///
    /// # Errors
    /// 404.
    pub fn resolve<Own: Named, All: Named>(
        self,
        caller: &Caller<Either<Own, All>>,
    ) -> Result<(Uuid, Reach), ApiError> {
        let id = match self {
            Self::Me => caller.user_id(),
            Self::Id(id) => id,
        };
        if id == caller.user_id() && caller.authority().may(Own::NAME) {
            Ok((id, Reach::Own))
        } else if caller.authority().may(All::NAME) {
            Ok((id, Reach::Any(caller.authority().clone())))
        } else {
            Err(ApiError::not_found())
        }
    }
}

/// Signs up
///
/// Makes an account with the role `user`. Anyone may while `users.sign_up` is open; a token is not needed, but one that
/// is sent must be good and hold `users:write`. Answers 409 when the address has an account, which reveals that it has.
#[utoipa::path(
    post,
    path = "/v1/users",
    tag = "users",
    request_body = NewUser,
    security((), ("bearer" = ["users:write"])),
    responses(
        (status = 201, description = "Made", body = User, headers(("Location" = String, description = "The account's URI"))),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many passwords to hash just now", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn create_user(
    app: web::Data<AppState>,
    visitor: Visitor<UsersWrite>,
    idempotency: Idempotency,
    input: Json<NewUser>,
) -> Result<Tagged<Box<RawValue>>, ApiError> {
    if app.config.users.sign_up == SignUp::Closed && !visitor.is_caller() {
        return Err(Code::SignUpClosed.into());
    }
    let Json(new) = input;
    let about = [Some(new.email.to_string()), new.name.clone()]
        .into_iter()
        .flatten()
        .collect();
    let hash = app
        .passwords
        .admit()?
        .hash(new.password.clone(), about, "/password")
        .await?;
    let actor = visitor.actor().clone();
    let key = visitor.caller().and_then(|caller| idempotency.of(caller));
    let make = move |conn: &mut _| {
        let user = User::from(super::create(conn, &actor, &new, &hash, false)?);
        Answer::new(super::location(user.id), user.version, &user)
    };
    let answer = app
        .db
        .run(move |conn| idempotency::once(conn, key.as_ref(), make))
        .await?;
    Ok(answer.into())
}

/// Lists the accounts
///
/// Every account, oldest first.
#[utoipa::path(
    get,
    path = "/v1/users",
    tag = "users",
    params(PageQuery),
    security(("bearer" = ["users:read"])),
    responses(
        (status = 200, description = "A page of accounts", body = Page<User>, headers(
            ("Link" = String, description = "The next page (RFC 8288)"),
        )),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn list_users(
    app: web::Data<AppState>,
    caller: Caller<UsersRead>,
    query: Query<PageQuery>,
) -> Result<HttpResponse, ApiError> {
    let pager = Pager::new(
        format!("users {}", caller.user_id()),
        &query.0,
        &app.tokens.keyring(),
    )?;
    let window = pager.window();
    let accounts = app
        .db
        .run_again(move |conn| Ok(super::list(conn, window)?))
        .await?;
    let page: Page<User> =
        pager.page(accounts, |account| account.user.id, &app.tokens.keyring())?;
    Ok(page.respond("/v1/users", &[]))
}

/// Reads an account
///
/// One's own (`me` is an alias) with `account:read`, anyone's with `users:read`.
#[utoipa::path(
    get,
    path = "/v1/users/{id}",
    tag = "users",
    params(("id" = String, Path, description = "The account's id, or `me`", example = "me")),
    security(("bearer" = ["account:read"]), ("bearer" = ["users:read"])),
    responses(
        (status = 200, description = "The account", body = User, headers(("Content-Location" = String, description = "The account's URI, for `me`"))),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn read_user(
    app: web::Data<AppState>,
    caller: Caller<Either<AccountRead, UsersRead>>,
    path: web::Path<UserRef>,
) -> Result<Tagged<User>, ApiError> {
    let asked = path.into_inner();
    let (owner, _reach) = asked.resolve(&caller)?;
    let account = app
        .db
        .run_again(move |conn| Ok(super::find(conn, owner)?))
        .await?;
    let account = account.ok_or_else(ApiError::not_found)?;
    Ok(User::tagged(account, asked))
}

/// Erases an account
///
/// One's own with `account:write`, anyone's within one's own scopes with `users:write`. The account, its sessions and its
/// personal data are gone; the audit log keeps what was done under an id that names nobody any more.
#[utoipa::path(
    delete,
    path = "/v1/users/{id}",
    tag = "users",
    params(("id" = String, Path, description = "The account's id, or `me`", example = "me")),
    security(("bearer" = ["account:write"]), ("bearer" = ["users:write"])),
    responses(
        (status = 204, description = "Erased"),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn delete_user(
    app: web::Data<AppState>,
    caller: Caller<Either<AccountWrite, UsersWrite>>,
    path: web::Path<UserRef>,
    precondition: Precondition,
) -> Result<HttpResponse, ApiError> {
    let (owner, reach) = path.into_inner().resolve(&caller)?;
    app.run_revoking(move |conn| super::delete(conn, owner, &reach, &precondition, &caller.actor))
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Gives a role
///
/// Neither the role nor the account may reach above your own scopes; `admin` is given only by administrators.
#[utoipa::path(
    put,
    path = "/v1/users/{id}/roles/{role}",
    tag = "users",
    params(
        ("id" = String, Path, description = "The account's id, or `me`"),
        ("role" = String, Path, description = "The role's name", example = "user"),
    ),
    security(("bearer" = ["users:write"])),
    responses(
        (status = 204, description = "Given"),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn give_role(
    app: web::Data<AppState>,
    caller: Caller<UsersWrite>,
    path: web::Path<(UserRef, RoleName)>,
) -> Result<HttpResponse, ApiError> {
    let (owner, role) = owner_and_role(&caller, path);
    app.run_revoking(move |conn| {
        super::give_role(conn, owner, &role, caller.authority(), &caller.actor)
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Takes a role away
///
/// Neither the role nor the account may reach above your own scopes; the last administrator stays one.
#[utoipa::path(
    delete,
    path = "/v1/users/{id}/roles/{role}",
    tag = "users",
    params(
        ("id" = String, Path, description = "The account's id, or `me`"),
        ("role" = String, Path, description = "The role's name", example = "user"),
    ),
    security(("bearer" = ["users:write"])),
    responses(
        (status = 204, description = "Taken"),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn take_role(
    app: web::Data<AppState>,
    caller: Caller<UsersWrite>,
    path: web::Path<(UserRef, RoleName)>,
) -> Result<HttpResponse, ApiError> {
    let (owner, role) = owner_and_role(&caller, path);
    app.run_revoking(move |conn| {
        super::take_role(conn, owner, &role, caller.authority(), &caller.actor)
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}

fn owner_and_role(
    caller: &Caller<UsersWrite>,
    path: web::Path<(UserRef, RoleName)>,
) -> (Uuid, RoleName) {
    let (user, role) = path.into_inner();
    let owner = match user {
        UserRef::Me => caller.user_id(),
        UserRef::Id(id) => id,
    };
    (owner, role)
}
