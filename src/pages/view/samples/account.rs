//! Samples of the account page.

use super::*;

impl Samples {
    fn account(&self, notice: Option<Notice>) -> Account {
        let device = |current| Device {
            id: self.data.token.to_owned(),
            words: self.data.agent.to_owned(),
            client_name: self.data.client.to_owned(),
            address: Some("203.0.113.7".to_owned()),
            signed_in_at: Self::moment(),
            last_seen_at: Self::moment(),
            current,
        };
        Account {
            frame: self.frame(),
            csrf: self.data.token.to_owned(),
            email: self.email(),
            notice,
            profile: ProfileForm {
                name: self.data.name.to_owned(),
                name_problem: None,
                locale: Some("ko".to_owned()),
            },
            password: PasswordForm::default(),
            devices: vec![device(true), device(false), device(false)],
            apps: vec![App {
                client_id: self.data.token.to_owned(),
                name: self.data.client.to_owned(),
                scopes: self.scopes(),
                since: Self::moment(),
            }],
        }
    }

    pub(super) fn accounts(&self) -> Rendered {
        let problems = Account {
            profile: ProfileForm {
                name: self.data.name.to_owned(),
                name_problem: Some(FieldProblem::TooLong),
                locale: Some(self.data.token.to_owned()),
            },
            password: PasswordForm {
                current_problem: Some(FieldProblem::WrongPassword),
                new_problem: Some(FieldProblem::TooShort),
            },
            devices: Vec::new(),
            apps: Vec::new(),
            ..self.account(None)
        };
        vec![
            ("account", self.account(None).render()),
            ("account-saved", self.account(Some(Notice::Saved)).render()),
            (
                "account-password-changed",
                self.account(Some(Notice::PasswordChanged)).render(),
            ),
            (
                "account-signed-out",
                self.account(Some(Notice::DeviceSignedOut)).render(),
            ),
            (
                "account-others-signed-out",
                self.account(Some(Notice::OthersSignedOut)).render(),
            ),
            (
                "account-withdrawn",
                self.account(Some(Notice::AccessWithdrawn)).render(),
            ),
            ("account-problems", problems.render()),
        ]
    }
}
