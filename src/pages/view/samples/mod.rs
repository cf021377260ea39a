//! Every page in every state, with friendly and with hostile data.

use chrono::{DateTime, Utc};

mod account;
mod others;
mod sign_in;

use super::*;

const HOSTILE: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>";

/// Whose data the pages show.
#[derive(Clone, Copy)]
pub struct Data {
    /// What the service is called.
    pub service: &'static str,
    /// What the app is called.
    pub client: &'static str,
    /// The app's host.
    pub host: &'static str,
    /// The user's address.
    pub email: &'static str,
    /// The user's name.
    pub name: &'static str,
    /// What a device calls itself.
    pub agent: &'static str,
    /// What stands in fields that people never type.
    pub token: &'static str,
}

/// What most people see.
pub const FRIENDLY: Data = Data {
    service: "Tollgate",
    client: "Field Notes",
    host: "notes.example",
    email: "ada@example.com",
    name: "Ada Lovelace",
    agent: "Firefox on Linux",
    token: "c5PZ",
};

/// What takes room: long names, long addresses, a script from right to left.
pub const LONG: Data = Data {
    service: "Städtische Bibliotheken Donauwörth-Ingolstadt",
    client: "مدير الملاحظات والمهام اليومية للفريق ٤٠",
    host: "a-very-long-subdomain-of-a-customer.production.notes-and-tasks.example",
    email: "wolfeschlegelsteinhausenbergerdorff.the.elder.of.1904.in.philadelphia@mail.example-university.museum",
    name: "Hubert Blaine Wolfeschlegelsteinhausenbergerdorff Sr.",
    agent: "Mozilla/5.0 (compatible; AcmeTelevisionSetTopBoxBrowserWithoutAnySpaces/2026.11)",
    token: "c5PZ",
};

/// What an attacker sends.
pub const EVIL: Data = Data {
    service: HOSTILE,
    client: HOSTILE,
    host: HOSTILE,
    email: HOSTILE,
    name: HOSTILE,
    agent: HOSTILE,
    token: HOSTILE,
};

/// Renders every page in every state, as name and HTML.
pub fn all(language: Language, data: Data) -> Vec<(String, String)> {
    let samples = Samples { language, data };
    let mut pages = samples.sign_in();
    pages.extend(samples.sign_in_notices());
    pages.extend(samples.sign_up());
    pages.extend(samples.links());
    pages.extend(samples.consents());
    pages.extend(samples.sign_outs());
    pages.extend(samples.devices());
    pages.extend(samples.failures());
    pages.extend(samples.accounts());
    pages
        .into_iter()
        .map(|(name, html)| (name.to_owned(), html))
        .collect()
}

struct Samples {
    language: Language,
    data: Data,
}

type Rendered = Vec<(&'static str, String)>;

impl Samples {
    fn frame(&self) -> Frame {
        Frame {
            language: self.language,
            service: self.data.service.to_owned(),
        }
    }

    fn hidden(&self) -> Hidden {
        Hidden {
            csrf: self.data.token.to_owned(),
            request: Some(self.data.token.to_owned()),
        }
    }

    fn client(&self, unverified: bool) -> Client {
        Client {
            name: self.data.client.to_owned(),
            host: Some(self.data.host.to_owned()),
            unverified,
        }
    }

    fn email(&self) -> String {
        self.data.email.to_owned()
    }

    fn scopes(&self) -> Vec<String> {
        [
            "openid",
            "profile",
            "email",
            "offline_access",
            "records:write",
            "orders:approve",
        ]
        .map(str::to_owned)
        .into_iter()
        .chain((self.data.token == HOSTILE).then(|| HOSTILE.to_owned()))
        .collect()
    }

    fn moment() -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_512_345, 0).unwrap_or_default()
    }
}
