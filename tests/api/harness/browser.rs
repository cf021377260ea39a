//! A person with a browser: it keeps cookies, follows redirects inside our origin, and sends forms of our pages.

use std::collections::BTreeMap;

use super::{PASSWORD, Person, Response, TestApp, client_without_redirects};

/// Where the test servers believe to be.
pub const ISSUER: &str = "http://localhost:8080";

/// What a browser sends to a client at the end: an address, or the fields of a form.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The whole address.
    pub location: String,
    /// Its parameters.
    pub parameters: BTreeMap<String, String>,
}

impl Answer {
    /// Reads the query of an address.
    pub fn of(location: &str) -> Self {
        let query = location.split_once('?').map_or("", |(_, query)| query);
        Self {
            location: location.to_owned(),
            parameters: form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
        }
    }

    /// A parameter; empty when it is not there.
    pub fn get(&self, name: &str) -> &str {
        self.parameters
            .get(name)
            .map(String::as_str)
            .unwrap_or_default()
    }

    /// The code that has to be there.
    #[track_caller]
    pub fn code(&self) -> &str {
        assert_eq!(self.get("error"), "", "{self:?}");
        let code = self.get("code");
        assert!(!code.is_empty(), "{self:?}");
        code
    }
}

/// What somebody sees and where.
#[derive(Debug)]
pub struct Seen {
    /// The address inside our origin.
    pub path: String,
    pub response: Response,
}

impl Seen {
    /// The value of a hidden field.
    pub fn hidden(&self, name: &str) -> Option<String> {
        hidden(&self.response.text(), name)
    }
}

/// The value of a hidden field, which holds nothing that HTML would escape.
pub fn hidden(html: &str, name: &str) -> Option<String> {
    let (_, rest) = html.split_once(&format!("name=\"{name}\" value=\""))?;
    Some(rest.split_once('"')?.0.to_owned())
}

/// A browser without a screen.
pub struct Browser {
    app: TestApp,
    client: reqwest::Client,
    issuer: String,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    pub fn new(app: &TestApp) -> Self {
        Self::at(app, ISSUER)
    }

    /// One for a server that believes to be somewhere else.
    pub fn at(app: &TestApp, issuer: &str) -> Self {
        Self {
            app: app.clone(),
            client: client_without_redirects(),
            issuer: issuer.to_owned(),
            cookies: BTreeMap::new(),
        }
    }

    /// The same browser at another replica.
    pub fn moved(&self, app: &TestApp) -> Self {
        Self {
            cookies: self.cookies.clone(),
            ..Self::at(app, &self.issuer)
        }
    }

    /// The one cookie of our pages.
    pub fn cookie(&self) -> Option<(&str, &str)> {
        let mut cookies = self.cookies.iter();
        cookies
            .next()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Sets a cookie from outside.
    pub fn plant(&mut self, name: &str, value: &str) {
        self.cookies.insert(name.to_owned(), value.to_owned());
    }

    /// A request with the cookies.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self
            .client
            .request(method, format!("{}{path}", self.app.address()));
        if self.cookies.is_empty() {
            return request;
        }
        let pairs = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        request.header("cookie", pairs.collect::<Vec<_>>().join("; "))
    }

    /// Sends a request and keeps what cookies the answer sets; follows nothing.
    pub async fn send(&mut self, request: reqwest::RequestBuilder) -> Response {
        let response = Response::read(request.send().await.unwrap()).await;
        for cookie in response.headers().get_all("set-cookie") {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.plant(name, value);
            }
        }
        response
    }

    /// Gets a page; follows nothing.
    pub async fn get(&mut self, path: &str) -> Response {
        self.send(self.request("GET", path)).await
    }

    /// Sends a form as a page of ours would; follows nothing.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Response {
        let request = self.request("POST", path);
        self.send(self.own_form(request, fields)).await
    }

    /// A form with the headers that a browser sends along from our pages.
    pub fn own_form(
        &self,
        request: reqwest::RequestBuilder,
        fields: &[(&str, &str)],
    ) -> reqwest::RequestBuilder {
        request
            .header("origin", &self.issuer)
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(super::encoded(fields))
    }

    /// The path of an address inside our origin.
    pub fn own_path<'a>(&self, location: &'a str) -> Option<&'a str> {
        if location.starts_with('/') {
            return Some(location);
        }
        let path = location.strip_prefix(&self.issuer)?;
        path.starts_with('/').then_some(path)
    }

    /// Visits an address and follows redirects inside our origin; the answer when they lead out of it.
    pub async fn visit(&mut self, path: &str) -> Result<Seen, Answer> {
        let response = self.get(path).await;
        self.follow(path, response).await
    }

    /// Follows redirects inside our origin.
    pub async fn follow(&mut self, path: &str, response: Response) -> Result<Seen, Answer> {
        let (mut path, mut response) = (path.to_owned(), response);
        for _ in 0..8 {
            if !matches!(response.status(), 301..=308) {
                return Ok(Seen { path, response });
            }
            // After a form only 303 keeps what it held from going on (RFC 9700 section 4.12).
            assert_eq!(response.status(), 303, "{response:?}");
            let location = response.header("location").to_owned();
            match self.own_path(&location) {
                None => return Err(Answer::of(&location)),
                Some(next) => path = next.to_owned(),
            }
            response = self.get(&path).await;
        }
        panic!("redirects without end, lately to {path}");
    }

    /// Sends the form of a page with its hidden fields, and follows.
    pub async fn submit(
        &mut self,
        seen: &Seen,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Result<Seen, Answer> {
        let csrf = seen.hidden("csrf").unwrap_or_else(|| panic!("{seen:?}"));
        let request = seen.hidden("request");
        let mut all = vec![("csrf", csrf.as_str())];
        all.extend(request.as_deref().map(|request| ("request", request)));
        all.extend(fields);
        let response = self.post(path, &all).await;
        self.follow(path, response).await
    }

    /// Signs in on the page where it is asked for.
    pub async fn sign_in(&mut self, seen: &Seen, person: &Person) -> Result<Seen, Answer> {
        let fields = [("email", person.email()), ("password", PASSWORD)];
        self.submit(seen, "/oauth/sign-in", &fields).await
    }

    /// Signs in at our own pages.
    pub async fn signed_in(app: &TestApp, person: &Person) -> Self {
        let mut browser = Self::new(app);
        let page = browser.visit("/oauth/sign-in").await.unwrap();
        let account = browser.sign_in(&page, person).await.unwrap();
        assert_eq!(account.path, "/oauth/account");
        account.response.expect_page(200);
        browser
    }

    /// Does what the pages ask for, says yes to everything, until the client gets its answer.
    pub async fn authorize(&mut self, path: &str, person: &Person) -> Answer {
        let mut seen = match self.visit(path).await {
            Ok(seen) => seen,
            Err(answer) => return answer,
        };
        for _ in 0..5 {
            assert_eq!(seen.response.status(), 200, "{}", seen.response.text());
            let place = seen.path.split('?').next().unwrap().to_owned();
            let next = match place.as_str() {
                "/oauth/sign-in" => self.sign_in(&seen, person).await,
                "/oauth/consent" => {
                    let yes = [("decision", "allow")];
                    self.submit(&seen, "/oauth/consent", &yes).await
                }
                "/oauth/select-account" => {
                    let me = [("account", "current")];
                    self.submit(&seen, "/oauth/select-account", &me).await
                }
                other => panic!("{other} asks for something"),
            };
            match next {
                Ok(next) => seen = next,
                Err(answer) => return answer,
            }
        }
        panic!("{} comes again and again", seen.path);
    }
}

impl Response {
    /// Asserts that it is a page for people, which leads nowhere.
    #[track_caller]
    pub fn expect_page(&self, status: u16) -> &Self {
        assert_eq!(self.status(), status, "{}", self.text());
        assert_eq!(self.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(self.header("location"), "");
        self
    }

    /// Asserts that it is a refusal of RFC 6749 section 5.2, with nothing else in it and kept by nobody (`OAU-13`).
    #[track_caller]
    pub fn expect_error(self, status: u16, error: &str) -> Self {
        assert_eq!(self.status(), status, "{}", self.text());
        assert_eq!(self.at("/error"), error, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/json");
        assert_eq!(self.header("cache-control"), "no-store");
        let body = self.json();
        let members: Vec<_> = body.as_object().unwrap().keys().collect();
        assert_eq!(members, ["error", "error_description"]);
        self
    }
}
