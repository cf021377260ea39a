//! Samples of signing in and up.

use super::*;

impl Samples {
    fn asking(&self, who: Who, notice: Option<Notice>) -> SignIn {
        SignIn {
            frame: self.frame(),
            hidden: self.hidden(),
            client: Some(self.client(false)),
            who,
            notice,
            sign_up: true,
            upstreams: Vec::new(),
        }
    }

    pub(super) fn sign_in(&self) -> Rendered {
        let anyone = |email: &str| Who::Anyone {
            email: email.to_owned(),
        };
        let known = Who::Known {
            email: self.email(),
        };
        let upstream = |id: &str, name: &str| Upstream {
            id: id.to_owned(),
            name: name.to_owned(),
        };
        let alone = SignIn {
            hidden: Hidden {
                request: None,
                ..self.hidden()
            },
            client: None,
            sign_up: false,
            ..self.asking(anyone(""), None)
        };
        let upstreams = SignIn {
            upstreams: vec![
                upstream(self.data.token, self.data.client),
                upstream("b", "GitHub"),
            ],
            ..self.asking(anyone(self.data.email), None)
        };
        let confirm_alone = SignIn {
            client: None,
            ..self.asking(known.clone(), Some(Notice::WrongPassword))
        };
        vec![
            ("sign-in", self.asking(anyone(""), None).render()),
            ("sign-in-alone", alone.render()),
            ("sign-in-upstreams", upstreams.render()),
            ("confirm", self.asking(known, None).render()),
            ("confirm-wrong", confirm_alone.render()),
        ]
    }

    pub(super) fn sign_in_notices(&self) -> Rendered {
        [
            ("sign-in-wrong", Notice::WrongCredentials),
            ("sign-in-too-many", Notice::TooManyTries { seconds: 240 }),
            ("sign-in-overloaded", Notice::Overloaded),
            ("sign-in-session", Notice::SessionExpired),
            ("sign-in-form", Notice::FormExpired),
            ("sign-in-upstream-failed", Notice::UpstreamFailed),
        ]
        .map(|(name, notice)| {
            let email = self.email();
            let page = self.asking(Who::Anyone { email }, Some(notice));
            (name, page.render())
        })
        .to_vec()
    }

    pub(super) fn sign_up(&self) -> Rendered {
        let page = || SignUp {
            frame: self.frame(),
            hidden: self.hidden(),
            client: Some(self.client(false)),
            name: String::new(),
            email: String::new(),
            name_problem: None,
            email_problem: None,
            password_problem: None,
            notice: None,
        };
        vec![
            ("sign-up", page().render()),
            (
                "sign-up-problems",
                SignUp {
                    name: self.data.name.to_owned(),
                    email: self.email(),
                    name_problem: Some(FieldProblem::TooLong),
                    email_problem: Some(FieldProblem::Taken),
                    password_problem: Some(FieldProblem::Guessable),
                    ..page()
                }
                .render(),
            ),
        ]
    }

    pub(super) fn links(&self) -> Rendered {
        vec![
            (
                "link",
                Link {
                    frame: self.frame(),
                    hidden: self.hidden(),
                    email: self.email(),
                    provider: self.data.client.to_owned(),
                    notice: Some(Notice::WrongPassword),
                }
                .render(),
            ),
            (
                "select-account",
                SelectAccount {
                    frame: self.frame(),
                    hidden: self.hidden(),
                    client: Some(self.client(false)),
                    email: self.email(),
                    name: Some(self.data.name.to_owned()),
                }
                .render(),
            ),
        ]
    }
}
