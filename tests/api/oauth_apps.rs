//! Clients as administrators make and end them, and apps as people see them.

use serde_json::{Value, json};

use crate::harness::{
    App, Browser, MASTER_KEY, TestApp, create_database, decode_part, directory, query, query_value,
    run, text, use_bearer, with,
};

fn metadata() -> Value {
    json!({
        "redirect_uris": ["https://client.example/callback"],
        "scope": "openid",
    })
}

#[tokio::test]
async fn a_client_is_made_read_changed_and_deleted() {
    let app = TestApp::shared();
    let administrator = app.administrator().await;
    let id = format!("shop-{}", uuid::Uuid::now_v7());
    let new = json!({"client_id": id, "metadata": metadata()});
    let made = administrator.post("/v1/clients", new.clone()).await;
    let made = made.expect(201);
    let path = format!("/v1/clients/{id}");
    assert_eq!(made.header("location"), path);
    assert_eq!(made.header("etag"), "\"1\"");
    assert_eq!(made.header("cache-control"), "no-store");
    let secret = text(&made.json(), "client_secret").to_owned();
    assert!(secret.len() >= 32);
    administrator.post("/v1/clients", new).await.expect(409);
    let read = administrator.get(&path).await.expect(200);
    assert_eq!(read.at("/client_secret"), Value::Null, "shown once");
    assert_eq!(read.at("/has_secret"), true);
    assert!(!read.text().contains(&secret));
    let listed = administrator.get("/v1/clients").await.expect(200);
    assert!(listed.text().contains(&id));
    assert!(!listed.text().contains(&secret));
    let stored = format!("select clients::text as value from clients where id = '{id}'");
    assert!(!query_value(app.database(), &stored).contains(&secret));

    let put = |etag: &'static str, body: Value| {
        let request = administrator
            .request("PUT", &path)
            .header("if-match", etag)
            .json(&body);
        app.send(request)
    };
    let mut other = metadata();
    other["client_name"] = json!("Other");
    put("\"9\"", other.clone()).await.expect(412);
    let changed = put("\"1\"", other.clone()).await.expect(200);
    assert_eq!(changed.header("etag"), "\"2\"");
    assert_eq!(changed.at("/metadata/client_name"), "Other");
    assert_eq!(changed.at("/client_secret"), Value::Null);
    put("\"1\"", other.clone()).await.expect(412);

    let client = App::known(&app, &id, Some(&secret));
    let nothing = json!({"active": false});
    assert_eq!(client.introspect("x").await, nothing);
    let renewed = administrator
        .post(&format!("{path}/secret"), Value::Null)
        .await
        .expect(200);
    assert_eq!(renewed.header("cache-control"), "no-store");
    let refused = client.post("/oauth/introspect", &[("token", "x")]).await;
    refused.expect_error(401, "invalid_client");
    let renewed = text(&renewed.json(), "client_secret").to_owned();
    let client = App::known(&app, &id, Some(&renewed));
    assert_eq!(client.introspect("x").await, nothing);

    let stale = administrator
        .request("DELETE", &path)
        .header("if-match", "\"1\"");
    app.send(stale).await.expect(412);
    administrator.delete(&path).await.expect(204);
    administrator.delete(&path).await.expect(404);
    administrator.get(&path).await.expect(404);
    put("*", other).await.expect(404);
    let refused = client.post("/oauth/introspect", &[("token", "x")]).await;
    refused.expect_error(401, "invalid_client");
}

#[tokio::test]
async fn a_client_that_can_not_be_is_told_why_all_at_once() {
    let app = TestApp::shared();
    let administrator = app.administrator().await;
    let bad = json!({
        "redirect_uris": ["javascript:alert(1)", "https://ok.example/", "http://x.example/"],
        "grant_types": ["authorization_code", "client_credentials"],
        "token_endpoint_auth_method": "none",
        "scope": "open id",
        "allowed_origins": ["https://x.example/"],
        "jwks_uri": "http://x.example",
    });
    let refused = administrator
        .post("/v1/clients", json!({"metadata": bad}))
        .await
        .expect(422);
    let pointers: Vec<_> = refused
        .at("/errors")
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap().to_owned())
        .collect();
    for part in [
        "redirect_uris/0",
        "redirect_uris/2",
        "grant_types",
        "scope",
        "allowed_origins/0",
        "jwks_uri",
    ] {
        assert!(
            pointers.iter().any(|pointer| pointer.ends_with(part)),
            "{part}: {pointers:?}"
        );
    }
    for (name, value) in [
        ("client_id", json!("tollgate")),
        ("client_id", json!("a b")),
        ("client_id", json!("")),
        ("client_secret", json!("short")),
        ("unheard_of", json!(1)),
    ] {
        let mut body = json!({"metadata": metadata()});
        body[name] = value;
        let refused = administrator.post("/v1/clients", body).await;
        refused.expect(422);
    }
    let mut public = metadata();
    public["token_endpoint_auth_method"] = json!("none");
    let body = json!({"metadata": public, "client_secret": "x".repeat(32)});
    administrator.post("/v1/clients", body).await.expect(422);
    let mut odd = metadata();
    odd["unheard_of"] = json!(1);
    let body = json!({"metadata": odd});
    administrator.post("/v1/clients", body).await.expect(422);
}

#[tokio::test]
async fn pwd_10_nobody_makes_a_client_that_reaches_further_than_they_do() {
    let app = TestApp::shared();
    let clerk = app.user("clients:read clients:write account:read").await;
    let reader = app.user("clients:read").await;
    let body = json!({"metadata": metadata()});
    reader.get("/v1/clients").await.expect(200);
    reader.post("/v1/clients", body.clone()).await.expect(403);
    let alone = |scope: &str| {
        json!({
            "grant_types": ["client_credentials"],
            "redirect_uris": [],
            "scope": scope,
        })
    };
    let own = |scope: &str| {
        let mut metadata = metadata();
        metadata["first_party"] = json!(true);
        metadata["scope"] = json!(scope);
        metadata
    };
    // Where people are asked, the app gets no more than they have, and they have seen it.
    let mut asking = metadata();
    asking["scope"] = json!("openid users:write");
    let body = json!({"metadata": asking});
    clerk.post("/v1/clients", body).await.expect(201);
    let kinds: [&dyn Fn(&str) -> Value; 2] = [&alone, &own];
    for metadata in kinds {
        let body = json!({"metadata": metadata("account:read users:write")});
        let refused = clerk.post("/v1/clients", body).await;
        refused.expect_problem(403, "above-own-scopes");
        let body = json!({"metadata": metadata("account:read")});
        let made = clerk.post("/v1/clients", body).await.expect(201);
        let path = format!("/v1/clients/{}", text(&made.json(), "client_id"));
        let wider = metadata("account:read users:write");
        let refused = clerk.put(&path, wider.clone()).await;
        refused.expect_problem(403, "above-own-scopes");
        // Nor do they take over one that somebody else has made.
        let administrator = app.administrator().await;
        administrator.put(&path, wider).await.expect(200);
        let taken = clerk.post(&format!("{path}/secret"), Value::Null).await;
        taken.expect_problem(403, "above-own-scopes");
    }
}

#[tokio::test]
async fn what_a_deleted_client_holds_is_dead_and_stays_dead() {
    let app = TestApp::shared();
    let client = App::register(&app, json!({})).await;
    let person = app.person().await;
    let tokens = client.tokens(&person, &[]).await;
    let answer = client.answer(&person, &[]).await;
    let administrator = app.administrator().await;
    let path = format!("/v1/clients/{}", client.id);
    administrator.delete(&path).await.expect(204);
    assert_eq!(use_bearer(&app, text(&tokens, "access_token")).await, 401);
    let refused = client.refresh(text(&tokens, "refresh_token")).await;
    refused.expect_error(401, "invalid_client");
    let refused = client.redeem(answer.code()).await;
    refused.expect_error(401, "invalid_client");
    let mut browser = Browser::new(&app);
    browser
        .get(&client.authorize_path(&[]))
        .await
        .expect_page(400);
    let sid = &decode_part(text(&tokens, "access_token"), 1)["sid"];
    let session = format!("/v1/sessions/{}", sid.as_str().unwrap());
    let session = person.get(&session).await.expect(200);
    assert_eq!(session.at("/end_reason"), "client_deleted");
    // Somebody else under its name has nothing of it.
    let mut again = metadata();
    again["token_endpoint_auth_method"] = json!("none");
    again["grant_types"] = json!(["authorization_code", "refresh_token"]);
    let body = json!({"client_id": client.id, "metadata": again});
    let early = administrator.post("/v1/clients", body.clone()).await;
    early.expect_problem(409, "client-exists");
    let sql = format!(
        "update revocations set until = clock_timestamp() where id = '{}'",
        client.id
    );
    query(app.database(), &sql);
    administrator.post("/v1/clients", body).await.expect(201);
    for refused in [
        client.refresh(text(&tokens, "refresh_token")).await,
        client.redeem(answer.code()).await,
    ] {
        refused.expect_error(400, "invalid_grant");
    }
    let asked = Browser::signed_in(&app, &person)
        .await
        .visit(&client.authorize_path(&[]))
        .await;
    assert!(asked.unwrap().path.starts_with("/oauth/consent"));
}

#[tokio::test]
async fn people_see_their_apps_and_send_them_away() {
    let app = TestApp::shared();
    let client = App::register(&app, json!({"client_name": "Shop"})).await;
    let other = App::register(&app, json!({})).await;
    let (ada, eve) = (app.person().await, app.person().await);
    let asked = [("scope", "openid offline_access")];
    let tokens = client.tokens(&ada, &asked).await;
    let others = other.tokens(&ada, &[]).await;
    let eves = client.tokens(&eve, &[]).await;
    let sid = decode_part(text(&tokens, "access_token"), 1)["sid"].clone();
    let listed = ada.get("/v1/sessions").await.expect(200).json();
    let items = listed["items"].as_array().unwrap();
    let session = items.iter().find(|item| item["id"] == sid).unwrap();
    assert_eq!(session["client_id"], client.id);
    let consents = ada.get("/v1/users/me/consents").await.expect(200);
    assert_eq!(consents.at("/items").as_array().unwrap().len(), 2);
    let consents = consents.json();
    let items = consents["items"].as_array().unwrap();
    let shop = items.iter().find(|item| item["client_id"] == client.id);
    let shop = shop.unwrap();
    assert_eq!(shop["client_name"], "Shop");
    assert_eq!(shop["scopes"], json!(["offline_access", "openid"]));
    let of_ada = format!("/v1/users/{}/consents", ada.id());
    eve.get(&of_ada).await.expect(404);
    let hers = format!("{of_ada}/{}", client.id);
    eve.delete(&hers).await.expect(404);

    let path = format!("/v1/users/me/consents/{}", client.id);
    ada.delete(&path).await.expect(204);
    ada.delete(&path).await.expect(404);
    assert_eq!(use_bearer(&app, text(&tokens, "access_token")).await, 401);
    let refused = client.refresh(text(&tokens, "refresh_token")).await;
    refused.expect_error(400, "invalid_grant");
    let sid = sid.as_str().unwrap();
    let reason = format!("select end_reason as value from sessions where id = '{sid}'");
    assert_eq!(query_value(app.database(), &reason), "consent_withdrawn");
    assert_eq!(use_bearer(&app, text(&others, "access_token")).await, 200);
    assert_eq!(use_bearer(&app, text(&eves, "access_token")).await, 200);
    let silent = client.authorize_path(&[("prompt", "none")]);
    let mut browser = Browser::signed_in(&app, &ada).await;
    let answer = browser.visit(&silent).await.unwrap_err();
    assert_eq!(answer.get("error"), "consent_required");
}

#[tokio::test]
async fn an_app_gets_what_the_roles_of_its_user_allow() {
    let app = TestApp::shared();
    let scope = json!({"scope": "openid account:read users:read"});
    let client = App::register(&app, scope).await;
    let all = [("scope", "openid account:read users:read")];
    let tokens = client.tokens(&app.person().await, &all).await;
    assert_eq!(tokens["scope"], "account:read openid");
    let only = [("scope", "users:read")];
    let answer = client.answer(&app.person().await, &only).await;
    assert_eq!(answer.get("error"), "access_denied");
    let administrator = app.administrator().await;
    let reader = app.person().await;
    let role = format!("r{}", uuid::Uuid::now_v7().simple());
    let path = format!("/v1/roles/{role}");
    let scopes = json!({"scopes": ["users:read"]});
    administrator.put(&path, scopes).await.expect(201);
    let given = format!("/v1/users/{}/roles/{role}", reader.id());
    administrator.put(&given, Value::Null).await.expect(204);
    let tokens = client.tokens(&reader, &all).await;
    assert_eq!(tokens["scope"], "account:read openid users:read");
    administrator.delete(&given).await.expect(204);
    assert_eq!(use_bearer(&app, text(&tokens, "access_token")).await, 401);
    let next = client.refresh(text(&tokens, "refresh_token")).await;
    assert_eq!(next.expect(200).at("/scope"), "account:read openid");
}

#[tokio::test]
async fn an_app_gets_no_more_than_it_may_ask_for_now() {
    let app = TestApp::shared();
    let scope = json!({"scope": "openid email account:read", "client_name": "Shop"});
    let client = App::register(&app, scope).await;
    let person = app.person().await;
    let asked = [("scope", "openid email account:read")];
    let tokens = client.tokens(&person, &asked).await;
    let answer = client.answer(&person, &asked).await;
    let administrator = app.administrator().await;
    let path = format!("/v1/clients/{}", client.id);
    let mut metadata = administrator.get(&path).await.expect(200).at("/metadata");
    metadata["scope"] = json!("openid email");
    administrator.put(&path, metadata).await.expect(200);
    for less in [
        client.refresh(text(&tokens, "refresh_token")).await,
        client.redeem(answer.code()).await,
    ] {
        assert_eq!(less.expect(200).at("/scope"), "email openid");
    }
}

#[tokio::test]
async fn a_client_for_itself_has_its_own_scopes_and_nobody_s_account() {
    let app = TestApp::shared();
    let alone = json!({
        "grant_types": ["client_credentials"],
        "redirect_uris": [],
        "scope": "openid users:read account:read",
    });
    let client = App::confidential(&app, alone).await;
    let fields = [("grant_type", "client_credentials")];
    let tokens = client.token(&fields).await.expect(200).json();
    assert_eq!(tokens["scope"], "account:read users:read");
    assert_eq!(tokens.get("refresh_token"), None);
    assert_eq!(tokens.get("id_token"), None);
    let token = text(&tokens, "access_token");
    let claims = decode_part(token, 1);
    assert_eq!(claims["sub"], client.id);
    assert_eq!(claims.get("sid"), None);
    let users = app.request("GET", "/v1/users").bearer_auth(token);
    app.send(users).await.expect(200);
    let me = app.request("GET", "/v1/users/me").bearer_auth(token);
    assert_eq!(app.send(me).await.status(), 404);
    for wide in ["users:write", "openid", "openid users:read", "x y"] {
        let refused = client.token(&with(&fields, &[("scope", wide)])).await;
        refused.expect_error(400, "invalid_scope");
    }
    let given = [("token", token)];
    client.post("/oauth/revoke", &given).await.expect(200);
    assert_eq!(use_bearer(&app, token).await, 401);
}

#[tokio::test]
async fn clients_from_the_command_line() {
    let (database, directory) = (create_database(), directory());
    let environment = [
        ("DATABASE_URL", database.as_str()),
        ("TOLLGATE_MASTER_KEY", MASTER_KEY),
    ];
    let tollgate = |arguments: &[&str], input: &str| {
        let output = run(directory.path(), &environment, arguments, input);
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    let secret = "a-secret-of-more-than-32-characters";
    let create = [
        "client",
        "create",
        "--id",
        "job",
        "--secret-stdin",
        "--grant",
        "client_credentials",
        "--scope",
        "users:read",
    ];
    let (done, said) = tollgate(&create, "short\n");
    assert!(!done, "{said}");
    let (done, said) = tollgate(&create, &format!("{secret}\n"));
    assert!(done, "{said}");
    assert!(!said.contains(secret));
    let (done, said) = tollgate(&create, &format!("{secret}\n"));
    assert!(!done, "{said}");
    let shop = [
        "client",
        "create",
        "--id",
        "shop",
        "--public",
        "--redirect-uri",
        "https://client.example/callback",
    ];
    assert!(tollgate(&shop, "").0);
    let bad = [
        "client",
        "create",
        "--id",
        "bad",
        "--public",
        "--redirect-uri",
        "javascript:alert(1)",
    ];
    let (done, said) = tollgate(&bad, "");
    assert!(!done);
    assert!(said.contains("redirect_uris"), "{said}");
    let file = directory.path().join("metadata.json");
    let fields = json!({
        "client_uri": "https://client.example/",
        "contacts": ["ops@client.example"],
        "default_max_age": 600,
        "grant_types": ["refresh_token"],
        "client_name": "From the file",
        "redirect_uris": ["https://client.example/file"],
        "introspection_signed_response_alg": "RS256",
    });
    std::fs::write(&file, fields.to_string()).unwrap();
    let name = file.to_str().unwrap();
    let full = [
        "client",
        "create",
        "--id",
        "full",
        "--public",
        "--metadata",
        name,
        "--name",
        "From here",
    ];
    let (done, said) = tollgate(&full, "");
    assert!(done, "{said}");
    let (_, shown) = tollgate(&["client", "show", "full"], "");
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let mut expected = fields.clone();
    expected["client_name"] = json!("From here");
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&shown["metadata"][field], value, "{field}");
    }
    let keys = crate::harness::Key::new().jwks("k1");
    for (index, (method, options, done)) in [
        (
            "client_secret_post",
            vec!["--secret-stdin"],
            Some("client_secret_post"),
        ),
        ("client_secret_post", vec![], None),
        ("private_key_jwt", vec![], Some("private_key_jwt")),
        ("private_key_jwt", vec!["--secret-stdin"], None),
        ("private_key_jwt", vec!["--public"], None),
        ("none", vec![], Some("none")),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("by-file-{index}");
        let mut fields = json!({"token_endpoint_auth_method": method, "redirect_uris": [], "grant_types": ["refresh_token"]});
        if method == "private_key_jwt" {
            fields["jwks"] = keys.clone();
        }
        std::fs::write(&file, fields.to_string()).unwrap();
        let create = ["client", "create", "--id", &id, "--metadata", name];
        let (made, said) = tollgate(&[&create[..], &options].concat(), &format!("{secret}\n"));
        assert_eq!(made, done.is_some(), "{method} {options:?}: {said}");
        if let Some(method) = done {
            let (_, shown) = tollgate(&["client", "show", &id], "");
            let shown: Value = serde_json::from_str(&shown).unwrap();
            assert_eq!(shown["metadata"]["token_endpoint_auth_method"], method);
            assert!(tollgate(&["client", "delete", &id], "").0);
        }
    }
    assert!(!tollgate(&["client", "create", "--id", "nothing"], "").0);
    std::fs::write(&file, r#"{"unheard_of": 1}"#).unwrap();
    let (done, said) = tollgate(
        &[
            "client",
            "create",
            "--id",
            "x",
            "--public",
            "--metadata",
            name,
        ],
        "",
    );
    assert!(!done && said.contains("unheard_of"), "{said}");
    assert!(!tollgate(&["client", "show", "x"], "").0);
    let (done, _) = tollgate(&["client", "delete", "full"], "");
    assert!(done);
    let redirect = "https://client.example/callback";
    for (client, uri, answer) in [
        ("shop", redirect, Ok("is an address of shop")),
        ("shop", "https://client.example/callback/", Err(redirect)),
        ("shop", "https://CLIENT.example/callback", Err(redirect)),
        ("shop", "javascript:alert(1)", Err("it can't be one")),
        (
            "nobody",
            redirect,
            Err("tollgate client create --id nobody"),
        ),
    ] {
        let (done, said) = tollgate(&["doctor", "redirect", client, uri], "");
        assert_eq!(done, answer.is_ok(), "{said}");
        let (Ok(words) | Err(words)) = answer;
        assert!(said.contains(words), "{said}");
    }
    let (_, listed) = tollgate(&["client", "list", "--json"], "");
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let ids: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|client| client["client_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["job", "shop"]);

    let app = TestApp::on_database(&database, &[]).unwrap();
    let client = App::known(&app, "job", Some(secret));
    let fields = [("grant_type", "client_credentials")];
    let tokens = client.token(&fields).await.expect(200).json();
    assert!(tollgate(&["client", "delete", "job"], "").0);
    let (done, said) = tollgate(&["client", "delete", "job"], "");
    assert!(!done, "{said}");
    // The running server hears of it by itself.
    let since = std::time::Instant::now();
    let token = text(&tokens, "access_token");
    while use_bearer(&app, token).await != 401 || client.token(&fields).await.status() != 401 {
        assert!(since.elapsed() < std::time::Duration::from_secs(10));
        tokio::task::yield_now().await;
    }
}
