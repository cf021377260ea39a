//! Why a token is refused, in words that help its holder.

/// The check that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no compact JWS of three parts in canonical base64url.
    #[error("the token is malformed")]
    Malformed,
    /// Its header has other members than `alg`, `typ` and `kid`.
    #[error("the token's header has a member that is not accepted")]
    Header,
    /// No key of ours has its `kid`.
    #[error("the token names an unknown key")]
    UnknownKey,
    /// Its `alg` is not that of its key.
    #[error("the token's algorithm is not that of its key")]
    Algorithm,
    /// It is a token of another kind.
    #[error("the token is of the wrong type")]
    Type,
    /// The signature is wrong.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim is missing, twice there or of the wrong type.
    #[error("the token's claim {0} is missing or malformed")]
    Claim(&'static str),
    /// Another issuer made it.
    #[error("the token is from another issuer")]
    Issuer,
    /// It is for another audience.
    #[error("the token is for another audience")]
    Audience,
    /// It is too old.
    #[error("the token is expired")]
    Expired,
    /// It is from the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// It was good, and died before it expired.
    #[error("the token is revoked")]
    Revoked,
    /// Keys or revocations could not be read for a while, so nobody can tell.
    #[error("the token can't be checked just now")]
    Undecided,
    /// It is bound to a key, and came without a proof of it.
    #[error("the token is bound to a key: send it as DPoP, with a proof")]
    Bound,
    /// It came with a proof of a key, and is bound to none.
    #[error("the token is bound to no key: send it as Bearer")]
    NotBound,
    /// The request carries credentials in a form that is not accepted.
    #[error("the Authorization header is not one Bearer or DPoP token")]
    Scheme,
}
