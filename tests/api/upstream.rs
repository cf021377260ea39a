//! Signing in at another OpenID Connect provider, which says whatever a test wants.

use std::{collections::HashMap, sync::LazyLock};

use diesel::{Connection, PgConnection};
use serde_json::{Value, json};

use crate::harness::{
    PASSWORD, Provider, Response, TestApp, client_without_redirects, decode_part, query,
    query_value, sign,
};

const ISSUER: &str = "http://localhost:8080";

/// Where people end who came for no app.
const ACCOUNT: &str = "/oauth/account";

/// Signing in there did not work.
const FAILED: &str = "Signing in there did not work";

static SHARED: LazyLock<(TestApp, Provider)> =
    LazyLock::new(|| start(&[("TOLLGATE_LIMITS__ENABLED", "false")]));

/// A server whose people may sign in at every realm of a provider.
fn start(environment: &[(&str, &str)]) -> (TestApp, Provider) {
    let provider = Provider::start();
    let realm = |id: &str, more: &str| {
        let issuer = provider.issuer(id);
        format!(
            "{{ id = \"{id}\", name = \"Provider {id}\", issuer = \"{issuer}\", client_id = \"tollgate\"{more} }}"
        )
    };
    let secret = ", client_secret = \"a:b c\"";
    let upstreams = [
        realm("main", ""),
        realm("basic", secret),
        realm("post", secret),
        realm("strict", ""),
        realm("doubted", ", trust_email = false"),
        realm("liar", ""),
        "{ id = \"down\", name = \"Down\", issuer = \"http://127.0.0.1:9999\", client_id = \"x\" }"
            .to_owned(),
    ];
    let upstreams = format!("[{}]", upstreams.join(", "));
    let own = [("TOLLGATE_OAUTH__UPSTREAM", upstreams.as_str())];
    (TestApp::own(&[&own, environment].concat()), provider)
}

/// Somebody with a browser.
#[derive(Clone)]
struct Guest {
    app: TestApp,
    cookie: Option<String>,
}

impl Guest {
    fn new(app: &TestApp) -> Self {
        Self {
            app: app.clone(),
            cookie: None,
        }
    }

    async fn send(&mut self, method: &str, path: &str, form: Option<&[(&str, &str)]>) -> Response {
        let address = format!("{}{path}", self.app.address());
        let mut request = client_without_redirects().request(method.parse().unwrap(), address);
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", format!("tollgate_page={cookie}"));
        }
        if let Some(form) = form {
            let body = form_urlencoded::Serializer::new(String::new())
                .extend_pairs(form)
                .finish();
            request = request
                .header("origin", ISSUER)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(body);
        }
        let response = Response::read(request.send().await.unwrap()).await;
        if let Some(rest) = response.header("set-cookie").strip_prefix("tollgate_page=") {
            self.cookie = Some(rest.split(';').next().unwrap().to_owned());
        }
        response
    }

    async fn get(&mut self, path: &str) -> Response {
        self.send("GET", path, None).await
    }

    /// Presses a button of a page.
    async fn press(&mut self, page: &str, action: &str, fields: &[(&str, &str)]) -> Response {
        let shown = self.get(page).await.text();
        // Whoever is signed in has a form of another page all the same.
        let has_button = shown.contains(&format!("action=\"{action}\""));
        assert!(has_button || page == ACCOUNT, "{shown}");
        let mut form = vec![("csrf", hidden(&shown, "csrf").unwrap())];
        form.extend(hidden(&shown, "request").map(|request| ("request", request)));
        form.extend(
            fields
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        let form: Vec<_> = form
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        self.send("POST", action, Some(&form)).await
    }

    /// Leaves for a realm of the provider; answers what it is asked.
    async fn leave(&mut self, realm: &str) -> HashMap<String, String> {
        self.leave_from("/oauth/sign-in", realm).await
    }

    async fn leave_from(&mut self, page: &str, realm: &str) -> HashMap<String, String> {
        let action = format!("/oauth/sign-in/upstream/{realm}");
        let response = self.press(page, &action, &[]).await;
        assert_eq!(response.status(), 303, "{}", response.text());
        let location = reqwest::Url::parse(response.header("location")).unwrap();
        assert_eq!(location.path(), format!("/{realm}/authorize"));
        location.query_pairs().into_owned().collect()
    }

    async fn come_back(&mut self, realm: &str, answer: &[(&str, &str)]) -> Response {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(answer)
            .finish();
        let path = format!("/oauth/upstream/{realm}/callback?{query}");
        let response = self.get(&path).await;
        self.told(response).await
    }

    /// The page that says that it failed, where it did.
    async fn told(&mut self, response: Response) -> Response {
        let location = response.header("location").to_owned();
        if location.contains("failed=upstream") {
            return self.get(&location).await;
        }
        response
    }

    /// Signs in at a realm, which says `claims`.
    async fn sign_in(&mut self, provider: &Provider, realm: &str, claims: Value) -> Response {
        self.sign_in_from("/oauth/sign-in", provider, realm, claims)
            .await
    }

    async fn sign_in_from(
        &mut self,
        page: &str,
        provider: &Provider,
        realm: &str,
        claims: Value,
    ) -> Response {
        let asked = self.leave_from(page, realm).await;
        let token = provider.sign(&filled(provider, realm, &asked, claims));
        let code = provider.grant(&asked, &token);
        let answer = [("code", code.as_str()), ("state", &asked["state"])];
        self.come_back(realm, &answer).await
    }

    /// The address of whoever is signed in.
    async fn email(&mut self) -> Option<String> {
        let page = self.get(ACCOUNT).await;
        let shown = page.text();
        let email = shown.split("<bdi>").find_map(|part| {
            let text = part.split("</bdi>").next()?;
            text.contains('@').then(|| text.to_owned())
        });
        email.filter(|_| page.status() == 200)
    }
}

/// A hidden field of a page's first form.
fn hidden(page: &str, name: &str) -> Option<String> {
    let rest = page.split(&format!("name=\"{name}\" value=\"")).nth(1)?;
    Some(rest.split('"').next().unwrap().to_owned())
}

/// Claims of an ID token that are as they should be, but for some; `null` leaves one out.
fn filled(
    provider: &Provider,
    realm: &str,
    asked: &HashMap<String, String>,
    changes: Value,
) -> Value {
    let now = chrono::Utc::now().timestamp();
    let mut claims = json!({
        "iss": provider.issuer(realm), "aud": "tollgate", "iat": now, "exp": now + 300, "nonce": asked["nonce"],
    });
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims
                .as_object_mut()
                .unwrap()
                .insert(name.clone(), value.clone()),
        };
    }
    claims
}

fn new_email() -> String {
    format!("{}@example.com", uuid::Uuid::now_v7().simple())
}

fn ada(email: &str, is_verified: bool) -> Value {
    json!({ "sub": format!("sub-{email}"), "email": email, "email_verified": is_verified })
}

fn count(app: &TestApp, from: &str) -> String {
    query_value(
        app.database(),
        &format!("select count(*)::text as value from {from}"),
    )
}

fn verify_address(app: &TestApp, email: &str) {
    let sql = format!("update users set email_verified = true where email = '{email}'");
    query(app.database(), &sql);
}

#[tokio::test]
async fn the_sign_in_page_has_a_button_for_each_provider_and_leads_there() {
    let (app, provider) = &*SHARED;
    let page = Guest::new(app).get("/oauth/sign-in").await;
    let shown = page.text();
    assert_eq!(shown.matches("/oauth/sign-in/upstream/").count(), 7);
    assert!(shown.contains("Provider main"));
    let place = provider.issuer("");
    let policy = page.header("content-security-policy").to_owned();
    assert!(
        policy.contains(&format!(
            "form-action 'self' {}",
            place.trim_end_matches('/')
        )),
        "{policy}"
    );

    let asked = Guest::new(app).leave("main").await;
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "tollgate"),
        (
            "redirect_uri",
            "http://localhost:8080/oauth/upstream/main/callback",
        ),
        ("scope", "openid email profile"),
        ("code_challenge_method", "S256"),
        ("theme", "dark"),
    ] {
        assert_eq!(asked[name], value);
    }
    for name in ["state", "nonce", "code_challenge"] {
        assert_eq!(asked[name].len(), 43, "{name}");
    }
    let mut guest = Guest::new(app);
    let csrf = hidden(&guest.get("/oauth/sign-in").await.text(), "csrf").unwrap();
    let fields = [("csrf", csrf.as_str())];
    let none = guest
        .send("POST", "/oauth/sign-in/upstream/none", Some(&fields))
        .await;
    assert_eq!(none.status(), 404);
    let forged = guest
        .send(
            "POST",
            "/oauth/sign-in/upstream/main",
            Some(&[("csrf", "x")]),
        )
        .await;
    assert_eq!(forged.status(), 403);
}

#[tokio::test]
async fn the_first_sign_in_makes_an_account_and_the_next_finds_it() {
    let (app, provider) = &*SHARED;
    let email = new_email();
    let mut claims = ada(&email, true);
    claims["name"] = json!("Ada Lovelace");
    claims["locale"] = json!("en-GB");
    let mut guest = Guest::new(app);
    guest.get("/oauth/sign-in").await;
    let planted = guest.cookie.clone();
    let response = guest.sign_in(provider, "main", claims.clone()).await;
    assert_eq!(
        (response.status(), response.header("location")),
        (303, ACCOUNT)
    );
    assert_ne!(guest.cookie, planted, "SES-02");
    assert_eq!(guest.email().await.as_deref(), Some(email.as_str()));
    let stored = |what: &str| {
        let sql = format!("select ({what})::text as value from users u where email = '{email}'");
        query_value(app.database(), &sql)
    };
    assert_eq!(
        stored("name || ' ' || locale || ' ' || email_verified"),
        "Ada Lovelace en-GB true"
    );
    assert_eq!(
        stored("select acr || array_to_json(amr) from sessions s where s.user_id = u.id"),
        "1[]"
    );
    let actions =
        "select string_agg(action, ' ' order by id) from audit_events where subject_id = u.id";
    assert_eq!(
        stored(actions),
        "user.created user.identity_linked session.created"
    );

    // By issuer and subject, whatever the address is by then, and the browser's other session goes on.
    claims["email"] = json!(new_email());
    let mut elsewhere = Guest::new(app);
    elsewhere.sign_in(provider, "main", claims.clone()).await;
    assert_eq!(elsewhere.email().await.as_deref(), Some(email.as_str()));
    guest.sign_in_from(ACCOUNT, provider, "main", claims).await;
    assert_eq!(
        stored("select count(*) from sessions s where s.user_id = u.id"),
        "2"
    );
    assert_eq!(
        stored("select count(*) from identities i where i.user_id = u.id"),
        "1"
    );

    // The same subject of another issuer is somebody else.
    let mut other = ada(&new_email(), true);
    other["sub"] = json!(format!("sub-{email}"));
    let mut stranger = Guest::new(app);
    stranger.sign_in(provider, "strict", other.clone()).await;
    assert_eq!(stranger.email().await, None, "no iss");
    let asked = stranger.leave("basic").await;
    other["aud"] = json!(["tollgate"]);
    let token = provider.sign(&filled(provider, "basic", &asked, other.clone()));
    let code = provider.grant(&asked, &token);
    stranger
        .come_back("basic", &[("code", &code), ("state", &asked["state"])])
        .await;
    assert_eq!(stranger.email().await.as_deref(), other["email"].as_str());

    // Nobody knows the password of such an account.
    for password in ["", "!", PASSWORD] {
        let body = json!({ "email": email, "password": password });
        app.post("/v1/sessions", body)
            .await
            .expect_problem(401, "invalid-credentials");
    }
}

#[tokio::test]
async fn pwd_08_an_account_is_connected_without_its_password_only_when_both_sides_have_verified_the_address()
 {
    let (app, provider) = &*SHARED;
    for (ours, theirs, realm, is_linked) in [
        (true, true, "main", true),
        (false, true, "main", false),
        (true, false, "main", false),
        (false, false, "main", false),
        (true, true, "doubted", false),
    ] {
        let case = format!("{ours} {theirs} {realm}");
        let person = app.person().await;
        if ours {
            verify_address(app, person.email());
        }
        let identities = format!("identities where user_id = '{}'", person.id());
        let mut guest = Guest::new(app);
        let response = guest
            .sign_in(provider, realm, ada(person.email(), theirs))
            .await;
        assert_eq!(response.status(), 303, "{case}");
        if is_linked {
            assert_eq!(response.header("location"), ACCOUNT, "{case}");
        } else {
            assert_eq!(response.header("location"), "/oauth/sign-in/link", "{case}");
            assert_eq!(guest.email().await, None, "{case}");
            assert_eq!(count(app, &identities), "0", "{case}");
            let (page, action) = ("/oauth/sign-in/link", "/oauth/sign-in/link");
            let email = ("email", person.email());
            let wrong = guest
                .press(page, action, &[email, ("password", "wrong horse")])
                .await;
            assert_eq!(wrong.status(), 401, "{case}");
            assert!(
                wrong.text().contains(&format!("Provider {realm}")),
                "{case}"
            );
            assert_eq!(count(app, &identities), "0", "{case}");
            let another = [("email", "other@example.com"), ("password", PASSWORD)];
            assert_eq!(
                guest.press(page, action, &another).await.status(),
                400,
                "{case}"
            );
            // Another browser has nothing to connect.
            let mut thief = Guest::new(app);
            let csrf = hidden(&thief.get("/oauth/sign-in").await.text(), "csrf").unwrap();
            let fields = [("csrf", csrf.as_str()), email, ("password", PASSWORD)];
            assert_eq!(
                thief.send("POST", action, Some(&fields)).await.status(),
                400,
                "{case}"
            );
            let right = guest
                .press(page, action, &[email, ("password", PASSWORD)])
                .await;
            assert_eq!((right.status(), right.header("location")), (303, ACCOUNT));
            assert_eq!(
                guest.get(page).await.status(),
                400,
                "nothing is held any more"
            );
        }
        assert_eq!(
            guest.email().await.as_deref(),
            Some(person.email()),
            "{case}"
        );
        assert_eq!(count(app, &identities), "1", "{case}");
        let linked = format!(
            "audit_events where action = 'user.identity_linked' and subject_id = '{}'",
            person.id()
        );
        assert_eq!(count(app, &linked), "1", "{case}");
        let mut again = Guest::new(app);
        again
            .sign_in(provider, realm, ada(person.email(), false))
            .await;
        assert_eq!(
            again.email().await.as_deref(),
            Some(person.email()),
            "{case}"
        );
    }
}

#[tokio::test]
async fn pwd_08_an_address_that_got_another_owner_at_the_provider_opens_nothing() {
    let (app, provider) = &*SHARED;
    let email = new_email();
    Guest::new(app)
        .sign_in(provider, "main", ada(&email, true))
        .await;
    let mut successor = Guest::new(app);
    let claims = json!({ "sub": "successor", "email": email, "email_verified": true });
    let response = successor.sign_in(provider, "main", claims).await;
    assert_eq!(response.header("location"), "/oauth/sign-in/link");
    assert_eq!(successor.email().await, None);
}

#[tokio::test]
async fn guesses_at_the_page_that_connects_are_throttled_as_those_at_signing_in() {
    let (app, provider) = start(&[]);
    let person = app.person().await;
    let mut guest = Guest::new(&app);
    guest
        .sign_in(&provider, "main", ada(person.email(), true))
        .await;
    let page = "/oauth/sign-in/link";
    let mut seen = Vec::new();
    for _ in 0..7 {
        seen.push(
            guest
                .press(page, page, &[("password", "wrong horse")])
                .await
                .status(),
        );
    }
    assert_eq!(seen[0], 401);
    assert_eq!(seen[6], 429, "{seen:?}");
    assert_eq!(
        guest
            .press(page, page, &[("password", PASSWORD)])
            .await
            .status(),
        429
    );
    let body = json!({ "email": person.email(), "password": PASSWORD });
    app.post("/v1/sessions", body)
        .await
        .expect_problem(429, "too-many-attempts");
    assert_eq!(count(&app, "identities"), "0");
    let refused = format!(
        "audit_events where action = 'session.refused' and subject_id = '{}'",
        person.id()
    );
    assert_ne!(count(&app, &refused), "0");
}

#[tokio::test]
async fn a_state_is_good_once_in_the_browser_that_left_and_for_the_provider_that_it_left_for() {
    let (app, provider) = &*SHARED;
    let email = new_email();
    let mut guest = Guest::new(app);
    let asked = guest.leave("main").await;
    let token = provider.sign(&filled(provider, "main", &asked, ada(&email, true)));
    let state = asked["state"].as_str();
    let code = || provider.grant(&asked, &token);

    let mut other = Guest::new(app);
    other.get("/oauth/sign-in").await;
    for (guest, realm, state) in [
        (&mut other, "main", state),
        (&mut Guest::new(app), "main", state),
        (&mut guest.clone(), "basic", state),
        (&mut guest.clone(), "main", "x"),
        (&mut guest.clone(), "main", ""),
    ] {
        let response = guest
            .come_back(realm, &[("code", &code()), ("state", state)])
            .await;
        assert_eq!(response.status(), 400, "{realm} {state}");
        assert_eq!(guest.email().await, None, "{realm} {state}");
    }
    let twice = [
        ("code", code().as_str()),
        ("state", state),
        ("state", state),
    ]
    .map(|(name, value)| (name, value.to_owned()));
    let twice: Vec<_> = twice
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    assert_eq!(guest.clone().come_back("main", &twice).await.status(), 400);

    // Many at once: one.
    let tries = (0..8).map(|_| {
        let (mut guest, code, state) = (guest.clone(), code(), state.to_owned());
        tokio::spawn(async move {
            let response = guest
                .come_back("main", &[("code", &code), ("state", &state)])
                .await;
            response.status()
        })
    });
    let mut seen = Vec::new();
    for one in tries.collect::<Vec<_>>() {
        seen.push(one.await.unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, [303, 400, 400, 400, 400, 400, 400, 400]);
    let again = guest
        .come_back("main", &[("code", &code()), ("state", state)])
        .await;
    assert_eq!(again.status(), 400);
}

#[tokio::test]
async fn a_state_expires_and_is_purged() {
    let (app, provider) = start(&[]);
    let mut guest = Guest::new(&app);
    let asked = guest.leave("main").await;
    query(
        app.database(),
        "update upstream_states set expires_at = clock_timestamp()",
    );
    let token = provider.sign(&filled(&provider, "main", &asked, ada(&new_email(), true)));
    let code = provider.grant(&asked, &token);
    let late = guest
        .come_back("main", &[("code", &code), ("state", &asked["state"])])
        .await;
    assert_eq!(late.status(), 400);
    assert_eq!(count(&app, "upstream_states"), "1");
    let mut conn = PgConnection::establish(app.database()).unwrap();
    tollgate::oauth::purge(&mut conn).unwrap();
    assert_eq!(count(&app, "upstream_states"), "0");
}

#[tokio::test]
async fn an_id_token_that_does_not_fit_signs_nobody_in() {
    let (app, provider) = &*SHARED;
    let now = chrono::Utc::now().timestamp();
    for changes in [
        json!({ "nonce": "another" }),
        json!({ "nonce": null }),
        json!({ "iss": provider.issuer("basic") }),
        json!({ "iss": null }),
        json!({ "aud": "another" }),
        json!({ "aud": ["tollgate", "another"] }),
        json!({ "azp": "another" }),
        json!({ "exp": now - 60 }),
        json!({ "exp": null }),
        json!({ "iat": now + 300 }),
        json!({ "iat": null }),
        json!({ "sub": null }),
        json!({ "sub": "x".repeat(256) }),
    ] {
        let email = new_email();
        let mut claims = ada(&email, true);
        claims
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        let mut guest = Guest::new(app);
        let response = guest.sign_in(provider, "main", claims).await;
        assert_eq!(response.status(), 401, "{changes}");
        assert!(response.text().contains(FAILED), "{changes}");
        assert_eq!(guest.email().await, None, "{changes}");
        assert_eq!(
            count(app, &format!("users where email = '{email}'")),
            "0",
            "{changes}"
        );
    }
}

#[tokio::test]
async fn an_id_token_of_another_hand_signs_nobody_in() {
    let (app, provider) = &*SHARED;
    let stranger = aws_lc_rs::signature::EcdsaKeyPair::generate(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING,
    )
    .unwrap();
    let forge = |header: Value, claims: &Value| sign(&stranger, &header, claims);
    for case in [
        "none",
        "HS256",
        "another key",
        "unknown key",
        "no token",
        "access token",
    ] {
        let mut guest = Guest::new(app);
        let asked = guest.leave("main").await;
        let claims = filled(provider, "main", &asked, ada(&new_email(), true));
        let token = match case {
            "none" => {
                let token = forge(json!({ "alg": "none" }), &claims);
                format!("{}.", token.rsplit_once('.').unwrap().0)
            }
            "HS256" => forge(json!({ "alg": "HS256", "kid": "first" }), &claims),
            "another key" => forge(json!({ "alg": "ES256", "kid": "first" }), &claims),
            "unknown key" => forge(json!({ "alg": "ES256", "kid": "mine" }), &claims),
            "access token" => forge(
                json!({ "alg": "ES256", "kid": "first", "typ": "at+jwt" }),
                &claims,
            ),
            _ => "x".to_owned(),
        };
        let code = provider.grant(&asked, &token);
        let response = guest
            .come_back("main", &[("code", &code), ("state", &asked["state"])])
            .await;
        assert_eq!(response.status(), 401, "{case}");
        assert_eq!(guest.email().await, None, "{case}");
    }
}

#[tokio::test]
async fn keys_are_fetched_anew_for_one_that_is_not_known_and_not_more_often() {
    let (app, provider) = start(&[]);
    let sign_in = async || {
        let (email, mut guest) = (new_email(), Guest::new(&app));
        guest.sign_in(&provider, "main", ada(&email, true)).await;
        guest.email().await == Some(email)
    };
    assert!(sign_in().await && sign_in().await);
    assert_eq!(provider.keys_read(), 1);
    provider.turn_key("second");
    assert!(sign_in().await && sign_in().await);
    assert_eq!(provider.keys_read(), 2);
    provider.turn_key("third");
    assert!(!sign_in().await, "not within seconds again");
    assert_eq!(provider.keys_read(), 2);
}

#[tokio::test]
async fn what_the_provider_refuses_or_another_answers_leads_back_to_the_sign_in_page() {
    let (app, provider) = &*SHARED;
    let (own, other) = (provider.issuer("strict"), provider.issuer("main"));
    for (realm, answer) in [
        ("main", vec![("error", "access_denied")]),
        ("main", vec![("error", "access_denied"), ("code", "x")]),
        ("main", vec![("code", "unknown")]),
        ("main", vec![]),
        ("main", vec![("iss", own.as_str()), ("code", "GOOD")]),
        ("strict", vec![("iss", other.as_str()), ("code", "GOOD")]),
        ("strict", vec![("code", "GOOD")]),
    ] {
        let mut guest = Guest::new(app);
        let asked = guest.leave(realm).await;
        let token = provider.sign(&filled(provider, realm, &asked, ada(&new_email(), true)));
        let code = provider.grant(&asked, &token);
        let mut answer = answer;
        answer.push(("state", &asked["state"]));
        for (_, value) in &mut answer {
            if *value == "GOOD" {
                *value = &code;
            }
        }
        let response = guest.come_back(realm, &answer).await;
        assert_eq!(response.status(), 401, "{realm} {answer:?}");
        assert!(response.text().contains(FAILED));
        assert_eq!(guest.email().await, None);
    }
    let (mut guest, email) = (Guest::new(app), new_email());
    let asked = guest.leave("strict").await;
    let token = provider.sign(&filled(provider, "strict", &asked, ada(&email, true)));
    let code = provider.grant(&asked, &token);
    let answer = [
        ("code", code.as_str()),
        ("state", &asked["state"]),
        ("iss", &own),
    ];
    guest.come_back("strict", &answer).await;
    assert_eq!(guest.email().await, Some(email), "RFC 9207");
}

#[tokio::test]
async fn a_provider_that_is_down_or_says_to_be_another_leaves_the_sign_in_page() {
    let (app, provider) = start(&[]);
    for realm in ["down", "liar"] {
        let action = format!("/oauth/sign-in/upstream/{realm}");
        let mut guest = Guest::new(&app);
        let response = guest.press("/oauth/sign-in", &action, &[]).await;
        let response = guest.told(response).await;
        assert_eq!(response.status(), 401, "{realm}");
        assert!(response.text().contains(FAILED), "{realm}");
    }
    let (mut guest, email) = (Guest::new(&app), new_email());
    let asked = guest.leave("main").await;
    let token = provider.sign(&filled(&provider, "main", &asked, ada(&email, true)));
    let code = provider.grant(&asked, &token);
    provider.go_down(true);
    let response = guest
        .come_back("main", &[("code", &code), ("state", &asked["state"])])
        .await;
    assert_eq!(response.status(), 401);
    provider.go_down(false);
    guest.sign_in(&provider, "main", ada(&email, true)).await;
    assert_eq!(guest.email().await, Some(email));
}

#[tokio::test]
async fn a_secret_goes_along_as_the_provider_takes_it() {
    let (app, provider) = start(&[]);
    for realm in ["basic", "post", "main"] {
        Guest::new(&app)
            .sign_in(&provider, realm, ada(&new_email(), true))
            .await;
    }
    let asked = provider.asked();
    let forms: Vec<_> = asked.iter().map(|(_, form)| form.as_str()).collect();
    assert_eq!(asked[0].0, "Basic dG9sbGdhdGU6YSUzQWIrYw==");
    assert!(!forms[0].contains("client_secret") && !forms[0].contains("client_id"));
    assert!(asked[1].0.is_empty() && forms[1].contains("client_secret=a%3Ab+c"));
    assert!(asked[2].0.is_empty() && forms[2].contains("client_id=tollgate"));
    assert!(!forms[2].contains("client_secret"));
    assert_eq!(count(&app, "identities"), "3");
}

#[tokio::test]
async fn an_address_may_be_at_the_userinfo_endpoint_and_without_one_there_is_no_account() {
    let (app, provider) = &*SHARED;
    let email = new_email();
    for (told, status, is_made) in [
        (None, 403, false),
        (
            Some(json!({ "sub": "another", "email": email, "email_verified": true })),
            403,
            false,
        ),
        (
            Some(json!({ "sub": "SUB", "email": "no address" })),
            403,
            false,
        ),
        (
            Some(json!({ "sub": "SUB", "email": email, "email_verified": true, "name": "Ada" })),
            303,
            true,
        ),
    ] {
        let (mut guest, subject) = (Guest::new(app), new_email());
        let asked = guest.leave("main").await;
        let claims = json!({ "sub": subject, "email_verified": true });
        let token = provider.sign(&filled(provider, "main", &asked, claims));
        let code = provider.grant(&asked, &token);
        if let Some(told) = told {
            let told = told.to_string().replace("SUB", &subject);
            provider.tell(&code, serde_json::from_str(&told).unwrap());
        }
        let response = guest
            .come_back("main", &[("code", &code), ("state", &asked["state"])])
            .await;
        assert_eq!(response.status(), status);
        assert_eq!(
            response.text().contains("We need your email address"),
            !is_made
        );
        assert_eq!(guest.email().await, is_made.then(|| email.clone()));
    }
}

#[tokio::test]
async fn where_signing_up_is_closed_only_those_who_have_an_account_come_in() {
    let (app, provider) = start(&[("TOLLGATE_USERS__SIGN_UP", "closed")]);
    let response = Guest::new(&app)
        .sign_in(&provider, "main", ada(&new_email(), true))
        .await;
    assert_eq!(response.status(), 403);
    assert!(response.text().contains("administrators only"));
    assert_eq!(count(&app, "users"), "1");
    let administrator = app.administrator().await;
    let email = new_email();
    let body = json!({ "email": email, "password": PASSWORD });
    administrator.post("/v1/users", body).await.expect(201);
    verify_address(&app, &email);
    let mut guest = Guest::new(&app);
    guest.sign_in(&provider, "main", ada(&email, true)).await;
    assert_eq!(guest.email().await, Some(email));
}

#[tokio::test]
async fn tok_15_a_disabled_account_stays_out_and_a_deleted_one_is_forgotten() {
    let (app, provider) = &*SHARED;
    let person = app.person().await;
    verify_address(app, person.email());
    let administrator = app.administrator().await;
    let (path, claims) = (
        format!("/v1/users/{}", person.id()),
        ada(person.email(), true),
    );
    let disable = async |disabled: bool| {
        let body = json!({ "disabled": disabled });
        administrator.patch(&path, body).await.expect(200);
    };
    let sign_in = async || {
        let mut guest = Guest::new(app);
        let response = guest.sign_in(provider, "main", claims.clone()).await;
        (response.status(), guest.email().await)
    };
    disable(true).await;
    assert_eq!(sign_in().await, (401, None), "not linked either");
    let identities = format!("identities where user_id = '{}'", person.id());
    assert_eq!(count(app, &identities), "0");
    disable(false).await;
    let email = Some(person.email().to_owned());
    assert_eq!(sign_in().await, (303, email.clone()));
    disable(true).await;
    assert_eq!(sign_in().await, (401, None));
    administrator.delete(&path).await.expect(204);
    assert_eq!(count(app, &identities), "0");
    assert_eq!(sign_in().await, (303, email), "a new account");
    assert_eq!(count(app, &identities), "0");
}

#[tokio::test]
async fn an_app_gets_its_code_after_signing_in_elsewhere_and_may_want_it_done_anew() {
    let (app, provider) = &*SHARED;
    let administrator = app.administrator().await;
    let metadata = json!({
        "client_name": "Shop", "redirect_uris": ["https://shop.example/back"], "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code"], "scope": "openid email", "first_party": true,
    });
    let client = json!({ "client_id": "shop", "metadata": metadata });
    administrator.post("/v1/clients", client).await.expect(201);
    let verifier = "v".repeat(43);
    let challenge = "7w_YNF9DSfIdPf_pRjSq646_kPr-2-o9NAl16JGghdM";
    let authorize = |more: &str| {
        format!(
            "/oauth/authorize?response_type=code&client_id=shop&redirect_uri=https%3A%2F%2Fshop.example%2Fback\
             &scope=openid%20email&state=s&code_challenge={challenge}&code_challenge_method=S256{more}"
        )
    };
    let email = new_email();
    let mut guest = Guest::new(app);
    for (more, max_age, auth_time, is_in) in [
        ("", None, Some(300), true),
        ("&prompt=login", Some("0"), Some(0), true),
        ("&prompt=login", Some("0"), Some(600), false),
        ("&prompt=login", Some("0"), None, false),
        ("&prompt=login&login_hint=x", Some("0"), Some(10), true),
    ] {
        let page = guest
            .get(&authorize(more))
            .await
            .header("location")
            .to_owned();
        assert!(page.starts_with("/oauth/sign-in?request="), "{page}");
        let asked = guest.leave_from(&page, "main").await;
        assert_eq!(asked.get("max_age").map(String::as_str), max_age);
        let mut claims = ada(&email, true);
        if let Some(ago) = auth_time {
            claims["auth_time"] = json!(chrono::Utc::now().timestamp() - ago);
        }
        let token = provider.sign(&filled(provider, "main", &asked, claims));
        let code = provider.grant(&asked, &token);
        let back = guest
            .come_back("main", &[("code", &code), ("state", &asked["state"])])
            .await;
        if !is_in {
            assert_eq!(back.status(), 401, "proved too long ago");
            assert!(hidden(&back.text(), "request").is_some());
            continue;
        }
        let next = back.header("location").to_owned();
        assert!(next.starts_with("/oauth/continue?request="), "{next}");
        let done = guest.get(&next).await;
        let location = reqwest::Url::parse(done.header("location")).unwrap();
        let answer: HashMap<_, _> = location.query_pairs().into_owned().collect();
        assert_eq!(
            (answer["state"].as_str(), answer["iss"].as_str()),
            ("s", ISSUER)
        );
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", "shop"),
            ("code", answer["code"].as_str()),
            ("redirect_uri", "https://shop.example/back"),
            ("code_verifier", verifier.as_str()),
        ];
        let tokens = guest
            .clone()
            .send("POST", "/oauth/token", Some(&form))
            .await
            .expect(200);
        let claims = decode_part(tokens.at("/id_token").as_str().unwrap(), 1);
        assert_eq!((&claims["acr"], &claims["amr"]), (&json!("1"), &json!([])));
        // What they proved there a while ago was not proved here just now.
        let ago = chrono::Utc::now().timestamp() - claims["auth_time"].as_i64().unwrap();
        let expected = if max_age.is_none() { 300..400 } else { 0..60 };
        assert!(expected.contains(&ago), "{more}: {ago}");
    }
}

#[tokio::test]
async fn whoever_signs_in_elsewhere_takes_the_place_of_whoever_was_signed_in() {
    let (app, provider) = &*SHARED;
    let (first, second) = (new_email(), new_email());
    let mut guest = Guest::new(app);
    guest.sign_in(provider, "main", ada(&first, true)).await;
    guest
        .sign_in_from(ACCOUNT, provider, "main", ada(&second, true))
        .await;
    assert_eq!(guest.email().await, Some(second));
    let alive = format!(
        "sessions s join users u on u.id = s.user_id where u.email = '{first}' and s.ended_at is null"
    );
    assert_eq!(count(app, &alive), "0");
}
