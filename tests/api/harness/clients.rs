//! Apps that ask for tokens, as the tests play them, and the keys that they hold.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::{
    digest,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_2048_8192_SHA256,
        RsaPublicKeyComponents,
    },
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use super::{Answer, Browser, ISSUER, Person, Response, TestApp};

/// RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Where the apps of the tests are.
pub const CALLBACK: &str = "https://client.example/callback";

pub const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
pub const EXCHANGE_GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
pub const ACCESS_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A form as it goes over the wire.
pub fn encoded(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}

/// The same fields with some replaced; one with an empty value is left out.
pub fn with<'a>(
    fields: &[(&'a str, &'a str)],
    changes: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let kept = fields
        .iter()
        .filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    let given = changes.iter().filter(|(_, value)| !value.is_empty());
    kept.chain(given).copied().collect()
}

/// The challenge of a verifier (RFC 7636 section 4.2).
pub fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}

/// Seconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs().try_into().unwrap()
}

/// A client, registered by the administrator.
#[derive(Clone)]
pub struct App {
    pub app: TestApp,
    pub id: String,
    pub secret: Option<String>,
    method: String,
}

impl App {
    /// A public one with a code and refresh tokens; `changes` replaces members of its metadata.
    pub async fn register(app: &TestApp, changes: Value) -> Self {
        let mut metadata = json!({
            "client_name": "Client",
            "redirect_uris": [CALLBACK],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
            "scope": "openid profile email offline_access account:read",
        });
        let members = metadata.as_object_mut().unwrap();
        members.extend(changes.as_object().unwrap().clone());
        let administrator = app.administrator().await;
        let made = administrator
            .post("/v1/clients", json!({"metadata": metadata}))
            .await
            .expect(201);
        Self {
            app: app.clone(),
            id: made.at("/client_id").as_str().unwrap().to_owned(),
            secret: made.at("/client_secret").as_str().map(str::to_owned),
            method: metadata["token_endpoint_auth_method"]
                .as_str()
                .unwrap()
                .to_owned(),
        }
    }

    /// One that has a secret, and proves it by `client_secret_basic`.
    pub async fn confidential(app: &TestApp, changes: Value) -> Self {
        let mut metadata = json!({"token_endpoint_auth_method": "client_secret_basic"});
        let members = metadata.as_object_mut().unwrap();
        members.extend(changes.as_object().unwrap().clone());
        Self::register(app, metadata).await
    }

    /// One that is registered already: with a secret by `client_secret_basic`.
    pub fn known(app: &TestApp, id: &str, secret: Option<&str>) -> Self {
        let method = secret.map_or("none", |_| "client_secret_basic");
        Self {
            app: app.clone(),
            id: id.to_owned(),
            secret: secret.map(str::to_owned),
            method: method.to_owned(),
        }
    }

    /// The same client at another replica.
    pub fn at(&self, app: &TestApp) -> Self {
        Self {
            app: app.clone(),
            ..self.clone()
        }
    }

    /// A request of a form, with what proves who the client is.
    pub fn request(&self, path: &str, fields: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let mut fields = fields.to_vec();
        let mut request = self.app.request("POST", path);
        match self.method.as_str() {
            "client_secret_basic" => request = request.header("authorization", self.basic()),
            method => {
                if fields.iter().all(|(name, _)| *name != "client_id") {
                    fields.push(("client_id", &self.id));
                }
                if method == "client_secret_post" {
                    fields.push(("client_secret", self.secret.as_deref().unwrap()));
                }
            }
        }
        request
            .header("content-type", "application/x-www-form-urlencoded")
            .body(encoded(&fields))
    }

    /// The header of `client_secret_basic`; nothing in these secrets needs encoding.
    pub fn basic(&self) -> String {
        let secret = self.secret.as_deref().unwrap_or_default();
        format!("Basic {}", STANDARD.encode(format!("{}:{secret}", self.id)))
    }

    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.app.send(self.request(path, fields)).await
    }

    pub async fn token(&self, fields: &[(&str, &str)]) -> Response {
        self.post("/oauth/token", fields).await
    }

    /// The same with a proof of a key.
    pub async fn token_with(&self, key: &Key, fields: &[(&str, &str)]) -> Response {
        let proof = key.proof("POST", "/oauth/token", None);
        let request = self.request("/oauth/token", fields).header("dpop", proof);
        self.app.send(request).await
    }

    /// The parameters of an authorization request.
    pub fn parameters<'a>(&'a self, changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let usual = [
            ("client_id", self.id.as_str()),
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("scope", "openid"),
            ("state", "s1"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        with(&usual, changes)
    }

    /// The address to which the client sends a browser.
    pub fn authorize_path(&self, changes: &[(&str, &str)]) -> String {
        format!(
            "/oauth/authorize?{}",
            encoded(&self.parameters(&with(changes, &[])))
        )
    }

    /// Lets a person sign in, from the beginning.
    pub async fn answer(&self, person: &Person, changes: &[(&str, &str)]) -> Answer {
        let mut browser = Browser::new(&self.app);
        browser
            .authorize(&self.authorize_path(changes), person)
            .await
    }

    /// The form that redeems a code.
    pub fn redemption(code: &str) -> [(&str, &str); 4] {
        [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ]
    }

    pub async fn redeem(&self, code: &str) -> Response {
        self.token(&Self::redemption(code)).await
    }

    pub async fn refresh(&self, refresh_token: &str) -> Response {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
        ];
        self.token(&fields).await
    }

    /// The tokens of a person who signs in with a browser.
    pub async fn tokens_from(
        &self,
        browser: &mut Browser,
        person: &Person,
        changes: &[(&str, &str)],
    ) -> Value {
        let path = self.authorize_path(changes);
        let answer = browser.authorize(&path, person).await;
        self.redeem(answer.code()).await.expect(200).json()
    }

    /// The tokens of a person who signs in from the beginning.
    pub async fn tokens(&self, person: &Person, changes: &[(&str, &str)]) -> Value {
        let mut browser = Browser::new(&self.app);
        self.tokens_from(&mut browser, person, changes).await
    }

    pub async fn introspect(&self, token: &str) -> Value {
        let told = self.post("/oauth/introspect", &[("token", token)]).await;
        told.expect(200).json()
    }
}

/// A token of an answer.
#[track_caller]
pub fn text<'a>(tokens: &'a Value, name: &str) -> &'a str {
    tokens[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name} in {tokens}"))
}

/// Uses an access token at our API; the status.
pub async fn use_bearer(app: &TestApp, token: &str) -> u16 {
    let request = app.request("GET", "/v1/tokens/current").bearer_auth(token);
    app.send(request).await.status()
}

/// The claims of a token that is signed with a published key.
pub async fn verified(app: &TestApp, token: &str) -> Value {
    let jwks = app.get("/.well-known/jwks.json").await.json();
    let kid = super::decode_part(token, 0)["kid"].clone();
    let keys = jwks["keys"].as_array().unwrap();
    let key = keys.iter().find(|key| key["kid"] == kid).unwrap();
    let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let public = RsaPublicKeyComponents {
        n: decoded(key["n"].as_str().unwrap()),
        e: decoded(key["e"].as_str().unwrap()),
    };
    let (signed, signature) = token.rsplit_once('.').unwrap();
    public
        .verify(
            &RSA_PKCS1_2048_8192_SHA256,
            signed.as_bytes(),
            &decoded(signature),
        )
        .unwrap();
    super::decode_part(token, 1)
}

/// A key of a client: for proofs (RFC 9449) and assertions (RFC 7523).
pub struct Key {
    pair: EcdsaKeyPair,
    jwk: Value,
}

impl Key {
    pub fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = pair.public_key().as_ref();
        let jwk = json!({
            "kty": "EC",
            "crv": "P-256",
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]),
            "y": URL_SAFE_NO_PAD.encode(&point[33..65]),
        });
        Self { pair, jwk }
    }

    /// The public half.
    pub fn jwk(&self) -> Value {
        self.jwk.clone()
    }

    /// A set that holds it, under a name.
    pub fn jwks(&self, kid: &str) -> Value {
        let mut jwk = self.jwk();
        jwk["kid"] = kid.into();
        json!({"keys": [jwk]})
    }

    /// RFC 7638.
    pub fn thumbprint(&self) -> String {
        let (x, y) = (&self.jwk["x"], &self.jwk["y"]);
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":{x},"y":{y}}}"#);
        URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()))
    }

    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = self
            .pair
            .sign(&SystemRandom::new(), signed.as_bytes())
            .unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The claims of a good proof.
    pub fn proof_claims(method: &str, path: &str, token: Option<&str>) -> Value {
        let mut claims = json!({
            "jti": uuid::Uuid::now_v7(),
            "htm": method,
            "htu": format!("{ISSUER}{path}"),
            "iat": now(),
        });
        if let Some(token) = token {
            let hash = digest::digest(&digest::SHA256, token.as_bytes());
            claims["ath"] = URL_SAFE_NO_PAD.encode(hash).into();
        }
        claims
    }

    /// A proof of any claims.
    pub fn prove(&self, claims: &Value) -> String {
        let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk});
        self.sign(&header, claims)
    }

    pub fn proof(&self, method: &str, path: &str, token: Option<&str>) -> String {
        self.prove(&Self::proof_claims(method, path, token))
    }

    /// The claims of a good assertion.
    pub fn assertion_claims(client_id: &str) -> Value {
        json!({
            "iss": client_id,
            "sub": client_id,
            "aud": ISSUER,
            "iat": now(),
            "exp": now() + 60,
            "jti": uuid::Uuid::now_v7(),
        })
    }

    /// An assertion of any claims.
    pub fn assert(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": "ES256", "kid": "k1"}), claims)
    }
}

/// The fields with which a client sends an assertion.
pub fn asserted<'a>(assertion: &'a str, fields: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let proof = [
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", assertion),
    ];
    [fields, &proof].concat()
}
