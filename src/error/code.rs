//! What can go wrong.

/// What can go wrong, as the caller sees it; `Code::entry` is the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The body is no JSON.
    MalformedJson,
    /// The body is JSON that is ambiguous or too deep.
    RefusedJson,
    /// The query is not understood.
    InvalidQuery,
    /// The request is not understood at all.
    BadRequest,
    /// A token is needed and none came.
    AuthenticationRequired,
    /// The access token is refused.
    InvalidToken,
    /// Email and password don't fit.
    InvalidCredentials,
    /// The refresh token is refused.
    InvalidGrant,
    /// The token lacks a scope.
    InsufficientScope,
    /// The change reaches above the caller's own scopes.
    AboveOwnScopes,
    /// The account may not change this member itself.
    MemberForbidden,
    /// Signing up is closed.
    SignUpClosed,
    /// A cookie came with a request that another site could have caused.
    CrossSiteRequest,
    /// The origin may not use this API from a browser.
    OriginNotAllowed,
    /// There is no such thing, or the caller may not see it.
    NotFound,
    /// The method is not offered here.
    MethodNotAllowed,
    /// Nothing that the caller accepts is offered.
    NotAcceptable,
    /// The body took too long.
    RequestTimeout,
    /// The address has an account.
    EmailTaken,
    /// The client exists.
    ClientExists,
    /// The role exists.
    RoleExists,
    /// The role is still given to somebody.
    RoleInUse,
    /// The role is built in.
    RoleBuiltIn,
    /// The last administrator would be gone.
    LastAdministrator,
    /// The rules of a collection don't allow it.
    RuleForbids,
    /// Another collection has a type of this name.
    TypeNameTaken,
    /// Stored records don't fit the schema.
    RecordsMisfit,
    /// Another record has the value.
    NotUnique,
    /// Other records refer to the record.
    RecordReferenced,
    /// Records of other collections refer to those of the collection.
    CollectionReferenced,
    /// The feed can't be read from there.
    PositionExpired,
    /// The collection demands a precondition.
    PreconditionRequired,
    /// A key is staged already.
    KeyStaged,
    /// The configuration gives the key.
    KeyConfigured,
    /// A test of a JSON Patch failed.
    PatchConflict,
    /// The same request is being answered.
    RequestInFlight,
    /// The state is another than the client has seen.
    PreconditionFailed,
    /// The file has no such part.
    RangeNotSatisfiable,
    /// The body is too large.
    PayloadTooLarge,
    /// The URI is too long.
    UriTooLong,
    /// The body has a type that is not understood.
    UnsupportedMediaType,
    /// The request is for another server.
    MisdirectedRequest,
    /// The resource speaks WebSocket only.
    UpgradeRequired,
    /// The body breaks its schema.
    ValidationFailed,
    /// An Idempotency-Key came with another request.
    KeyReused,
    /// The token would become too large.
    TokenTooLarge,
    /// Too many tries.
    TooManyAttempts,
    /// Too many requests.
    RateLimited,
    /// The headers are too large.
    HeadersTooLarge,
    /// Something is wrong on our side.
    Internal,
    /// More work than we can do.
    Overloaded,
    /// The database does not answer.
    DatabaseUnavailable,
    /// This replica should get no requests just now.
    NotReady,
}

impl Code {
    /// Every code, in the order of the table.
    pub const ALL: &'static [Self] = &[
        Self::MalformedJson,
        Self::RefusedJson,
        Self::InvalidQuery,
        Self::BadRequest,
        Self::AuthenticationRequired,
        Self::InvalidToken,
        Self::InvalidCredentials,
        Self::InvalidGrant,
        Self::InsufficientScope,
        Self::AboveOwnScopes,
        Self::MemberForbidden,
        Self::SignUpClosed,
        Self::CrossSiteRequest,
        Self::OriginNotAllowed,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::RequestTimeout,
        Self::EmailTaken,
        Self::ClientExists,
        Self::RoleExists,
        Self::RoleInUse,
        Self::RoleBuiltIn,
        Self::LastAdministrator,
        Self::RuleForbids,
        Self::TypeNameTaken,
        Self::RecordsMisfit,
        Self::NotUnique,
        Self::RecordReferenced,
        Self::CollectionReferenced,
        Self::PositionExpired,
        Self::PreconditionRequired,
        Self::KeyStaged,
        Self::KeyConfigured,
        Self::PatchConflict,
        Self::RequestInFlight,
        Self::PreconditionFailed,
        Self::RangeNotSatisfiable,
        Self::PayloadTooLarge,
        Self::UriTooLong,
        Self::UnsupportedMediaType,
        Self::MisdirectedRequest,
        Self::UpgradeRequired,
        Self::ValidationFailed,
        Self::KeyReused,
        Self::TokenTooLarge,
        Self::TooManyAttempts,
        Self::RateLimited,
        Self::HeadersTooLarge,
        Self::Internal,
        Self::Overloaded,
        Self::DatabaseUnavailable,
        Self::NotReady,
    ];
}
