//! The registered names of what a client can be: how it proves itself, how it comes by tokens, what is signed for it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a client proves at our endpoints who it is (RFC 7591 section 2).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum AuthMethod {
    /// Not at all: it can't keep a secret.
    None,
    /// By a secret in the `Authorization` header.
    #[default]
    ClientSecretBasic,
    /// By a secret in the body.
    ClientSecretPost,
    /// By a token that it signs (RFC 7523).
    PrivateKeyJwt,
}

impl AuthMethod {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }

    /// Whether it needs a secret that both know.
    pub const fn is_secret(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost)
    }
}

/// How a client may come by tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub enum GrantType {
    /// A code that a person's browser brings (RFC 6749 section 4.1).
    #[serde(rename = "authorization_code")]
    AuthorizationCode,
    /// A refresh token (RFC 6749 section 6).
    #[serde(rename = "refresh_token")]
    RefreshToken,
    /// For itself (RFC 6749 section 4.4).
    #[serde(rename = "client_credentials")]
    ClientCredentials,
    /// A code that a person types on another device (RFC 8628).
    #[serde(rename = "urn:ietf:params:oauth:grant-type:device_code")]
    DeviceCode,
    /// Another token (RFC 8693).
    #[serde(rename = "urn:ietf:params:oauth:grant-type:token-exchange")]
    TokenExchange,
}

impl GrantType {
    /// Every one, in the order in which discovery lists them.
    pub const ALL: [Self; 5] = [
        Self::AuthorizationCode,
        Self::RefreshToken,
        Self::ClientCredentials,
        Self::DeviceCode,
        Self::TokenExchange,
    ];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::ClientCredentials => "client_credentials",
            Self::DeviceCode => "urn:ietf:params:oauth:grant-type:device_code",
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
        }
    }

    /// The one of a name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grant| grant.name() == name)
    }
}

impl std::str::FromStr for GrantType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let short = match text {
            "device_code" => Self::DeviceCode.name(),
            "token_exchange" | "token-exchange" => Self::TokenExchange.name(),
            name => name,
        };
        Self::from_name(short).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|grant| grant.name()).collect();
            format!("one of {}", names.join(", "))
        })
    }
}

/// The algorithm of what is signed for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub enum Signing {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
}
