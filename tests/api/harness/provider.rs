//! An OpenID Connect provider that says whatever a test wants, in several realms that differ in their manners.

use std::{
    collections::HashMap,
    net::TcpListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use actix_web::{HttpRequest, HttpResponse, web};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tollgate::secret::Secret;

/// A provider on a port of this machine, until the process ends.
#[derive(Clone)]
pub struct Provider(Arc<State>);

struct State {
    address: String,
    key: Mutex<(String, EcdsaKeyPair)>,
    codes: Mutex<HashMap<String, Code>>,
    told: Mutex<HashMap<String, Value>>,
    asked: Mutex<Vec<(String, String)>>,
    keys_read: AtomicUsize,
    is_down: AtomicBool,
}

struct Code {
    challenge: String,
    redirect_uri: String,
    answer: Value,
}

fn new_key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
}

/// A compact JWS of anything.
pub fn sign(key: &EcdsaKeyPair, header: &Value, claims: &Value) -> String {
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encoded(header), encoded(claims));
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

impl Provider {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let provider = Self(Arc::new(State {
            address: format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port()),
            key: Mutex::new(("first".to_owned(), new_key())),
            codes: Mutex::default(),
            told: Mutex::default(),
            asked: Mutex::default(),
            keys_read: AtomicUsize::new(0),
            is_down: AtomicBool::new(false),
        }));
        super::site::serve(listener, provider.clone(), answer);
        provider
    }

    /// The issuer of a realm.
    pub fn issuer(&self, realm: &str) -> String {
        format!("{}/{realm}", self.0.address)
    }

    /// Gives a code that is good for an ID token.
    pub fn grant(&self, asked: &HashMap<String, String>, id_token: &str) -> String {
        let code = Secret::generate().unwrap().text;
        let kept = Code {
            challenge: asked["code_challenge"].clone(),
            redirect_uri: asked["redirect_uri"].clone(),
            answer: json!({ "token_type": "Bearer", "id_token": id_token, "access_token": code, "expires_in": 60 }),
        };
        self.0.codes.lock().unwrap().insert(code.clone(), kept);
        code
    }

    /// Lets the userinfo endpoint say something to whoever has this code's access token.
    pub fn tell(&self, code: &str, claims: Value) {
        self.0.told.lock().unwrap().insert(code.to_owned(), claims);
    }

    /// Signs with the key of today.
    pub fn sign(&self, claims: &Value) -> String {
        let (kid, key) = &*self.0.key.lock().unwrap();
        sign(
            key,
            &json!({ "alg": "ES256", "kid": kid, "typ": "JWT" }),
            claims,
        )
    }

    /// Signs with another key from now on.
    pub fn turn_key(&self, kid: &str) {
        *self.0.key.lock().unwrap() = (kid.to_owned(), new_key());
    }

    /// Goes away, or comes back.
    pub fn go_down(&self, is_down: bool) {
        self.0.is_down.store(is_down, Ordering::SeqCst);
    }

    /// How often its keys were read.
    pub fn keys_read(&self) -> usize {
        self.0.keys_read.load(Ordering::SeqCst)
    }

    /// What its token endpoint was asked: the header `Authorization` and the form.
    pub fn asked(&self) -> Vec<(String, String)> {
        self.0.asked.lock().unwrap().clone()
    }

    fn discovery(&self, realm: &str) -> Value {
        let issuer = self.issuer(realm);
        let methods = match realm {
            "post" => vec!["client_secret_post"],
            _ => vec!["client_secret_post", "client_secret_basic"],
        };
        json!({
            "issuer": if realm == "liar" { self.issuer("main") } else { issuer.clone() },
            "authorization_endpoint": format!("{issuer}/authorize?theme=dark"),
            "token_endpoint": format!("{issuer}/token"),
            "userinfo_endpoint": format!("{issuer}/userinfo"),
            "jwks_uri": format!("{issuer}/keys"),
            "token_endpoint_auth_methods_supported": methods,
            "authorization_response_iss_parameter_supported": realm == "strict",
        })
    }

    fn keys(&self) -> Value {
        self.0.keys_read.fetch_add(1, Ordering::SeqCst);
        let (kid, key) = &*self.0.key.lock().unwrap();
        let (x, y) = key.public_key().as_ref()[1..].split_at(32);
        let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid, "x": encoded(x), "y": encoded(y) }] })
    }

    fn token(&self, authorization: &str, form: &str) -> Option<Value> {
        let asked = (authorization.to_owned(), form.to_owned());
        self.0.asked.lock().unwrap().push(asked);
        let fields: HashMap<_, _> = form_urlencoded::parse(form.as_bytes())
            .into_owned()
            .collect();
        let code = self.0.codes.lock().unwrap().remove(fields.get("code")?)?;
        let challenge = URL_SAFE_NO_PAD.encode(Secret::hash(fields.get("code_verifier")?));
        let fits = challenge == code.challenge
            && fields.get("redirect_uri") == Some(&code.redirect_uri)
            && fields["grant_type"] == "authorization_code";
        fits.then_some(code.answer)
    }
}

async fn answer(provider: web::Data<Provider>, request: HttpRequest, form: String) -> HttpResponse {
    let (realm, place) = request.path()[1..].split_once('/').unwrap();
    let header = request.headers().get("authorization");
    let authorization = header.map_or("", |value| value.to_str().unwrap());
    let told = match place {
        _ if provider.0.is_down.load(Ordering::SeqCst) => None,
        ".well-known/openid-configuration" => Some(provider.discovery(realm)),
        "keys" => Some(provider.keys()),
        "token" => provider.token(authorization, &form),
        "userinfo" => {
            let token = authorization.strip_prefix("Bearer ").unwrap();
            provider.0.told.lock().unwrap().get(token).cloned()
        }
        other => panic!("{other}"),
    };
    match told {
        Some(told) => HttpResponse::Ok().json(told),
        None => HttpResponse::BadRequest().json(json!({ "error": "invalid_grant" })),
    }
}
