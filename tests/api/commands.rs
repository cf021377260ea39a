//! The commands, run as an operator would.

use std::process::Output;

use serde_json::{Value, json};

use crate::harness::{
    MASTER_KEY, Person, Process, TestApp, create_database, create_empty_database, directory, run,
};

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn refused(output: &Output, reason: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(reason), "{said} should say {reason}");
    assert_eq!(said.lines().count(), 1, "one line: {said}");
}

/// Commands against a migrated database.
struct Operator {
    database: String,
    directory: tempfile::TempDir,
}

impl Operator {
    fn new() -> Self {
        Self {
            database: create_database(),
            directory: directory(),
        }
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let environment = [
            ("DATABASE_URL", self.database.as_str()),
            ("TOLLGATE_MASTER_KEY", MASTER_KEY),
        ];
        run(self.directory.path(), &environment, arguments, input)
    }

    #[track_caller]
    fn done(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        text(&output)
    }
}

#[tokio::test]
async fn accounts_and_roles_from_the_command_line() {
    let operator = Operator::new();
    operator.done(
        &[
            "role",
            "set",
            "editor",
            "--scope",
            "articles:edit",
            "--scope",
            "users:read",
            "--description",
            "Edits",
        ],
        "",
    );
    let created = operator.done(
        &[
            "user",
            "create",
            "--email",
            "Ada@example.com",
            "--password-stdin",
            "--role",
            "editor",
            "--verified",
        ],
        "correct horse battery staple\n",
    );
    let id = created.trim();
    let generated = operator.done(&["user", "create", "--email", "bob@example.com"], "");
    assert!(generated.contains("password "), "{generated}");

    let app =
        TestApp::on_database(&operator.database, &[("TOLLGATE_LIMITS__ENABLED", "false")]).unwrap();
    let ada = Person::sign_in(
        &app,
        "ada@example.com",
        "correct horse battery staple",
        None,
    )
    .await;
    let me = ada.get("/v1/users/me").await.expect(200);
    assert_eq!(
        (me.at("/id"), me.at("/roles"), me.at("/email_verified")),
        (json!(id), json!(["editor", "user"]), json!(true))
    );
    ada.get("/v1/users").await.expect(200);
    let password = generated
        .split("password ")
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap();
    Person::sign_in(&app, "bob@example.com", password, None).await;

    let listed: Value =
        serde_json::from_str(&operator.done(&["user", "list", "--json"], "")).unwrap();
    assert!(
        listed
            .as_array()
            .unwrap()
            .iter()
            .any(|user| user["email"] == "ada@example.com")
    );
    assert!(
        operator
            .done(&["user", "list"], "")
            .contains("ada@example.com  enabled  editor,user")
    );
    let roles: Value =
        serde_json::from_str(&operator.done(&["role", "list", "--json"], "")).unwrap();
    assert_eq!(roles.as_array().unwrap().len(), 3);

    operator.done(&["user", "password", id], "another long sentence\n");
    ada.refresh().await.expect_problem(401, "invalid-grant");
    let ada = Person::sign_in(&app, "ada@example.com", "another long sentence", None).await;
    operator.done(&["user", "disable", id], "");
    ada.refresh().await.expect_problem(401, "invalid-grant");

    refused(
        &operator.run(&["user", "create", "--email", "ada@example.com"], ""),
        "email-taken",
    );
    refused(
        &operator.run(
            &[
                "user",
                "create",
                "--email",
                "c@example.com",
                "--password-stdin",
            ],
            "password\n",
        ),
        "password: among",
    );
    refused(
        &operator.run(
            &[
                "user",
                "create",
                "--email",
                "d@example.com",
                "--role",
                "nobody",
            ],
            "",
        ),
        "not-found",
    );
    assert!(
        !operator
            .done(&["user", "list"], "")
            .contains("d@example.com"),
        "all or nothing"
    );
    refused(
        &operator.run(&["role", "delete", "editor"], ""),
        "role-in-use",
    );
    refused(
        &operator.run(&["role", "delete", "admin"], ""),
        "role-built-in",
    );
    refused(
        &operator.run(
            &["user", "disable", "01a20bf4-4417-720b-a398-ade7a859a777"],
            "",
        ),
        "not-found",
    );
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let directory = directory();
    for arguments in [
        ["nonsense"].as_slice(),
        &["user", "create"],
        &["user", "create", "--email", "nonsense"],
        &["role", "set", "x"],
    ] {
        assert_eq!(
            run(directory.path(), &[], arguments, "").status.code(),
            Some(2),
            "{arguments:?}"
        );
    }
    let help = run(directory.path(), &[], &["--help"], "");
    assert!(
        help.status.success()
            && text(&help).contains("serve")
            && !text(&help).contains("guard-postgres")
    );
    assert!(text(&run(directory.path(), &[], &["--version"], "")).starts_with("tollgate 0."));
}

#[test]
fn the_configuration_is_shown_redacted_and_checked() {
    let directory = directory();
    let environment = [
        ("TOLLGATE_MASTER_KEY", MASTER_KEY),
        ("DATABASE_URL", "postgres://u:canary@h/d"),
        ("TOLLGATE_LISTEN", "localhost:9999"),
    ];
    let shown = run(directory.path(), &environment, &["config", "show"], "");
    assert!(shown.status.success());
    let table: toml::Table = text(&shown).parse().unwrap();
    assert_eq!(table["server"]["listen"].as_str(), Some("localhost:9999"));
    assert!(!text(&shown).contains("canary") && !text(&shown).contains(MASTER_KEY));
    assert!(
        run(directory.path(), &environment, &["config", "check"], "")
            .status
            .success()
    );
    std::fs::write(
        directory.path().join("tollgate.toml"),
        "[users]\nsign_up = \"maybe\"\n",
    )
    .unwrap();
    refused(
        &run(directory.path(), &[], &["config", "check"], ""),
        "users.sign_up",
    );
    refused(
        &run(
            directory.path(),
            &[],
            &["--config", "missing.toml", "serve"],
            "",
        ),
        "missing.toml",
    );
    let other = directory.path().join("other.toml");
    std::fs::write(&other, "[users]\nsign_up = \"closed\"\n").unwrap();
    let shown = run(
        directory.path(),
        &[],
        &["--config", "other.toml", "config", "show"],
        "",
    );
    assert!(text(&shown).contains("sign_up = \"closed\""));
}

#[test]
fn production_demands_what_it_needs() {
    let directory = directory();
    let issuer = ("TOLLGATE_ISSUER", "https://auth.example.com");
    let database = ("DATABASE_URL", "postgres://u@h/d");
    let master = ("TOLLGATE_MASTER_KEY", MASTER_KEY);
    refused(
        &run(directory.path(), &[issuer], &["serve"], ""),
        "DATABASE_URL",
    );
    refused(
        &run(directory.path(), &[issuer, database], &["serve"], ""),
        "TOLLGATE_MASTER_KEY",
    );
    refused(
        &run(
            directory.path(),
            &[
                issuer,
                database,
                master,
                ("TOLLGATE_LIMITS__ENABLED", "false"),
            ],
            &["serve"],
            "",
        ),
        "limits.enabled",
    );
    refused(
        &run(
            directory.path(),
            &[("TOLLGATE_MODE", "production")],
            &["serve"],
            "",
        ),
        "server.issuer",
    );
    refused(
        &run(
            directory.path(),
            &[("TOLLGATE_ISSUER", "http://auth.example.com")],
            &["serve"],
            "",
        ),
        "https://",
    );
    for issuer in [
        "https://example.com/auth",
        "https://example.com/",
        "https://example.com?x",
    ] {
        let environment = [("TOLLGATE_ISSUER", issuer)];
        let output = run(directory.path(), &environment, &["serve"], "");
        refused(&output, "an origin of its own");
    }
}

#[test]
fn key_01_key_02_weak_secrets_stop_the_start() {
    let database = create_database();
    let directory = directory();
    let pem = "LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KTUlJQklqQU5CZ2txaGtpRzl3MEJBUUVGQUFPQ0FROEFNSUlCQ2dLQ0FRRUEK";
    for (secret, reason) in [
        ("c2hvcnQ=", "too short"),
        ("", "too short"),
        (
            "eW91ci1zdXBlci1zZWNyZXQtand0LXRva2VuLXdpdGgtYXQtbGVhc3QtMzItY2hhcmFjdGVycy1sb25n",
            "published default",
        ),
        (
            "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=",
            "published default",
        ),
        (pem, "PEM, DER or JWK"),
        ("-----BEGIN PUBLIC KEY-----", "PEM, DER or JWK"),
        ("{\"kty\":\"oct\",\"k\":\"AAAA\"}", "PEM, DER or JWK"),
    ] {
        std::fs::write(
            directory.path().join("tollgate.toml"),
            format!("[tokens]\nalgorithm = \"HS256\"\nhs256_secret = '{secret}'\n"),
        )
        .unwrap();
        let environment = [
            ("DATABASE_URL", database.as_str()),
            ("TOLLGATE_MASTER_KEY", MASTER_KEY),
        ];
        let output = run(directory.path(), &environment, &["serve"], "");
        refused(&output, "tokens.hs256_secret");
        refused(&output, reason);
    }
}

#[test]
fn key_01_a_stored_rsa_key_that_is_weak_stops_the_start() {
    // A PrivateKeyInfo whose modulus has 1024 bits; sealed as a key of ours would be.
    let der = |tag: u8, content: &[u8]| {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82], length.as_slice(), content].concat()
    };
    let numbers = [der(2, &[0]), der(2, &[0xff; 128]), der(2, &[1, 0, 1])].concat();
    let weak = der(
        0x30,
        &[der(2, &[0]), der(0x30, &[]), der(4, &der(0x30, &numbers))].concat(),
    );
    let sealed = tollgate::keys::MasterKeys::parse(MASTER_KEY)
        .unwrap()
        .seal("weak", &weak)
        .unwrap();
    let hex: String = sealed.iter().map(|byte| format!("{byte:02x}")).collect();
    let operator = Operator::new();
    crate::harness::query(
        &operator.database,
        &format!(
            "insert into signing_keys (kid, purpose, algorithm, state, sealed) values ('weak', 'access', 'RS256', 'active', '\\x{hex}')"
        ),
    );
    refused(
        &operator.run(&["serve"], ""),
        "key weak: an RSA key of 1024 bits is too short",
    );
}

#[test]
fn key_07_a_master_key_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;

    let database = create_empty_database();
    let directory = directory();
    let environment = [("DATABASE_URL", database.as_str())];
    assert!(
        run(
            directory.path(),
            &environment,
            &["token", "inspect", "x"],
            ""
        )
        .status
        .code()
            == Some(1)
    );
    let file = directory.path().join(".tollgate/master.key");
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    refused(
        &run(directory.path(), &environment, &["serve"], ""),
        "chmod 600",
    );
}

#[tokio::test]
async fn tokens_are_looked_into() {
    let operator = Operator::new();
    let app = TestApp::on_database(&operator.database, &[]).unwrap();
    let ada = app.person().await;
    let environment = [
        ("DATABASE_URL", operator.database.as_str()),
        ("TOLLGATE_MASTER_KEY", MASTER_KEY),
        ("TOLLGATE_ISSUER", "http://localhost:8080"),
    ];
    let inspect = |token: &str| {
        run(
            operator.directory.path(),
            &environment,
            &["token", "inspect", token],
            "",
        )
    };
    for token in [ada.access_token(), ada.refresh_token()] {
        let output = inspect(token);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let report: Value = serde_json::from_str(&text(&output)).unwrap();
        assert_eq!(
            (&report["claims"]["sub"], &report["refused"]),
            (&json!(ada.id()), &Value::Null)
        );
    }
    let count = "select count(*)::text as value from users";
    let empty = create_empty_database();
    let elsewhere = [
        ("DATABASE_URL", empty.as_str()),
        ("TOLLGATE_MASTER_KEY", MASTER_KEY),
    ];
    run(
        operator.directory.path(),
        &elsewhere,
        &["token", "inspect", "x.y.z"],
        "",
    );
    assert_eq!(
        crate::harness::query_value(&empty, count),
        "0",
        "looking makes no administrator"
    );
    let broken = inspect(&format!("{}AA", ada.access_token()));
    assert_eq!(broken.status.code(), Some(1));
    assert!(
        text(&broken).contains("\"refused\": \"the token's signature is wrong\""),
        "{}",
        text(&broken)
    );
}

#[test]
fn the_openapi_document_is_printed_and_compared() {
    let directory = directory();
    let printed = text(&run(directory.path(), &[], &["openapi"], ""));
    assert_eq!(
        printed,
        std::fs::read_to_string("openapi/openapi.json").unwrap()
    );
    let file = directory.path().join("openapi.json");
    std::fs::write(&file, &printed).unwrap();
    assert!(
        run(
            directory.path(),
            &[],
            &["openapi", "--check", "openapi.json"],
            ""
        )
        .status
        .success()
    );
    std::fs::write(&file, printed + " ").unwrap();
    refused(
        &run(
            directory.path(),
            &[],
            &["openapi", "--check", "openapi.json"],
            "",
        ),
        "openapi.json",
    );
}

#[test]
fn migrate_prepares_an_empty_database() {
    let database = create_empty_database();
    let directory = directory();
    for _ in 0..2 {
        let output = run(
            directory.path(),
            &[("DATABASE_URL", &database)],
            &["migrate"],
            "",
        );
        assert_eq!(
            text(&output),
            "the database is up to date\n",
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    refused(
        &run(
            directory.path(),
            &[("DATABASE_URL", "postgres://nobody@/none?host=/nonexistent")],
            &["migrate"],
            "",
        ),
        "Postgres can't be reached",
    );
}

#[test]
fn the_banner_is_what_a_newcomer_needs() {
    let server = Process::start(&[]);
    let lines = server.banner();
    assert_eq!(lines.len(), 6, "{lines:?}");
    assert_eq!(
        lines[0],
        concat!("tollgate ", env!("CARGO_PKG_VERSION"), ", development mode")
    );
    assert!(server.says("docs").unwrap().ends_with("/docs"));
    let database = server.says("database").unwrap();
    assert!(
        database.starts_with("private Postgres 1")
            && database.contains(".tollgate/postgres (set DATABASE_URL"),
        "{database}"
    );
    let admin = server.says("admin").unwrap();
    assert!(
        admin.starts_with("admin@localhost, password ")
            && admin.ends_with("(shown once; stored nowhere)"),
        "{admin}"
    );
    assert_eq!(server.log(), "", "nothing else until the first request");
    let (code, directory) = server.stop(rustix::process::Signal::TERM);
    assert_eq!(code, Some(0));
    let again = Process::start_in(directory, &[]);
    assert!(again.says("admin").is_none(), "shown once");
    let ready = reqwest::get(format!("{}/readyz", again.address()));
    let ready = tokio::runtime::Runtime::new().unwrap().block_on(ready);
    assert_eq!(ready.unwrap().status(), 200, "it was read, so it is ready");
}

#[test]
fn collections_from_the_command_line() {
    let operator = Operator::new();
    let examples: Vec<_> = ["customers", "orders", "products"]
        .iter()
        .map(|name| format!("{}/examples/shop/{name}.json", env!("CARGO_MANIFEST_DIR")))
        .collect();
    let mut apply = vec!["collection", "apply"];
    apply.extend(examples.iter().map(String::as_str));
    let said = operator.done(&apply, "");
    assert_eq!(said.lines().count(), 3, "{said}");
    assert!(said.starts_with("customers: declared, version "), "{said}");
    let said = operator.done(&apply, "");
    assert!(said.contains("orders: declared anew, version "), "{said}");
    let listed = operator.done(&["collection", "list"], "");
    assert_eq!(
        listed,
        "customers  Customer\norders  Order\nproducts  Product\n"
    );
    let shown: Value =
        serde_json::from_str(&operator.done(&["collection", "show", "orders"], "")).unwrap();
    assert_eq!(shown["type_name"], "Order");

    let directory = operator.directory.path();
    let write = |name: &str, text: String| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let mut broken = shown.clone();
    broken["rules"]["read"] = json!("record.pricee > 1");
    let file = write("orders.json", broken.to_string());
    let refusal = operator.run(&["collection", "apply", &file], "");
    refused(&refusal, "/rules/read: line 1, column 8");
    let file = write("Orders.json", shown.to_string());
    refused(
        &operator.run(&["collection", "apply", &file], ""),
        "lower-case",
    );
    let file = write("notes.json", "{}".to_owned());
    refused(
        &operator.run(&["collection", "apply", &file], ""),
        "type_name",
    );
    let missing = operator.run(&["collection", "show", "notes"], "");
    refused(&missing, "there is no collection notes");

    let dry = operator.done(&["collection", "apply", "--dry-run", &examples[1]], "");
    assert_eq!(dry, "orders: 0 of 0 records don't fit\n");
    let unconfirmed = ["collection", "delete", "orders", "--confirm", "order"];
    refused(&operator.run(&unconfirmed, ""), "repeat the name");
    operator.done(
        &["collection", "delete", "orders", "--confirm", "orders"],
        "",
    );
    assert!(
        !operator
            .done(&["collection", "list"], "")
            .contains("orders")
    );
}

#[tokio::test]
async fn records_go_out_and_in_by_command() {
    let operator = Operator::new();
    let app = TestApp::on_database(&operator.database, &[]).unwrap();
    let shop = crate::harness::Shop::open(&app, |_| {}).await;
    let other = crate::harness::Shop::open(&app, |_| {}).await;
    let (ada, gone) = (app.person().await, app.person().await);
    let made = shop
        .make(&ada, json!({"title": "Ink", "price": 12.50}))
        .await;
    let path = shop.record(&made["id"]);
    let changed = ada
        .patch(&path, json!({"price": 13}))
        .await
        .expect(200)
        .json();
    let hers = shop.make(&gone, json!({"title": "hers"})).await;
    let exported = operator.done(&["collection", "export", &shop.name], "");
    let lines: Vec<Value> = exported
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines, [changed.clone(), hers.clone()]);

    gone.delete(&format!("/v1/users/{}", gone.id()))
        .await
        .expect(204);
    let import = ["collection", "import", &other.name];
    let said = operator.done(&import, &exported);
    assert_eq!(said, format!("{}: 2 stored, 0 were there\n", other.name));
    let said = operator.done(&import, &exported);
    assert_eq!(said, format!("{}: 0 stored, 2 were there\n", other.name));
    // As it was, to the version.
    assert_eq!(
        ada.get(&other.record(&made["id"])).await.expect(200).json(),
        changed
    );
    let exported = operator.done(&["collection", "export", &other.name], "");
    let kept: Value = serde_json::from_str(exported.lines().last().unwrap()).unwrap();
    assert_eq!((&kept["id"], &kept["owner"]), (&hers["id"], &Value::Null));

    let file = operator.directory.path().join("bad.ndjson");
    std::fs::write(
        &file,
        format!("{}\n{{\"title\": 7}}\n", exported.lines().next().unwrap()),
    )
    .unwrap();
    let file = file.to_str().unwrap();
    refused(
        &operator.run(&["collection", "import", &shop.name, file], ""),
        "line 2",
    );
    refused(
        &operator.run(&["collection", "export", "nothing"], ""),
        "There is nothing here",
    );
    // What the feed knows includes what was imported.
    let changes = ada
        .get(&format!(
            "/v1/changes?collection={}&since={}",
            other.name,
            position_of(&app)
        ))
        .await
        .expect(200)
        .json();
    assert_eq!(changes["items"][0]["record"], changed);
}

/// The beginning of the feed.
fn position_of(app: &TestApp) -> String {
    crate::harness::query_value(
        app.database(),
        "select epoch || '/0' as value from feed_state",
    )
}
