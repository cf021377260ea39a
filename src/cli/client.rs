//! Clients from the command line.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

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
    /// Delete an app; what it holds is dead
    Delete { id: String },
}

#[derive(Args)]
#[command(group = ArgGroup::new("proof").required(true))]
pub(super) struct Create {
    /// Its client_id
    #[arg(long)]
    id: String,
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
    /// How it may come by tokens [default: authorization_code and refresh_token]
    #[arg(long)]
    grant: Vec<GrantType>,
    /// What it may ask for [default: openid]
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
        let proof = match (&self.jwks, &self.jwks_uri, self.public) {
            (None, None, true) => AuthMethod::None,
            (None, None, false) => AuthMethod::ClientSecretBasic,
            _ => AuthMethod::PrivateKeyJwt,
        };
        let method = self.auth_method.unwrap_or(proof);
        anyhow::ensure!(
            method == proof || method.is_secret() && proof.is_secret(),
            "--auth-method {} does not go with what it proves itself by",
            method.name()
        );
        let jwks = match &self.jwks {
            None => None,
            Some(file) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?;
                let keys = serde_json::from_str(&text)
                    .map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?;
                Some(keys)
            }
        };
        let grants = match self.grant.as_slice() {
            [] => vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
            some => some.to_vec(),
        };
        let scopes: Vec<_> = self.scope.iter().map(ToString::to_string).collect();
        Ok(Metadata {
            client_name: self.name.clone(),
            redirect_uris: self.redirect_uri.clone(),
            post_logout_redirect_uris: self.post_logout_redirect_uri.clone(),
            token_endpoint_auth_method: method,
            grant_types: grants,
            scope: Some(if scopes.is_empty() {
                "openid".to_owned()
            } else {
                scopes.join(" ")
            }),
            jwks,
            jwks_uri: self.jwks_uri.clone(),
            backchannel_logout_uri: self.backchannel_logout_uri.clone(),
            allowed_origins: self.origin.clone(),
            audiences: Some(self.audience.clone()).filter(|audiences| !audiences.is_empty()),
            resources: self.resource.clone(),
            require_pushed_authorization_requests: self.require_par,
            dpop_bound_access_tokens: self.require_dpop,
            first_party: self.first_party,
            token_endpoint_audience: self.token_endpoint_audience,
            id_token_claims: self.id_token_claims,
            userinfo_signed_response_alg: self.signed_userinfo.then_some(Signing::Rs256),
            ..Metadata::default()
        })
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
        Command::Delete { id } => {
            oauth::delete_client(&mut conn, &actor, &id, &Precondition::default())?;
        }
    }
    Ok(())
}
