//! Giving tokens back and asking what they are worth (OAU-18, 19).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{
    App, Person, TestApp, decode_part, drop_connections, query_value, text, use_bearer,
};

/// What is said of everything that is worth nothing, or is none of the client's business.
fn nothing() -> Value {
    json!({"active": false})
}

#[tokio::test]
async fn oau_18_a_client_gives_back_its_own_tokens_and_no_others() {
    let app = TestApp::shared();
    let client = App::register(&app, json!({})).await;
    let other = App::confidential(&app, json!({})).await;
    let person = app.person().await;
    let tokens = client.tokens(&person, &[]).await;
    let (access, refresh) = (
        text(&tokens, "access_token"),
        text(&tokens, "refresh_token"),
    );
    // Unknown, somebody else's, with a wrong hint: all of them 200, and nothing happens.
    for token in ["unknown", "a.b.c", access, refresh, person.access_token()] {
        for hint in ["access_token", "refresh_token", "nonsense", ""] {
            let fields = [("token", token), ("token_type_hint", hint)];
            let told = other.post("/oauth/revoke", &fields).await.expect(200);
            assert_eq!(told.text(), "");
        }
    }
    assert_eq!(use_bearer(&app, access).await, 200);
    assert_eq!(use_bearer(&app, person.access_token()).await, 200);
    let refused = client.post("/oauth/revoke", &[]).await;
    refused.expect_error(400, "invalid_request");

    // An access token dies alone, whatever the hint says.
    let fields = [("token", access), ("token_type_hint", "refresh_token")];
    client.post("/oauth/revoke", &fields).await.expect(200);
    assert_eq!(use_bearer(&app, access).await, 401);
    client.post("/oauth/revoke", &fields).await.expect(200);
    let next = client.refresh(refresh).await.expect(200).json();

    // A refresh token takes its session along.
    let refresh = text(&next, "refresh_token");
    let fields = [("token", refresh)];
    client.post("/oauth/revoke", &fields).await.expect(200);
    assert_eq!(use_bearer(&app, text(&next, "access_token")).await, 401);
    client
        .refresh(refresh)
        .await
        .expect_error(400, "invalid_grant");
    client.post("/oauth/revoke", &fields).await.expect(200);
    let claims = decode_part(text(&next, "access_token"), 1);
    let sid = claims["sid"].as_str().unwrap();
    let sql = format!("select end_reason as value from sessions where id = '{sid}'");
    assert_eq!(query_value(app.database(), &sql), "token_revoked");
}

#[tokio::test]
async fn oau_18_a_revocation_that_was_not_written_is_no_200() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let client = App::register(&app, json!({})).await;
    let tokens = client.tokens(&app.person().await, &[]).await;
    drop_connections(app.database(), true);
    for name in ["access_token", "refresh_token"] {
        let fields = [("token", text(&tokens, name))];
        let response = client.post("/oauth/revoke", &fields).await;
        let refused = response.expect_error(503, "temporarily_unavailable");
        assert_eq!(refused.header("retry-after"), "1");
    }
    drop_connections(app.database(), false);
    let refresh = text(&tokens, "refresh_token");
    let deadline = Instant::now() + Duration::from_secs(10);
    // The pool comes back by itself.
    while client
        .post("/oauth/revoke", &[("token", refresh)])
        .await
        .status()
        != 200
    {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    client
        .refresh(refresh)
        .await
        .expect_error(400, "invalid_grant");
}

/// The tokens of somebody who also uses a second app.
async fn signed_in(client: &App, other: &App, person: &Person) -> (Value, Value) {
    (
        client.tokens(person, &[]).await,
        other.tokens(person, &[]).await,
    )
}

#[tokio::test]
async fn oau_19_only_its_own_client_and_api_learn_what_a_token_is_worth() {
    let app = TestApp::shared();
    let client = App::confidential(&app, json!({})).await;
    let other = App::confidential(&app, json!({})).await;
    let api = App::confidential(&app, json!({"resources": ["http://localhost:8080"]})).await;
    let public = App::register(&app, json!({})).await;
    let person = app.person().await;
    let (tokens, others) = signed_in(&client, &other, &person).await;
    let access = text(&tokens, "access_token");
    let told = client.introspect(access).await;
    let claims = decode_part(access, 1);
    assert_eq!(told["active"], true);
    assert_eq!(told["token_type"], "Bearer");
    for name in [
        "sub",
        "client_id",
        "scope",
        "exp",
        "iat",
        "iss",
        "aud",
        "jti",
    ] {
        assert_eq!(told[name], claims[name], "{name}");
    }
    assert_eq!(api.introspect(access).await["active"], true);
    let refresh = text(&tokens, "refresh_token");
    assert_eq!(client.introspect(refresh).await["active"], true);
    assert_eq!(client.introspect(refresh).await["client_id"], client.id);

    for foreign in [
        "unknown",
        "a.b.c",
        text(&others, "access_token"),
        text(&others, "refresh_token"),
        text(&tokens, "id_token"),
        person.access_token(),
        person.refresh_token(),
    ] {
        assert_eq!(client.introspect(foreign).await, nothing());
    }
    assert_eq!(api.introspect(refresh).await, nothing(), "not for an API");
    // Whoever proves nothing learns nothing.
    let refused = public.post("/oauth/introspect", &[("token", access)]).await;
    refused.expect_error(401, "invalid_client");
    let request = app.request("POST", "/oauth/introspect");
    let anonymous = request
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("token={access}"));
    app.send(anonymous)
        .await
        .expect_error(401, "invalid_client");
    let refused = client.post("/oauth/introspect", &[]).await;
    refused.expect_error(400, "invalid_request");

    let next = client.refresh(refresh).await.expect(200).json();
    assert_eq!(client.introspect(refresh).await, nothing(), "rotated");
    let given = [("token", access)];
    client.post("/oauth/revoke", &given).await.expect(200);
    assert_eq!(client.introspect(access).await, nothing(), "revoked");
    let last = text(&next, "refresh_token");
    client
        .post("/oauth/revoke", &[("token", last)])
        .await
        .expect(200);
    for token in [last, text(&next, "access_token")] {
        assert_eq!(client.introspect(token).await, nothing(), "ended");
        assert_eq!(api.introspect(token).await, nothing(), "ended");
    }
}

#[tokio::test]
async fn oau_19_the_answer_is_signed_for_whoever_asks_so() {
    let app = TestApp::shared();
    let client = App::confidential(&app, json!({})).await;
    let tokens = client.tokens(&app.person().await, &[]).await;
    let fields = [("token", text(&tokens, "access_token"))];
    let request = client
        .request("/oauth/introspect", &fields)
        .header("accept", "application/token-introspection+jwt");
    let signed = app.send(request).await.expect(200);
    assert_eq!(
        signed.header("content-type"),
        "application/token-introspection+jwt"
    );
    let header = decode_part(&signed.text(), 0);
    assert_eq!(header["typ"], "token-introspection+jwt");
    let claims = decode_part(&signed.text(), 1);
    assert_eq!(claims["aud"], client.id);
    assert_eq!(claims["iss"], crate::harness::ISSUER);
    assert_eq!(claims["token_introspection"]["active"], true);
    // Nothing of it outside, where it could pass for a token of another kind (RFC 9701 section 5).
    assert_eq!(claims.get("sub"), None);
    assert_eq!(claims.get("exp"), None);
    assert_eq!(use_bearer(&app, &signed.text()).await, 401);
}

#[tokio::test]
async fn oau_19_every_replica_knows_within_a_second() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let client = App::confidential(&app, json!({})).await;
    let tokens = client.tokens(&app.person().await, &[]).await;
    let replica = app
        .replica(&[("TOLLGATE_LIMITS__ENABLED", "false")])
        .unwrap();
    let elsewhere = client.at(&replica);
    let access = text(&tokens, "access_token");
    assert_eq!(elsewhere.introspect(access).await["active"], true);
    let given = [("token", access)];
    client.post("/oauth/revoke", &given).await.expect(200);
    let since = Instant::now();
    while elsewhere.introspect(access).await != nothing() {
        // A second is promised; ten allow for a busy machine.
        assert!(since.elapsed() < Duration::from_secs(10));
        tokio::task::yield_now().await;
    }
}
