//! Clients from the command line.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, Subcommand};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    audit::Actor,
    clients::{
        self, AuthMethod, Draft, GrantType, Kind, Metadata, Saving, Signing, routes::ShownClient,
    },
    config::Config,
    oauth,
    precondition::Precondition,
    scope::{Authority, Scope},
    secret::Secret,
    start::Database,
};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Register an app
    Create(Box<Create>),
    /// List apps by id
    List {
        #[arg(long)]
        json: bool,
    },
    /// Show all that an app is, as JSON
    Show { id: String },
    /// Delete an app; what it holds is dead
    Delete { id: String },
}

#[derive(Args)]
#[command(group = ArgGroup::new("proof"))]
pub(super) struct Create {
    /// Its client_id
    #[arg(long)]
    id: String,
    /// Any of its registration fields (RFC 7591), as a JSON object in FILE; what options say counts more
    #[arg(long, value_name = "FILE")]
    metadata: Option<PathBuf>,
    /// What people call it
    #[arg(long)]
    name: Option<String>,
    /// It can't keep a secret: a page, a phone, a command line
    #[arg(long, group = "proof")]
    public: bool,
    /// Read its secret, at least 32 random characters, from standard input
    #[arg(long, group = "proof")]
    secret_stdin: bool,
    /// Its public keys, a JWK Set, in FILE
    #[arg(long, value_name = "FILE", group = "proof")]
    jwks: Option<PathBuf>,
    /// Its public keys, a JWK Set, at URI
    #[arg(long, value_name = "URI", group = "proof")]
    jwks_uri: Option<String>,
    /// How it proves who it is, when the proof alone does not say it
    #[arg(long, value_name = "METHOD")]
    auth_method: Option<AuthMethod>,
    /// Where people are sent back to
    #[arg(long, value_name = "URI")]
    redirect_uri: Vec<String>,
    /// Where people are sent after signing out
    #[arg(long, value_name = "URI")]
    post_logout_redirect_uri: Vec<String>,
    /// An origin whose pages use the API with its tokens
    #[arg(long)]
    origin: Vec<String>,
    /// How it may come by tokens [default: that of --metadata, or authorization_code and refresh_token]
    #[arg(long)]
    grant: Vec<GrantType>,
    /// What it may ask for [default: that of --metadata, or openid]
    #[arg(long)]
    scope: Vec<Scope>,
    /// A configured API that it may ask tokens for [default: any]
    #[arg(long)]
    audience: Vec<String>,
    /// An API that it is: it may introspect and exchange tokens for it
    #[arg(long)]
    resource: Vec<String>,
    /// Where it wants to be told that a session has ended
    #[arg(long, value_name = "URI")]
    backchannel_logout_uri: Option<String>,
    /// It must push its requests (RFC 9126)
    #[arg(long)]
    require_par: bool,
    /// Its tokens must be bound to a key (RFC 9449)
    #[arg(long)]
    require_dpop: bool,
    /// It is one of our own: people are not asked what it may
    #[arg(long)]
    first_party: bool,
    /// Its assertions may be addressed to the token endpoint, as older libraries do
    #[arg(long)]
    token_endpoint_audience: bool,
    /// Its ID tokens hold what otherwise only userinfo tells
    #[arg(long)]
    id_token_claims: bool,
    /// Sign what userinfo tells it
    #[arg(long)]
    signed_userinfo: bool,
}

impl Create {
    fn metadata(&self) -> anyhow::Result<Metadata> {
        let fields: Value = match &self.metadata {
            Some(file) => read(file)?,
            None => json!({"grant_types": ["authorization_code", "refresh_token"]}),
        };
        let says_how = fields.get("token_endpoint_auth_method").is_some();
        let base: Metadata = serde_json::from_value(fields)
            .map_err(|error| anyhow::anyhow!("--metadata: {error}"))?;
        let method = self.method(says_how.then_some(base.token_endpoint_auth_method))?;
        let scopes: Vec<_> = self.scope.iter().map(ToString::to_string).collect();
        let scope = Some(scopes.join(" ")).filter(|scope| !scope.is_empty());
        let signs = self.signed_userinfo.then_some(Signing::Rs256);
        Ok(Metadata {
            client_name: self.name.clone().or(base.client_name),
            redirect_uris: given(&self.redirect_uri, base.redirect_uris),
            post_logout_redirect_uris: given(
                &self.post_logout_redirect_uri,
                base.post_logout_redirect_uris,
            ),
            token_endpoint_auth_method: method,
            grant_types: given(&self.grant, base.grant_types),
            scope: scope.or(base.scope).or_else(|| Some("openid".to_owned())),
            jwks: self.jwks.as_deref().map(read).transpose()?.or(base.jwks),
            jwks_uri: self.jwks_uri.clone().or(base.jwks_uri),
            backchannel_logout_uri: self
                .backchannel_logout_uri
                .clone()
                .or(base.backchannel_logout_uri),
            allowed_origins: given(&self.origin, base.allowed_origins),
            audiences: Some(given(&self.audience, base.audiences.unwrap_or_default()))
                .filter(|audiences| !audiences.is_empty()),
            resources: given(&self.resource, base.resources),
            require_pushed_authorization_requests: self.require_par
                || base.require_pushed_authorization_requests,
            dpop_bound_access_tokens: self.require_dpop || base.dpop_bound_access_tokens,
            first_party: self.first_party || base.first_party,
            token_endpoint_audience: self.token_endpoint_audience || base.token_endpoint_audience,
            id_token_claims: self.id_token_claims || base.id_token_claims,
            userinfo_signed_response_alg: signs.or(base.userinfo_signed_response_alg),
            ..base
        })
    }

    /// How it proves who it is, as options say or else the file.
    fn method(&self, in_file: Option<AuthMethod>) -> anyhow::Result<AuthMethod> {
        let has_keys = self.jwks.is_some() || self.jwks_uri.is_some();
        let shown = match (self.public, self.secret_stdin, has_keys) {
            (true, ..) => Some(AuthMethod::None),
            (_, true, _) => Some(AuthMethod::ClientSecretBasic),
            (.., true) => Some(AuthMethod::PrivateKeyJwt),
            _ => None,
        };
        let method = self.auth_method.or(in_file).or(shown).ok_or_else(|| {
            anyhow::anyhow!(
                "say how it proves who it is: --public, --secret-stdin, --jwks or --jwks-uri"
            )
        })?;
        let fits = match shown {
            Some(shown) => method == shown || method.is_secret() && shown.is_secret(),
            None => !method.is_secret(),
        };
        let name = method.name();
        anyhow::ensure!(fits, "{name} does not go with what it proves itself by");
        Ok(method)
    }
}

/// Reads a JSON file.
fn read<T: DeserializeOwned>(file: &Path) -> anyhow::Result<T> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?;
    serde_json::from_str(&text).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))
}

/// What options say, or else the file.
fn given<T: Clone>(options: &[T], file: Vec<T>) -> Vec<T> {
    if options.is_empty() {
        file
    } else {
        options.to_vec()
    }
}

pub(super) fn run(command: Command, config: Config) -> anyhow::Result<()> {
    let database = Database::open(&config)?;
    let mut conn = database.connect()?;
    let (actor, authority) = (Actor::operator(), Authority::operator());
    match command {
        Command::Create(create) => {
            let metadata = create.metadata()?;
            let secret = if create.secret_stdin {
                Some(Secret::given(super::read_secret()?).map_err(anyhow::Error::msg)?)
            } else {
                None
            };
            let draft = Draft {
                id: create.id,
                kind: Kind::Managed,
                metadata,
                secret_hash: secret.map(|secret| secret.hash),
                registration_hash: None,
            };
            let row = clients::save(&mut conn, &authority, &actor, &draft, &Saving::New)?;
            super::print(&ShownClient::new(&row, None)?.line())?;
        }
        Command::List { json } => {
            let rows = clients::list(&mut conn)?;
            let listed: Vec<_> = rows
                .iter()
                .map(|row| ShownClient::new(row, None))
                .collect::<Result<_, _>>()?;
            super::print_list(&listed, json, ShownClient::line)?;
        }
        Command::Show { id } => {
            let row = clients::find(&mut conn, &id)?;
            let row = row.ok_or_else(|| anyhow::anyhow!("there is no client {id}"))?;
            let shown = ShownClient::new(&row, None)?;
            super::print(&serde_json::to_string_pretty(&shown)?)?;
        }
        Command::Delete { id } => {
            oauth::delete_client(&mut conn, &actor, &id, &Precondition::default())?;
        }
    }
    Ok(())
}
