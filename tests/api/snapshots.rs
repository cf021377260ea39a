//! What people read, as it is: a change must be seen and accepted (`INSTA_UPDATE=always cargo test snapshots`).

use crate::harness::{TestApp, directory, run};

#[test]
fn help() {
    let directory = directory();
    let mut pages = String::new();
    for arguments in [
        ["--help"].as_slice(),
        &["user", "--help"],
        &["user", "create", "--help"],
        &["role", "set", "--help"],
    ] {
        let page = run(directory.path(), &[], arguments, "");
        pages += &format!(
            "$ tollgate {}\n{}\n",
            arguments.join(" "),
            String::from_utf8_lossy(&page.stdout)
        );
    }
    insta::assert_snapshot!(pages);
}

#[test]
fn problems() {
    let lines: Vec<_> = tollgate::error::Code::ALL
        .iter()
        .map(|code| code.entry())
        .map(|entry| {
            format!(
                "{} {}\n  {}\n  {}",
                entry.status, entry.slug, entry.title, entry.cure
            )
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[tokio::test]
async fn bodies_of_an_account_and_its_session() {
    let app = TestApp::shared();
    let ada = app.person().await;
    insta::assert_json_snapshot!(ada.get("/v1/users/me").await.expect(200).json(), {
        ".id" => "[id]", ".email" => "[email]", ".created_at" => "[time]", ".updated_at" => "[time]", ".version" => "[version]",
    });
    insta::assert_json_snapshot!(ada.get("/v1/sessions/current").await.expect(200).json(), {
        ".id" => "[id]", ".user_id" => "[id]", ".auth_time" => "[time]",
        ".created_at" => "[time]", ".last_seen_at" => "[time]", ".expires_at" => "[time]",
    });
}
