//! Clients that are documents elsewhere, and keys of clients that are (OAU-15, OAU-17).

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{
    App, Browser, CALLBACK, Key, Page, Person, Response, Site, TestApp, asserted, decode_part, text,
};

const DOCUMENTS: [(&str, &str); 2] = [
    ("TOLLGATE_LIMITS__ENABLED", "false"),
    ("TOLLGATE_OAUTH__CLIENT_DOCUMENTS", "true"),
];

fn document(id: &str) -> Value {
    json!({
        "client_id": id,
        "client_name": "Elsewhere",
        "redirect_uris": [CALLBACK],
        "grant_types": ["authorization_code", "refresh_token"],
        "scope": "openid profile users:write",
    })
}

/// What somebody who is signed in sees of a client's request: a page of ours, or an answer to the client.
async fn ask(app: &TestApp, person: &Person, id: &str) -> Response {
    let client = App::known(app, id, None);
    let mut browser = Browser::signed_in(app, person).await;
    browser.get(&client.authorize_path(&[])).await
}

#[tokio::test]
async fn oau_17_a_client_that_is_a_document_is_asked_about_every_time_and_narrowed() {
    let (app, site) = (TestApp::own(&DOCUMENTS), Site::start());
    let id = site.at("/app/client.json");
    site.put("/app/client.json", Page::json(&document(&id), 60));
    let (client, person) = (App::known(&app, &id, None), app.person().await);
    let mut browser = Browser::signed_in(&app, &person).await;
    for _ in 0..2 {
        let wide = client.authorize_path(&[("scope", "openid users:write")]);
        let asked = browser.visit(&wide).await.unwrap();
        assert!(asked.path.starts_with("/oauth/consent"), "{asked:?}");
        let page = asked.response.text();
        assert!(
            page.contains("Elsewhere") && page.contains("127.0.0.1"),
            "who asks, and from where"
        );
        let yes = [("decision", "allow")];
        let allowed = browser.submit(&asked, "/oauth/consent", &yes).await;
        let tokens = client.redeem(allowed.unwrap_err().code()).await;
        let tokens = tokens.expect(200).json();
        let claims = decode_part(text(&tokens, "access_token"), 1);
        assert_eq!(claims["client_id"], id);
        assert_eq!(tokens["scope"], "openid", "what there is of it");
        let next = client.refresh(text(&tokens, "refresh_token")).await;
        next.expect(200);
    }
    assert_eq!(site.asked("/app/client.json"), 1, "kept as long as it says");
    let beyond = client.authorize_path(&[("scope", "users:write")]);
    let told = browser.get(&beyond).await;
    told.expect_page(400);
    assert!(told.text().contains("invalid_scope"));
    let other = client.authorize_path(&[("redirect_uri", "https://client.example/other")]);
    browser.get(&other).await.expect_page(400);
    // It acts for nobody but people.
    for grant in [
        "client_credentials",
        "urn:ietf:params:oauth:grant-type:token-exchange",
    ] {
        let refused = client.token(&[("grant_type", grant)]).await;
        refused.expect_error(400, "unauthorized_client");
    }
}

#[tokio::test]
async fn oau_17_a_document_that_is_not_the_client_s_own_is_no_client() {
    let (app, site) = (TestApp::own(&DOCUMENTS), Site::start());
    let person = app.person().await;
    let mut bad: Vec<(&str, Page)> = Vec::new();
    let mut add = |name, change: &dyn Fn(&mut Page)| {
        let mut page = Page::json(&document(&site.at(&format!("/{name}"))), 60);
        change(&mut page);
        bad.push((name, page));
    };
    let changed = |page: &mut Page, member: &str, value: Value| {
        let mut document: Value = serde_json::from_str(&page.body).unwrap();
        document[member] = value;
        page.body = document.to_string();
    };
    add("another", &|page| {
        changed(page, "client_id", json!(site.at("/x")))
    });
    add("secret", &|page| {
        changed(
            page,
            "token_endpoint_auth_method",
            json!("client_secret_basic"),
        )
    });
    add("script", &|page| {
        changed(page, "redirect_uris", json!(["javascript:alert(1)"]))
    });
    add("trusted", &|page| changed(page, "redirect_uris", json!([])));
    add("missing", &|page| page.status = 404);
    add("moved", &|page| {
        page.status = 302;
        page.headers.push(("location", site.at("/good")));
    });
    add("text", &|page| {
        page.headers = vec![("content-type", "text/html".to_owned())]
    });
    add("large", &|page| {
        changed(page, "client_name", json!("x".repeat(70_000)))
    });
    add("twice", &|page| {
        page.body = page.body.replacen('{', "{\"client_id\":\"x\",", 1)
    });
    add("cut", &|page| page.body.truncate(40));
    for (name, page) in bad {
        let path = format!("/{name}");
        site.put(&path, page);
        let response = ask(&app, &person, &site.at(&path)).await;
        response.expect_page(400);
        assert_eq!(site.asked(&path), 1, "{name}");
        ask(&app, &person, &site.at(&path)).await.expect_page(400);
        assert_eq!(
            site.asked(&path),
            1,
            "{name} is not asked for again at once"
        );
    }
    let good = site.at("/good");
    site.put("/good", Page::json(&document(&good), 60));
    assert_eq!(ask(&app, &person, &good).await.status(), 303);
    // Addresses that name no document are not even asked for.
    for id in [
        site.at(""),
        site.at("/"),
        site.at("/a/../good"),
        site.at("/good?x"),
        site.at("/good#x"),
    ] {
        ask(&app, &person, &id).await.expect_page(400);
    }
    assert_eq!((site.asked("/"), site.asked("/good")), (0, 1));
    let advertised = "/client_id_metadata_document_supported";
    let metadata = "/.well-known/oauth-authorization-server";
    assert_eq!(app.get(metadata).await.at(advertised), true);
    let closed = TestApp::shared();
    assert_eq!(closed.get(metadata).await.at(advertised), false);
    let response = ask(&closed, &closed.person().await, &good).await;
    response.expect_page(400);
    assert_eq!(site.asked("/good"), 1, "unless that is switched on");
}

#[tokio::test]
async fn a_document_is_fetched_once_however_many_ask_for_it() {
    let (app, site) = (TestApp::own(&DOCUMENTS), Site::start());
    let id = site.at("/slow");
    let mut page = Page::json(&document(&id), 1);
    page.takes = Duration::from_millis(500);
    site.put("/slow", page);
    let client = App::known(&app, &id, None);
    let path = client.authorize_path(&[]);
    let ask = || async { Browser::new(&app).get(&path).await.status() };
    let all = join_all((0..30).map(|_| ask())).await;
    assert!(all.iter().all(|status| *status == 303), "{all:?}");
    assert_eq!(site.asked("/slow"), 1);
    // Five seconds at least.
    tokio::time::sleep(Duration::from_millis(5_500)).await;
    site.put("/slow", Page::json(&document(&site.at("/x")), 1));
    assert_eq!(ask().await, 400, "what it says now");
    assert_eq!(site.asked("/slow"), 2);
}

#[tokio::test]
async fn oau_15_keys_elsewhere_are_fetched_anew_for_one_that_is_not_known_and_not_more_often() {
    let (app, site) = (TestApp::shared(), Site::start());
    let (first, second, third) = (Key::new(), Key::new(), Key::new());
    site.put("/keys", Page::json(&first.jwks("k1"), 3_600));
    let metadata = json!({
        "token_endpoint_auth_method": "private_key_jwt",
        "grant_types": ["client_credentials"],
        "redirect_uris": [],
        "jwks_uri": site.at("/keys"),
        "scope": "users:read",
    });
    let client = App::register(&app, metadata).await;
    let alone = [("grant_type", "client_credentials")];
    let try_with = |key: &Key| {
        let assertion = key.assert(&Key::assertion_claims(&client.id));
        let client = client.clone();
        async move { client.token(&asserted(&assertion, &alone)).await }
    };
    for _ in 0..2 {
        try_with(&first).await.expect(200);
    }
    assert_eq!(site.asked("/keys"), 1);
    let refused = try_with(&second).await;
    refused.expect_error(401, "invalid_client");
    assert_eq!(site.asked("/keys"), 1, "not within seconds");
    site.put("/keys", Page::json(&second.jwks("k1"), 3_600));
    tokio::time::sleep(Duration::from_millis(5_100)).await;
    try_with(&second).await.expect(200);
    assert_eq!(site.asked("/keys"), 2);
    let refused = try_with(&first).await;
    refused.expect_error(401, "invalid_client");
    let refused = try_with(&third).await;
    refused.expect_error(401, "invalid_client");
    assert_eq!(site.asked("/keys"), 2);
    // Whoever sends nonsense takes nobody's keys away, when no others can be had.
    let mut gone = Page::json(&json!({}), 0);
    gone.status = 503;
    site.put("/keys", gone);
    tokio::time::sleep(Duration::from_millis(5_100)).await;
    let refused = try_with(&third).await;
    refused.expect_error(401, "invalid_client");
    assert_eq!(site.asked("/keys"), 3);
    try_with(&second).await.expect(200);
}
