//! The table: how each error looks, what it means, how to mend it.

use super::Code;

/// One row of the table: how an error looks, what it means, how to mend it.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The last segment of `type`, stable for ever.
    pub slug: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// One short phrase.
    pub title: &'static str,
    /// What it means and how to mend it.
    pub cure: &'static str,
}

const fn entry(slug: &'static str, status: u16, title: &'static str, cure: &'static str) -> Entry {
    Entry {
        slug,
        status,
        title,
        cure,
    }
}

impl Code {
    /// The row of the table for this code.
    #[expect(clippy::too_many_lines, reason = "the one table of all errors")]
    pub const fn entry(self) -> Entry {
        match self {
            Self::MalformedJson => entry(
                "malformed-json",
                400,
                "The body is not JSON",
                "Send one JSON value in UTF-8 and nothing after it; `detail` names line and column.",
            ),
            Self::RefusedJson => entry(
                "refused-json",
                400,
                "The JSON is ambiguous or out of bounds",
                "Send each member once, no NUL, no lone surrogates, at most 64 levels, numbers of at most 40 digits and an exponent of at most 40. `errors` points at each place.",
            ),
            Self::InvalidQuery => entry(
                "invalid-query",
                400,
                "The query is not understood",
                "Use the query parameters that the API's documentation names, each once; `errors` names what was refused.",
            ),
            Self::BadRequest => entry(
                "bad-request",
                400,
                "The request is not understood",
                "Compare the request with the API's documentation at /docs.",
            ),
            Self::AuthenticationRequired => entry(
                "authentication-required",
                401,
                "An access token is needed",
                "Sign in at POST /v1/sessions and send `Authorization: Bearer <access_token>`.",
            ),
            Self::InvalidToken => entry(
                "invalid-token",
                401,
                "The access token is refused",
                "`detail` says which check failed. An expired token: get the next one at POST /v1/tokens. Anything else: sign in again.",
            ),
            Self::InvalidCredentials => entry(
                "invalid-credentials",
                401,
                "Email or password is wrong",
                "Check both. The answer is the same for an unknown address, a wrong password and a disabled account.",
            ),
            Self::InvalidGrant => entry(
                "invalid-grant",
                401,
                "The refresh token is refused",
                "It is expired, was used before, or its session has ended. Sign in again at POST /v1/sessions.",
            ),
            Self::InsufficientScope => entry(
                "insufficient-scope",
                403,
                "The token may not do this",
                "`WWW-Authenticate` names the scope that is missing. Sign in without narrowing `scope`, or ask an administrator for a role that has it.",
            ),
            Self::AboveOwnScopes => entry(
                "above-own-scopes",
                403,
                "The change reaches above your own scopes",
                "Nobody gives, edits or acts on a role or account that may do more than they may. Ask somebody who may do as much.",
            ),
            Self::MemberForbidden => entry(
                "member-forbidden",
                403,
                "A member is not yours to change",
                "`errors` points at members that only holders of `users:write` may change. Leave them out.",
            ),
            Self::SignUpClosed => entry(
                "sign-up-closed",
                403,
                "Signing up is closed",
                "Ask an administrator for an account. Operators: `users.sign_up = \"open\"` opens it.",
            ),
            Self::CrossSiteRequest => entry(
                "cross-site-request",
                403,
                "The cookie does not count for this request",
                "Requests that change something by cookie come from an allowed origin (`Origin` or `Sec-Fetch-Site`) and carry `X-Tollgate-Request: 1`. Or send the token as `Authorization: Bearer`.",
            ),
            Self::OriginNotAllowed => entry(
                "origin-not-allowed",
                403,
                "The origin is not allowed",
                "Operators: add it to `cors.allowed_origins`; `tollgate doctor cors ORIGIN` prints the setting.",
            ),
            Self::NotFound => entry(
                "not-found",
                404,
                "There is nothing here",
                "It does not exist, or your token may not see it. Check the URI and who you are signed in as.",
            ),
            Self::MethodNotAllowed => entry(
                "method-not-allowed",
                405,
                "The method is not offered here",
                "`Allow` lists the methods of this URI.",
            ),
            Self::NotAcceptable => entry(
                "not-acceptable",
                406,
                "Nothing you accept is offered",
                "The API answers in `application/json`, errors in `application/problem+json`. Widen `Accept` or leave it out.",
            ),
            Self::RequestTimeout => entry(
                "request-timeout",
                408,
                "The body took too long to arrive",
                "Send the whole body within 15 s.",
            ),
            Self::EmailTaken => entry(
                "email-taken",
                409,
                "The address has an account already",
                "Sign in, or use another address.",
            ),
            Self::ClientExists => entry(
                "client-exists",
                409,
                "There is a client of this id already",
                "Change it with PUT /v1/clients/{id}, or choose another id.",
            ),
            Self::RoleExists => entry(
                "role-exists",
                409,
                "The role exists already",
                "Change it with PUT /v1/roles/{name}, or choose another name.",
            ),
            Self::RoleInUse => entry(
                "role-in-use",
                409,
                "The role is still given to somebody",
                "Take it from everyone who has it (DELETE /v1/users/{id}/roles/{role}), then delete it.",
            ),
            Self::RoleBuiltIn => entry(
                "role-built-in",
                409,
                "The role is built in",
                "`user` and `admin` can't be deleted, and `admin` always means everything. Make a role of your own.",
            ),
            Self::LastAdministrator => entry(
                "last-administrator",
                409,
                "The last administrator can't go",
                "Give the role `admin` to another enabled account first.",
            ),
            Self::RuleForbids => entry(
                "rule-forbids",
                403,
                "The rules don't allow it",
                "What may be made, changed and deleted stands in the rules of the collection (GET /v1/collections/{name}), and who may do what on a channel in those of its namespace; whoever declared it can tell.",
            ),
            Self::TypeNameTaken => entry(
                "type-name-taken",
                409,
                "Another collection has a type of this name",
                "Choose another `type_name`: it names the type in the API's documentation.",
            ),
            Self::RecordsMisfit => entry(
                "records-misfit",
                409,
                "Stored records don't fit the schema",
                "Mend the records that `errors` points at, or declare with `?force=true`: then they stay until they are changed.",
            ),
            Self::NotUnique => entry(
                "not-unique",
                409,
                "Another record has this value",
                "`errors` points at the member, of which no two records of the collection may have the same value: choose another one.",
            ),
            Self::RecordReferenced => entry(
                "record-referenced",
                409,
                "Other records refer to this one",
                "Delete or change those first, or declare what becomes of them with `x-on-delete`.",
            ),
            Self::CollectionReferenced => entry(
                "collection-referenced",
                409,
                "Records of other collections refer to those of this one",
                "Delete those collections first, or declare them without the `x-ref`.",
            ),
            Self::PositionExpired => entry(
                "position-expired",
                410,
                "The feed can't be read from this position",
                "What came after it was dropped (`feed.retention`), or the database was restored. List the records anew and go on from the `Feed-Position` of that.",
            ),
            Self::PreconditionRequired => entry(
                "precondition-required",
                428,
                "The collection demands a precondition",
                "Read the record and send its `ETag` as `If-Match`.",
            ),
            Self::KeyStaged => entry(
                "key-staged",
                409,
                "A key is staged already",
                "It signs once verifiers that cache the key set know it; see `GET /v1/keys` for when. Where the active key is in wrong hands, `DELETE /v1/keys/{kid}` retires it at once.",
            ),
            Self::KeyConfigured => entry(
                "key-configured",
                409,
                "The configuration gives this secret",
                "Rotate it there: first accept the new secret as `hs256_previous_secret` everywhere, then swap the two, then drop the old one.",
            ),
            Self::PatchConflict => entry(
                "patch-conflict",
                409,
                "A `test` of the patch failed",
                "The document is not as the patch expects. Read it again and make the patch anew; `errors` names the step.",
            ),
            Self::RequestInFlight => entry(
                "request-in-flight",
                409,
                "The same request is being answered just now",
                "Another request with this `Idempotency-Key` has not ended yet. Try again after `Retry-After` seconds.",
            ),
            Self::PreconditionFailed => entry(
                "precondition-failed",
                412,
                "It is not in the state that you have seen",
                "Somebody else changed it. Read it again, apply your change to what it is now, and send the new `ETag` in `If-Match`. `current_version` and `ETag` name the current one.",
            ),
            Self::RangeNotSatisfiable => entry(
                "range-not-satisfiable",
                416,
                "The file has no such part",
                "Ask for a part that begins within the file: `Content-Range` says how many bytes it has.",
            ),
            Self::PayloadTooLarge => entry(
                "payload-too-large",
                413,
                "The body is too large",
                "Send at most 1 MiB; metadata of an account at most 16 KiB.",
            ),
            Self::UriTooLong => entry(
                "uri-too-long",
                414,
                "The URI is too long",
                "Send at most 8 KiB of path and query.",
            ),
            Self::UnsupportedMediaType => entry(
                "unsupported-media-type",
                415,
                "The body has a type that is not understood here",
                "Send `Content-Type: application/json` (PATCH also takes `application/merge-patch+json` and `application/json-patch+json`).",
            ),
            Self::MisdirectedRequest => entry(
                "misdirected-request",
                421,
                "The request names another host",
                "Send the same host in the request line and in `Host`.",
            ),
            Self::UpgradeRequired => entry(
                "upgrade-required",
                426,
                "This address speaks WebSocket",
                "Connect with a WebSocket client, version 13 of the protocol (RFC 6455).",
            ),
            Self::ValidationFailed => entry(
                "validation-failed",
                422,
                "The body breaks its schema",
                "`errors` lists every fault with a JSON Pointer to its place. The schema is in /openapi.json.",
            ),
            Self::KeyReused => entry(
                "idempotency-key-reused",
                422,
                "The `Idempotency-Key` was used for another request",
                "A key stands for one request, body included. Make a new one for a new request.",
            ),
            Self::TokenTooLarge => entry(
                "token-too-large",
                422,
                "The access token would become too large",
                "A token holds at most 4 KiB. Map fewer private claims, shorten the mapped metadata, or ask for fewer scopes.",
            ),
            Self::TooManyAttempts => entry(
                "too-many-attempts",
                429,
                "Too many tries",
                "Wait as long as `Retry-After` says. The wait doubles with each failure and ends by itself.",
            ),
            Self::RateLimited => entry(
                "rate-limited",
                429,
                "Too many requests",
                "Wait as long as `Retry-After` says; `RateLimit` and `RateLimit-Policy` tell how many you have.",
            ),
            Self::HeadersTooLarge => entry(
                "headers-too-large",
                431,
                "The headers are too large",
                "Send at most 64 KiB of headers. Often it is too many cookies.",
            ),
            Self::Internal => entry(
                "internal",
                500,
                "Something went wrong on our side",
                "Nothing you can mend. Tell the operator the `instance`; the cause is in the log under it.",
            ),
            Self::Overloaded => entry(
                "overloaded",
                503,
                "More requests than can be served just now",
                "Try again after `Retry-After` seconds, with some jitter.",
            ),
            Self::DatabaseUnavailable => entry(
                "database-unavailable",
                503,
                "The database does not answer",
                "Try again after `Retry-After` seconds. Operators: see the log and the state of Postgres.",
            ),
            Self::NotReady => entry(
                "not-ready",
                503,
                "This replica is not ready",
                "Send requests to another replica. Operators: the detail says what it can't read; see its log and the state of Postgres.",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_slug_and_a_client_or_server_status() {
        let mut slugs: Vec<_> = Code::ALL.iter().map(|code| code.entry().slug).collect();
        slugs.sort_unstable();
        slugs.dedup();
        assert_eq!(slugs.len(), Code::ALL.len());
        assert!(
            Code::ALL
                .iter()
                .all(|code| (400..600).contains(&code.entry().status))
        );
    }
}
