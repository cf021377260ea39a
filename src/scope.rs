//! What a token may do: scope names, sets of them, and the types that handlers demand.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What an app may learn of whoever signs in (OpenID Connect Core section 5.4), and that it may stay (section 11); no role
/// gives or takes these.
pub const IDENTITY: &[(&str, &str)] = &[
    ("openid", "know who you are, by a number"),
    ("profile", "see your name and language"),
    ("email", "see your mail address"),
    ("address", "see your postal address"),
    ("phone", "see your phone number"),
    (
        "offline_access",
        "stay signed in after you have signed out here",
    ),
];

/// One permission, `resource:action`, both parts `[a-z][a-z0-9_.-]{0,62}`, or one of `IDENTITY`; a `scope-token` of RFC 6749
/// section 3.3.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(
    value_type = String,
    pattern = "^[a-z][a-z0-9_.-]{0,62}:[a-z][a-z0-9_.-]{0,62}$",
    example = "articles:edit"
)]
pub struct Scope(String);

/// Says that a text is no scope.
#[derive(Debug, thiserror::Error)]
#[error("a scope looks like `resource:action`, in lower-case letters, digits, `_`, `.` and `-`")]
pub struct InvalidScope;

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        let valid_part = |part: &str| {
            part.len() <= 63
                && part.starts_with(|first: char| first.is_ascii_lowercase())
                && part
                    .bytes()
                    .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-'))
        };
        match text.split_once(':') {
            Some((resource, action)) if valid_part(resource) && valid_part(action) => {
                Ok(Self(text.to_owned()))
            }
            None if IDENTITY.iter().any(|(name, _)| *name == text) => Ok(Self(text.to_owned())),
            _ => Err(InvalidScope),
        }
    }
}

impl TryFrom<String> for Scope {
    type Error = InvalidScope;

    fn try_from(text: String) -> Result<Self, InvalidScope> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A set of scopes; on the wire one text, separated by spaces (RFC 6749 section 3.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// Every scope that Tollgate itself demands somewhere: what the role `admin` stands for.
    pub fn built_in() -> Self {
        Self::from_stored(BUILT_IN.iter().map(|(name, _)| *name))
    }

    /// Reads names that were validated before they were stored; what is no scope is left out.
    pub fn from_stored<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Self {
        Self(
            names
                .into_iter()
                .filter_map(|name| name.as_ref().parse().ok())
                .collect(),
        )
    }

    /// Tells whether the set holds `name`.
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|scope| scope.0 == name)
    }

    /// Tells whether every scope of `self` is in `other`.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }

    /// The scopes that are in both sets.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that roles give and take.
    #[must_use]
    pub fn without_identity(&self) -> Self {
        self.split(false)
    }

    /// Those that tell of the person, which no role has to allow.
    #[must_use]
    pub fn identity(&self) -> Self {
        self.split(true)
    }

    fn split(&self, identity: bool) -> Self {
        let of = |scope: &&Scope| IDENTITY.iter().any(|(name, _)| *name == scope.0) == identity;
        Self(self.0.iter().filter(of).cloned().collect())
    }

    /// What of this set somebody may have whose roles allow `allowed`.
    #[must_use]
    pub fn for_roles(&self, allowed: &Self) -> Self {
        let mut granted = self.common(allowed);
        granted.extend(self.identity());
        granted
    }

    /// Adds every scope of `other`.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The names, sorted.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|scope| scope.0.clone()).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().collect())
    }
}

impl FromStr for Scopes {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        text.split(' ')
            .filter(|name| !name.is_empty())
            .map(str::parse)
            .collect()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.names().join(" "))
    }
}

/// What a handler demands of a token: any one of `NAMES`, or just a good token when there are none.
pub trait Demand: 'static {
    /// The scopes of which one is enough.
    const NAMES: &'static [&'static str];
}

/// A demand for one scope by name.
pub trait Named: Demand {
    /// The scope's name.
    const NAME: &'static str;
}

macro_rules! scopes {
    ($($kind:ident = $name:literal, $meaning:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`: ", $meaning)]
            pub struct $kind;
            impl Demand for $kind {
                const NAMES: &'static [&'static str] = &[$name];
            }
            impl Named for $kind {
                const NAME: &'static str = $name;
            }
        )*
        /// Every scope that Tollgate demands somewhere, with its meaning in words.
        pub const BUILT_IN: &[(&str, &str)] = &[$(($name, $meaning)),*];
    };
}

scopes! {
    AccountRead = "account:read", "read one's own account";
    AccountWrite = "account:write", "change or delete one's own account";
    SessionsSelf = "sessions:self", "see and end one's own sessions";
    SessionsWrite = "sessions:write", "see and end anyone's sessions";
    UsersRead = "users:read", "read every account";
    UsersWrite = "users:write", "create, change and delete accounts and give roles";
    RolesRead = "roles:read", "read roles and their scopes";
    RolesWrite = "roles:write", "create, change and delete roles";
    ClientsRead = "clients:read", "read the apps that are registered";
    ClientsWrite = "clients:write", "register, change and delete apps";
    KeysRead = "keys:read", "see signing keys and their states";
    KeysWrite = "keys:write", "rotate signing keys and retire them at once";
    AuditRead = "audit:read", "read who did what, when and from where";
    CollectionsRead = "collections:read", "read how collections are declared";
    CollectionsWrite = "collections:write", "declare collections and delete them with their records";
    RecordsRead = "records:read", "read the records that the rules of their collections show you";
    RecordsWrite = "records:write", "make, change and delete records, as far as the rules of their collections go";
    ChannelsRead = "channels:read", "follow channels and see who is there, as far as the rules of their namespaces go";
    ChannelsWrite = "channels:write", "publish on channels, as far as the rules of their namespaces go";
    ChannelsManage = "channels:manage", "publish on every channel, see who is there and what was published";
}

/// Any good token, whatever it may do.
pub struct AnyToken;

impl Demand for AnyToken {
    const NAMES: &'static [&'static str] = &[];
}

/// `openid`: a token of an app that may know who signed in.
pub struct OpenId;

impl Demand for OpenId {
    const NAMES: &'static [&'static str] = &["openid"];
}

/// Either of two scopes: one's own things, or everyone's.
pub struct Either<Own, All>(std::marker::PhantomData<(Own, All)>);

impl<Own: Named, All: Named> Demand for Either<Own, All> {
    const NAMES: &'static [&'static str] = &[Own::NAME, All::NAME];
}

/// The name of the role that may do everything.
pub const ADMINISTRATOR: &str = "admin";

/// How far a caller reaches: nobody gives, edits or acts on what may do more than they may.
#[derive(Clone, Debug)]
pub struct Authority {
    scopes: Scopes,
    administrator: bool,
}

impl Authority {
    /// Takes scopes and roles from a token; an administrator's narrowed token is no administrator's.
    pub fn new(scopes: Scopes, roles: &[String]) -> Self {
        let administrator =
            roles.iter().any(|role| role == ADMINISTRATOR) && Scopes::built_in().is_within(&scopes);
        Self {
            scopes,
            administrator,
        }
    }

    /// The operator at the command line, who owns the database.
    pub fn operator() -> Self {
        Self {
            scopes: Scopes::built_in(),
            administrator: true,
        }
    }

    /// Whether the caller may do everything.
    pub fn is_administrator(&self) -> bool {
        self.administrator
    }

    /// Everything that the caller may do.
    pub fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// Tells whether the caller may do `name`.
    pub fn may(&self, name: &str) -> bool {
        self.scopes.contains(name)
    }

    /// Tells whether `roles` that may do `scopes` are no more than the caller's own reach.
    pub fn covers(&self, scopes: &Scopes, roles: &[String]) -> bool {
        let administrative = roles.iter().any(|role| role == ADMINISTRATOR);
        self.administrator || (!administrative && scopes.is_within(&self.scopes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_resource_and_action() {
        for good in ["users:read", "a:b", "x-1.y_z:do"] {
            assert!(good.parse::<Scope>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "users",
            "users:",
            ":read",
            "Users:read",
            "a:b:c",
            "a b:c",
            "1a:b",
            "a:\"b",
        ] {
            assert!(bad.parse::<Scope>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_built_in_scope_is_well_formed() {
        assert_eq!(Scopes::built_in().names().len(), BUILT_IN.len());
    }

    #[test]
    fn pwd_10_a_narrowed_administrator_reaches_no_further_than_the_token() {
        let admin = [ADMINISTRATOR.to_owned()];
        let full = Authority::new(Scopes::built_in(), &admin);
        let narrowed = Authority::new("users:write".parse().unwrap(), &admin);
        let more: Scopes = "orders:approve".parse().unwrap();
        assert!(full.covers(&more, &[]) && full.covers(&Scopes::default(), &admin));
        assert!(!narrowed.covers(&more, &[]) && !narrowed.covers(&Scopes::default(), &admin));
        assert!(narrowed.covers(&"users:write".parse().unwrap(), &[]));
    }
}
