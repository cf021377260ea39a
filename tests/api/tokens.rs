//! What holds for tokens besides forgeries: see also `forged_tokens`.

use serde_json::json;

use crate::harness::{MASTER_KEY, TestApp};

#[tokio::test]
async fn the_presented_token_is_answered_without_the_database() {
    let app = TestApp::own(&[]);
    let ada = app.person().await;
    crate::harness::drop_connections(app.database(), true);
    assert_eq!(
        ada.get("/v1/tokens/current").await.expect(200).at("/sub"),
        ada.id()
    );
    ada.get("/v1/users/me")
        .await
        .expect_problem(503, "database-unavailable");
}

#[tokio::test]
async fn replicas_verify_each_others_tokens() {
    let app = TestApp::own(&[]);
    let ada = app.person().await;
    let replica = app.replica(&[]).unwrap();
    let request = replica
        .request("GET", "/v1/users/me")
        .bearer_auth(ada.access_token());
    replica.send(request).await.expect(200);
    replica
        .post("/v1/tokens", json!({"refresh_token": ada.refresh_token()}))
        .await
        .expect(200);
}

#[tokio::test]
async fn another_master_key_is_a_clear_refusal_to_start() {
    let app = TestApp::own(&[]);
    let other = "YW5vdGhlciBrZXkgb2YgMzIgYnl0ZXMsIHlvdSBzZWU=";
    let refused = app
        .replica(&[("TOLLGATE_MASTER_KEY", other)])
        .err()
        .unwrap()
        .to_string();
    assert!(refused.contains("TOLLGATE_MASTER_KEY"), "{refused}");
    app.replica(&[("TOLLGATE_MASTER_KEY", &format!("{other},{MASTER_KEY}"))])
        .unwrap();
}

#[tokio::test]
async fn key_04_the_jwks_is_public_cacheable_and_holds_no_secret() {
    let app = TestApp::shared();
    let first = app.get("/.well-known/jwks.json").await.expect(200);
    let etag = first.header("etag").to_owned();
    assert_eq!(first.header("cache-control"), "max-age=600");
    let keys = first.at("/keys");
    for key in keys.as_array().unwrap() {
        assert_eq!(
            (&key["use"], &key["kty"], &key["alg"]),
            (&json!("sig"), &json!("RSA"), &json!("RS256"))
        );
        let mut members: Vec<_> = key.as_object().unwrap().keys().cloned().collect();
        members.sort_unstable();
        assert_eq!(members, ["alg", "e", "kid", "kty", "n", "use"]);
    }
    for tag in [
        etag.clone(),
        format!("W/{etag}"),
        format!("\"x\", {etag}"),
        "*".to_owned(),
    ] {
        let again = app
            .send(
                app.request("GET", "/.well-known/jwks.json")
                    .header("if-none-match", tag),
            )
            .await;
        assert_eq!(
            (again.status(), again.header("etag"), again.text().as_str()),
            (304, etag.as_str(), "")
        );
    }
    let other = app
        .send(
            app.request("GET", "/.well-known/jwks.json")
                .header("if-none-match", "\"x\""),
        )
        .await;
    assert_eq!(other.status(), 200);
}

#[tokio::test]
async fn key_06_replicas_that_start_together_end_with_one_key_of_each_kind() {
    let database = crate::harness::create_empty_database();
    let starts: Vec<_> = (0..5)
        .map(|_| {
            let database = database.clone();
            std::thread::spawn(move || TestApp::on_database(&database, &[]).unwrap())
        })
        .collect();
    let replicas: Vec<_> = starts
        .into_iter()
        .map(|start| start.join().unwrap())
        .collect();
    let count = "select string_agg(purpose || ' ' || algorithm || ' ' || n, ', ' order by purpose) as value
                 from (select purpose, algorithm, count(*) as n from signing_keys group by 1, 2) as counted";
    assert_eq!(
        crate::harness::query_value(&database, count),
        "access RS256 1, cursor HS256 1, identity RS256 1, page HS256 1, refresh HS256 1"
    );
    let administrators = replicas
        .iter()
        .filter(|replica| !replica.administrator_password().is_empty())
        .count();
    assert_eq!(administrators, 1);
    let mut sets = Vec::new();
    for replica in &replicas {
        sets.push(replica.get("/.well-known/jwks.json").await.text());
    }
    assert!(sets.iter().all(|set| *set == sets[0]));
}

#[tokio::test]
async fn key_07_private_keys_are_sealed_at_rest() {
    let app = TestApp::own(&[]);
    let dump = crate::harness::query_value(
        app.database(),
        "select string_agg(encode(sealed, 'hex'), ' ') as value from signing_keys",
    );
    // The DER of every RSA private key in PKCS#8 names rsaEncryption.
    assert!(!dump.contains("2a864886f70d010101"));
}
