//! Samples of consent, devices, signing out and failures.

use super::*;

impl Samples {
    pub(super) fn consents(&self) -> Rendered {
        let consent = |unverified| Consent {
            frame: self.frame(),
            hidden: self.hidden(),
            client: self.client(unverified),
            email: self.email(),
            scopes: self.scopes(),
            resource: None,
            redirect_host: self.data.host.to_owned(),
        };
        let elsewhere = Consent {
            resource: Some(format!("https://api.{}/v1", self.data.host)),
            ..consent(true)
        };
        let nothing = Consent {
            scopes: Vec::new(),
            ..consent(false)
        };
        vec![
            ("consent", consent(false).render()),
            ("consent-unverified", elsewhere.render()),
            ("consent-no-scopes", nothing.render()),
        ]
    }

    pub(super) fn sign_outs(&self) -> Rendered {
        let fields = ["state", self.data.token]
            .map(|name| (name.to_owned(), self.data.token.to_owned()))
            .to_vec();
        let client_name = self.data.client.to_owned();
        let sign_out = |client_name| SignOut {
            frame: self.frame(),
            csrf: self.data.token.to_owned(),
            email: Some(self.email()),
            client_name,
            fields: fields.clone(),
        };
        let signed_out = |back| SignedOut {
            frame: self.frame(),
            back,
        };
        let mut pages = vec![
            ("sign-out", sign_out(Some(client_name.clone())).render()),
            ("sign-out-own", sign_out(None).render()),
            ("signed-out", signed_out(None).render()),
        ];
        if let Some(target) = Target::parse(&format!("https://a.example/?{}", self.data.token)) {
            let back = Back {
                client_name: client_name.clone(),
                target: target.clone(),
            };
            let form_post = FormPost {
                frame: self.frame(),
                client_name,
                action: target,
                fields,
            };
            pages.push(("signed-out-back", signed_out(Some(back)).render()));
            pages.push(("form-post", form_post.render()));
        }
        pages
    }

    pub(super) fn devices(&self) -> Rendered {
        let code = |code: &str, notice| DeviceCode {
            frame: self.frame(),
            hidden: Hidden {
                request: None,
                ..self.hidden()
            },
            code: code.to_owned(),
            notice,
        };
        let confirm = |unverified, code: &str| DeviceConfirm {
            frame: self.frame(),
            hidden: self.hidden(),
            code: code.to_owned(),
            client: self.client(unverified),
            email: self.email(),
            scopes: self.scopes(),
            origin: DeviceOrigin {
                address: Some("2001:db8:85a3:8d3:1319:8a2e:370:7348".to_owned()),
                agent: Some(self.data.agent.to_owned()),
                at: Self::moment(),
            },
        };
        let done = |outcome| DeviceDone {
            frame: self.frame(),
            outcome,
        };
        vec![
            ("device", code("", None).render()),
            (
                "device-unknown",
                code("wdjbmjht", Some(Notice::UnknownCode)).render(),
            ),
            (
                "device-too-many",
                code(self.data.token, Some(Notice::TooManyTries { seconds: 30 })).render(),
            ),
            ("device-confirm", confirm(false, "WDJBMJHT").render()),
            (
                "device-confirm-unverified",
                confirm(true, self.data.token).render(),
            ),
            ("device-allowed", done(Outcome::Allowed).render()),
            ("device-denied", done(Outcome::Denied).render()),
        ]
    }

    pub(super) fn failures(&self) -> Rendered {
        let address = Target::parse(&format!("https://a.example/?{}", self.data.token));
        let onward = address.map(|target| Back {
            client_name: self.data.host.to_owned(),
            target,
        });
        [
            ("failure-client", FailureKind::BadClient),
            ("failure-redirect", FailureKind::BadRedirectUri),
            ("failure-request", FailureKind::BadRequest),
            ("failure-stranger", FailureKind::StrangerRefused),
            ("failure-expired", FailureKind::RequestExpired),
            ("failure-form", FailureKind::FormExpired),
            ("failure-no-address", FailureKind::NoAddress),
            ("failure-closed", FailureKind::SignUpClosed),
            ("failure-not-found", FailureKind::NotFound),
            ("failure-too-many", FailureKind::TooManyRequests),
            ("failure-trouble", FailureKind::ServerTrouble),
        ]
        .map(|(name, kind)| {
            let page = Failure {
                frame: self.frame(),
                kind,
                code: if self.data.token == HOSTILE {
                    HOSTILE
                } else {
                    "invalid_request"
                }
                .to_owned(),
                detail: Some(format!(
                    "redirect_uri is not registered: https://{}/cb",
                    self.data.host
                )),
                onward: onward
                    .clone()
                    .filter(|_| kind == FailureKind::StrangerRefused),
                request_id: Some("019a1f2e-7c5b-7d10-9a44-52b7d0c1e9aa".to_owned()),
            };
            (name, page.render())
        })
        .to_vec()
    }
}
