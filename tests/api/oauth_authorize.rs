//! What the authorization endpoint answers, and to whom (OAU-01, 02, 09 to 12).

use serde_json::json;

use crate::harness::{
    App, Browser, CALLBACK, CHALLENGE, ISSUER, Person, Response, TestApp, challenge_of, encoded,
    hidden, with,
};

const ANOTHER: &str = "https://client.example/q?tenant=1";
const LOOPBACK: &str = "http://127.0.0.1/cb";

/// An app of our own with three addresses, and somebody who is signed in: whatever is good is answered at once.
async fn trusted(app: &TestApp) -> (App, Person, Browser) {
    let changes = json!({
        "first_party": true,
        "redirect_uris": [CALLBACK, ANOTHER, LOOPBACK, "https://client.example/slash/"],
    });
    let client = App::register(app, changes).await;
    let person = app.person().await;
    let browser = Browser::signed_in(app, &person).await;
    (client, person, browser)
}

async fn both_ways(browser: &mut Browser, fields: &[(&str, &str)]) -> [Response; 2] {
    let got = browser
        .get(&format!("/oauth/authorize?{}", encoded(fields)))
        .await;
    // Another app's page has sent this form.
    let request = browser
        .request("POST", "/oauth/authorize")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(encoded(fields));
    [got, browser.send(request).await]
}

#[tokio::test]
async fn oau_01_oau_12_only_the_very_address_is_redirected_to() {
    let app = TestApp::shared();
    let (client, _, mut browser) = trusted(&app).await;
    for good in [
        CALLBACK,
        ANOTHER,
        LOOPBACK,
        "http://127.0.0.1:51004/cb",
        "https://client.example/slash/",
    ] {
        let fields = client.parameters(&[("redirect_uri", good)]);
        for response in both_ways(&mut browser, &fields).await {
            assert_eq!(response.status(), 303, "{good}");
            let location = response.header("location");
            assert!(location.starts_with(good), "{location}");
            assert!(location.contains("code="), "{location}");
        }
    }
    for bad in [
        "https://client.example/callback/",
        "https://client.example/callback?x=1",
        "https://client.example/callback?",
        "https://client.example/callback#x",
        "https://client.example/callback%23x",
        "https://client.example/Callback",
        "https://client.example/other/../callback",
        "https://client.example/other/%2e%2e/callback",
        "https://client.example/./callback",
        "https://client.example//callback",
        "https://client.example/call%62ack",
        "https://client.example/callback%00",
        "https://client.example/slash",
        "https://CLIENT.example/callback",
        "HTTPS://client.example/callback",
        "https://client.example:443/callback",
        "https://client.example:8443/callback",
        "https://client.example./callback",
        "https://user@client.example/callback",
        "https://client.example@evil.example/callback",
        "https://client.example:x@evil.example/callback",
        "https://client.example.evil.example/callback",
        "https://evilclient.example/callback",
        "https://evil.example/https://client.example/callback",
        "https://client.example\\@evil.example/callback",
        "http://client.example/callback",
        "//client.example/callback",
        "/callback",
        " https://client.example/callback",
        "https://client.example/callback ",
        "https://client.example/q?tenant=1&tenant=2",
        "https://client.example/q?tenant=2",
        "http://127.0.0.1:51004/cb/",
        "http://127.0.0.1:051004/cb",
        "http://127.0.0.1:99999/cb",
        "http://127.0.0.1:80@evil.example/cb",
        "http://127.0.0.1.evil.example/cb",
        "http://localhost/cb",
        "http://[::1]/cb",
        "https://127.0.0.1/cb",
        "http://127.1/cb",
        "javascript:alert(1)",
        "data:text/html,x",
        "",
    ] {
        let fields = client.parameters(&[("redirect_uri", bad)]);
        for response in both_ways(&mut browser, &fields).await {
            response.expect_page(400);
        }
    }
}

#[tokio::test]
async fn oau_12_what_is_unknown_goes_nowhere_and_unknown_parameters_are_ignored() {
    let app = TestApp::shared();
    let (client, _, mut browser) = trusted(&app).await;
    for id in [
        "nobody",
        "tollgate-pages",
        "https://client.example/doc",
        "",
        "x\u{1F600}",
    ] {
        for response in both_ways(&mut browser, &client.parameters(&[("client_id", id)])).await {
            response.expect_page(400);
        }
    }
    let odd = [("foo", "bar"), ("resource_", "x"), ("client_secret", "x")];
    for response in both_ways(&mut browser, &client.parameters(&odd)).await {
        assert_eq!(response.status(), 303);
        assert!(response.header("location").contains("code="));
    }
    // What is no form is told to the person, too.
    let request = browser
        .request("POST", "/oauth/authorize")
        .json(&json!({"client_id": client.id}));
    browser.send(request).await.expect_page(400);
}

/// The error that the client is told, with what every answer has to have (OAU-10).
#[track_caller]
fn told(response: &Response) -> String {
    assert_eq!(response.status(), 303, "{}", response.text());
    let answer = crate::harness::Answer::of(response.header("location"));
    assert!(answer.location.starts_with(CALLBACK), "{answer:?}");
    assert_eq!(answer.get("iss"), ISSUER);
    assert_eq!(answer.get("state"), "s1");
    assert_eq!(answer.get("code"), "");
    answer.get("error").to_owned()
}

#[tokio::test]
async fn oau_02_pkce_is_needed_and_only_as_s256() {
    let app = TestApp::shared();
    let (client, _, mut browser) = trusted(&app).await;
    let confidential =
        App::confidential(&app, json!({"first_party": true, "scope": "openid"})).await;
    let long = "a".repeat(44);
    for changes in [
        &[("code_challenge", "")][..],
        &[("code_challenge_method", "")],
        &[("code_challenge", ""), ("code_challenge_method", "")],
        &[("code_challenge_method", "plain")],
        &[("code_challenge_method", "s256")],
        &[("code_challenge", &CHALLENGE[..42])],
        &[("code_challenge", &long)],
        &[(
            "code_challenge",
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM",
        )],
    ] {
        for client in [&client, &confidential] {
            for response in both_ways(&mut browser, &client.parameters(changes)).await {
                assert_eq!(told(&response), "invalid_request", "{changes:?}");
            }
            let pushed = client.post("/oauth/par", &client.parameters(changes)).await;
            pushed.expect_error(400, "invalid_request");
        }
    }
}

#[tokio::test]
async fn oau_02_only_the_right_verifier_redeems() {
    let app = TestApp::shared();
    let (client, person, mut browser) = trusted(&app).await;
    let path = client.authorize_path(&[]);
    let answer = browser.authorize(&path, &person).await;
    let code = answer.code();
    let redemption = App::redemption(code);
    let other = "a".repeat(43);
    for (verifier, error) in [
        ("", "invalid_request"),
        (other.as_str(), "invalid_grant"),
        (CHALLENGE, "invalid_grant"),
        (
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk ",
            "invalid_grant",
        ),
        (
            "dbjftjez4cvp-mb92k27uhbuju1p1r_ww1gfwfoejxk",
            "invalid_grant",
        ),
    ] {
        let fields = with(&redemption, &[("code_verifier", verifier)]);
        client.token(&fields).await.expect_error(400, error);
    }
    // A wrong guess leaves the code to whoever has the verifier.
    client.redeem(code).await.expect(200);

    for (length, good) in [(42, false), (43, true), (128, true), (129, false)] {
        let verifier = "v".repeat(length);
        let challenge = challenge_of(&verifier);
        let path = client.authorize_path(&[("code_challenge", &challenge)]);
        let answer = browser.authorize(&path, &person).await;
        let redemption = App::redemption(answer.code());
        let fields = with(&redemption, &[("code_verifier", &verifier)]);
        let response = client.token(&fields).await;
        if good {
            response.expect(200);
        } else {
            response.expect_error(400, "invalid_grant");
        }
    }
}

#[tokio::test]
async fn oau_09_what_oauth_2_1_has_dropped_is_refused_and_not_offered() {
    let app = TestApp::shared();
    let (client, person, mut browser) = trusted(&app).await;
    for kind in [
        "token",
        "id_token",
        "none",
        "code token",
        "code id_token",
        "id_token token",
        "code code",
        "CODE",
    ] {
        let fields = client.parameters(&[("response_type", kind)]);
        for response in both_ways(&mut browser, &fields).await {
            assert_eq!(told(&response), "unsupported_response_type", "{kind}");
        }
    }
    for (changes, error) in [
        (&[("response_type", "")][..], "invalid_request"),
        (&[("response_mode", "fragment")], "invalid_request"),
        (&[("response_mode", "web_message")], "invalid_request"),
        (
            &[("request", "eyJhbGciOiJub25lIn0.e30.")],
            "request_not_supported",
        ),
        (&[("prompt", "none login")], "invalid_request"),
        (&[("prompt", "create")], "invalid_request"),
        (&[("max_age", "-1")], "invalid_request"),
        (&[("max_age", "soon")], "invalid_request"),
        (&[("scope", "openid users:write")], "invalid_scope"),
        (&[("scope", "\"")], "invalid_scope"),
        (
            &[("resource", "https://elsewhere.example")],
            "invalid_target",
        ),
        (&[("claims", "[]")], "invalid_request"),
        (
            &[("claims", r#"{"userinfo":{},"userinfo":{}}"#)],
            "invalid_request",
        ),
        (&[("id_token_hint", "x.y.z")], "invalid_request"),
        (&[("dpop_jkt", "short")], "invalid_request"),
    ] {
        for response in both_ways(&mut browser, &client.parameters(changes)).await {
            assert_eq!(told(&response), error, "{changes:?}");
        }
    }
    for grant in [
        "password",
        "implicit",
        "authorization-code",
        "Refresh_Token",
    ] {
        let fields = [
            ("grant_type", grant),
            ("username", person.email()),
            ("password", crate::harness::PASSWORD),
        ];
        let refused = client.token(&fields).await;
        refused.expect_error(400, "unsupported_grant_type");
    }
    client.token(&[]).await.expect_error(400, "invalid_request");
    let metadata = app.get("/.well-known/oauth-authorization-server").await;
    let text = metadata.text();
    for dropped in ["\"password\"", "implicit", "\"plain\"", "id_token token"] {
        assert!(!text.contains(dropped), "{dropped}");
    }
    assert_eq!(metadata.at("/response_types_supported"), json!(["code"]));
}

#[tokio::test]
async fn oau_10_oau_11_every_answer_names_us_and_brings_the_state_back_as_it_was() {
    let app = TestApp::shared();
    let (client, person, mut browser) = trusted(&app).await;
    let long = "z".repeat(2_000);
    for state in [
        "a b+c&d=e%f\"<>'\u{1F600};/?:@~",
        "%2B%25%00",
        " ",
        "\u{202e}\r\n\t",
        "=",
        long.as_str(),
    ] {
        for (changes, member) in [
            (&[("state", state)][..], "code"),
            (&[("state", state), ("prompt", "x")], "error"),
        ] {
            let path = client.authorize_path(changes);
            let answer = browser.authorize(&path, &person).await;
            assert_eq!(answer.get("state"), state);
            assert_eq!(answer.get("iss"), ISSUER);
            assert_ne!(answer.get(member), "");
        }
        let form = client.authorize_path(&[("state", state), ("response_mode", "form_post")]);
        let page = browser.get(&form).await;
        page.expect_page(200);
        let text = page.text();
        assert_eq!(hidden(&text, "iss").as_deref(), Some(ISSUER));
        assert!(hidden(&text, "code").is_some());
        assert!(!text.contains("value=\"a b+c&d=e%f\"<"), "escaped");
    }
    // What could not be brought back as it came is refused.
    let path = client.authorize_path(&[]).replace("s1", "%FF");
    browser.get(&path).await.expect_page(400);
    let none = client.authorize_path(&[("state", "")]);
    let answer = browser.authorize(&none, &person).await;
    assert!(!answer.parameters.contains_key("state"), "{answer:?}");
}

#[tokio::test]
async fn oau_11_a_parameter_that_comes_twice_is_refused_everywhere() {
    let app = TestApp::shared();
    let (client, _, mut browser) = trusted(&app).await;
    let all = client.parameters(&[
        ("nonce", "n"),
        ("prompt", "login"),
        ("max_age", "1"),
        ("response_mode", "query"),
        ("unknown", "x"),
    ]);
    for (name, value) in &all {
        let twice = [&all[..], &[(*name, *value)]].concat();
        for response in both_ways(&mut browser, &twice).await {
            response.expect_page(400);
            assert!(response.text().contains("invalid_request"), "{name}");
        }
        let pushed = client.post("/oauth/par", &twice).await;
        pushed.expect_error(400, "invalid_request");
    }
    for (path, fields) in [
        ("/oauth/token", &App::redemption("x")[..]),
        ("/oauth/revoke", &[("token", "x"), ("token_type_hint", "y")]),
        ("/oauth/introspect", &[("token", "x")]),
        ("/oauth/device_authorization", &[("scope", "openid")]),
    ] {
        let named = [fields, &[("client_id", client.id.as_str())]].concat();
        for (name, value) in &named {
            let twice = [&named[..], &[(*name, *value)]].concat();
            let refused = client.post(path, &twice).await;
            refused.expect_error(400, "invalid_request");
        }
    }
}
