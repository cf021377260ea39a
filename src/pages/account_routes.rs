//! The account of whoever is signed in: profile, password, devices, apps.

use actix_web::{HttpResponse, web};
use diesel::PgConnection;
use secrecy::SecretString;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Browser, PageFault, find_visitor,
    sign_in_routes::notice_of,
    view::{self, FieldProblem, Notice, PasswordForm, ProfileForm},
};
use crate::{
    audit::Actor,
    db::Window,
    error::{ApiError, Code},
    http::Form,
    oauth::{
        authorize::Visitor,
        consents::{self, ConsentRow},
        hop,
    },
    patch::Patch,
    precondition::Precondition,
    sessions::{self, EndReason, Lifetimes, SessionRow, account},
    tokens::{FIRST_PARTY_CLIENT, PAGES_CLIENT},
    users::{Account, Change, Reach, Ticket},
};

/// Devices that are shown.
const MOST_DEVICES: i64 = 100;

/// What became of the last form.
#[derive(Default)]
struct Told {
    notice: Option<Notice>,
    profile: Option<ProfileForm>,
    password: PasswordForm,
}

impl Told {
    fn notice(notice: Notice) -> Self {
        Self {
            notice: Some(notice),
            ..Self::default()
        }
    }

    fn is_wrong(&self) -> bool {
        self.profile.is_some()
            || self.password.current_problem.is_some()
            || self.password.new_problem.is_some()
    }
}

/// What the page shows.
struct Content {
    visitor: Visitor,
    devices: Vec<SessionRow>,
    apps: Vec<ConsentRow>,
}

impl Content {
    /// Reads it; `None` where nobody is signed in.
    fn find(
        conn: &mut PgConnection,
        cookie: Option<&[u8]>,
        lifetimes: Lifetimes,
    ) -> Result<Option<Self>, ApiError> {
        let Some(visitor) = find_visitor(conn, cookie, lifetimes)? else {
            return Ok(None);
        };
        let owner = visitor.account.user.id;
        let window = Window {
            after: None,
            rows: MOST_DEVICES,
        };
        Ok(Some(Self {
            devices: sessions::list(conn, owner, true, window)?,
            apps: consents::list(conn, owner)?,
            visitor,
        }))
    }
}

/// Shows the account.
pub async fn show_account(mut browser: Browser) -> HttpResponse {
    let answered = show(&mut browser, Told::default()).await;
    browser.answer(answered)
}

async fn show(browser: &mut Browser, told: Told) -> Result<HttpResponse, PageFault> {
    let (cookie, lifetimes) = (browser.cookie_hash(), browser.server().rules.lifetimes);
    let content = browser
        .app
        .db
        .run_again(move |conn| Content::find(conn, cookie.as_deref(), lifetimes))
        .await?;
    show_content(browser, content, told)
}

fn show_content(
    browser: &mut Browser,
    content: Option<Content>,
    told: Told,
) -> Result<HttpResponse, PageFault> {
    let Some(content) = content else {
        return Ok(browser.go("/oauth/sign-in"));
    };
    let user = content.visitor.account.user;
    browser.speak(user.locale.as_deref());
    let registry = browser.app.oauth.registry.clone();
    let name_of = |id: &str| match id {
        FIRST_PARTY_CLIENT | PAGES_CLIENT => browser.app.oauth.config.service_name.clone(),
        id => registry
            .find(id)
            .map_or_else(|| id.to_owned(), |client| client.name().to_owned()),
    };
    let language = browser.language();
    let own = content.visitor.page.id;
    let devices = content.devices.into_iter().map(|session| view::Device {
        id: session.id.to_string(),
        words: view::device_words(session.user_agent.as_deref(), language),
        client_name: name_of(&session.client_id),
        address: session.address,
        signed_in_at: session.created_at,
        last_seen_at: session.last_seen_at,
        current: session.id == own,
    });
    let apps = content.apps.into_iter().map(|consent| view::App {
        name: name_of(&consent.client_id),
        client_id: consent.client_id,
        scopes: consent.scopes,
        since: consent.created_at,
    });
    let (devices, apps) = (devices.collect(), apps.collect());
    let status = if told.is_wrong() { 422 } else { 200 };
    let page = view::Account {
        frame: browser.frame(),
        csrf: browser.csrf()?,
        email: user.email,
        notice: told.notice,
        profile: told.profile.unwrap_or_else(|| ProfileForm {
            name: user.name.unwrap_or_default(),
            name_problem: None,
            locale: user.locale,
        }),
        password: told.password,
        devices,
        apps,
    };
    Ok(browser.show(&page, status, None))
}

/// Does in one hop what a form of the page asks for, and reads what the page shows then.
async fn act<T, F>(
    browser: &Browser,
    work: F,
) -> Result<(Result<T, ApiError>, Option<Content>), PageFault>
where
    T: Send + 'static,
    F: FnOnce(&mut PgConnection, Uuid, &Actor) -> Result<T, ApiError> + Send + 'static,
{
    let (cookie, lifetimes) = (browser.cookie_hash(), browser.server().rules.lifetimes);
    let (actor, tokens) = (browser.actor.clone(), browser.app.tokens.clone());
    hop(&browser.app.db, move |conn| {
        let visitor = find_visitor(conn, cookie.as_deref(), lifetimes)?
            .ok_or_else(PageFault::form_expired)?;
        let owner = visitor.account.user.id;
        let actor = Actor {
            user_id: Some(owner),
            session_id: Some(visitor.page.id),
            client_id: Some(PAGES_CLIENT.to_owned()),
            ..actor
        };
        let done = match work(conn, owner, &actor) {
            Err(error) if error.is_ours() => return Err(error.into()),
            done => done,
        };
        // It may have ended sessions.
        tokens.catch_up(conn);
        let content = Content::find(conn, cookie.as_deref(), lifetimes)?;
        Ok::<_, PageFault>((done, content))
    })
    .await
}

/// Does what a form asks for, and shows the page that says so.
async fn act_and_show<F>(
    browser: &mut Browser,
    notice: Notice,
    work: F,
) -> Result<HttpResponse, PageFault>
where
    F: FnOnce(&mut PgConnection, Uuid, &Actor) -> Result<(), ApiError> + Send + 'static,
{
    let (done, content) = act(browser, work).await?;
    done?;
    show_content(browser, content, Told::notice(notice))
}

/// Changes name and language.
pub async fn change_profile(mut browser: Browser, form: Result<Form, ApiError>) -> HttpResponse {
    let answered = profile(&mut browser, form).await;
    browser.answer(answered)
}

async fn profile(
    browser: &mut Browser,
    form: Result<Form, ApiError>,
) -> Result<HttpResponse, PageFault> {
    let parameters = browser.read(form)?;
    let text = |name| parameters.get(name).map(str::trim);
    let (name, locale) = (text("name"), text("locale"));
    let merged: Value = json!({"name": name, "locale": locale});
    let shape = browser.app.inputs.of::<crate::users::Profile>()?;
    let patch = match Patch::merge(merged, shape) {
        Ok(patch) => patch,
        Err(error) => {
            let code = error.errors.first().map(|fault| fault.code.clone());
            let told = Told {
                profile: Some(ProfileForm {
                    name: name.unwrap_or_default().to_owned(),
                    name_problem: Some(FieldProblem::of_code(&code.unwrap_or_default())),
                    locale: locale.map(str::to_owned),
                }),
                ..Told::default()
            };
            return show(browser, told).await;
        }
    };
    let change = Change {
        patch,
        precondition: Precondition::default(),
        reach: Reach::Own,
        administrative: false,
    };
    act_and_show(browser, Notice::Saved, move |conn, owner, actor| {
        account::patch(conn, owner, &change, actor).map(drop)
    })
    .await
}

/// Changes the password; everything else that is signed in ends.
pub async fn change_password(mut browser: Browser, form: Result<Form, ApiError>) -> HttpResponse {
    let answered = password(&mut browser, form).await;
    browser.answer(answered)
}

/// Two hops and the hashes between them, as at the API.
async fn password(
    browser: &mut Browser,
    form: Result<Form, ApiError>,
) -> Result<HttpResponse, PageFault> {
    let parameters = browser.read(form)?;
    let app = web::Data::clone(&browser.app);
    let secret = |name| SecretString::from(parameters.get(name).unwrap_or_default());
    let ticket = match app.passwords.admit() {
        Ok(ticket) => ticket,
        Err(error) => return show(browser, password_told(error)?).await,
    };
    let limits = app.config.limits.clone();
    let (begun, content) = act(browser, move |conn, owner, _actor| {
        account::begin_password_change(conn, owner, &Reach::Own, &limits)
    })
    .await?;
    let hashed = match begun {
        Ok(found) => {
            hash_new(
                &ticket,
                found,
                secret("current_password"),
                secret("new_password"),
            )
            .await
        }
        Err(error) => Err(error),
    };
    let (old, hash) = match hashed {
        Ok(hashes) => hashes,
        Err(error) => return show_content(browser, content, password_told(error)?),
    };
    let limits = app.config.limits.clone();
    let (changed, content) = act(browser, move |conn, owner, actor| {
        let reach = Reach::Own;
        account::finish_password_change(conn, owner, &reach, &old, &hash, actor, &limits)
    })
    .await?;
    let told = match changed {
        Ok(()) => Told::notice(Notice::PasswordChanged),
        Err(error) => password_told(error)?,
    };
    show_content(browser, content, told)
}

/// The stored hash, when it is of the current password, and that of the new one.
async fn hash_new(
    ticket: &Ticket,
    found: Account,
    current: SecretString,
    new: SecretString,
) -> Result<(String, String), ApiError> {
    let old = found.user.password_hash;
    let verdict = ticket.verify(current, Some(&old)).await?;
    if !verdict.matches {
        return Err(Code::InvalidCredentials.into());
    }
    let about = [Some(found.user.email), found.user.name]
        .into_iter()
        .flatten()
        .collect();
    let hash = ticket.hash(new, about, "/new_password").await?;
    Ok((old, hash))
}

/// What the page says of a refused change of the password.
fn password_told(error: ApiError) -> Result<Told, PageFault> {
    let mut told = Told::default();
    match (error.code, error.errors.first()) {
        (Code::InvalidCredentials, _) => {
            told.password.current_problem = Some(FieldProblem::WrongPassword);
        }
        (Code::ValidationFailed, Some(fault)) => {
            told.password.new_problem = Some(FieldProblem::of_code(&fault.code));
        }
        _ => told.notice = Some(notice_of(&error).ok_or(error)?),
    }
    Ok(told)
}

/// Signs a device out.
pub async fn end_device(
    mut browser: Browser,
    id: web::Path<Uuid>,
    form: Result<Form, ApiError>,
) -> HttpResponse {
    let answered = end(&mut browser, Some(*id), form).await;
    browser.answer(answered)
}

/// Signs every other device out.
pub async fn end_other_devices(mut browser: Browser, form: Result<Form, ApiError>) -> HttpResponse {
    let answered = end(&mut browser, None, form).await;
    browser.answer(answered)
}

async fn end(
    browser: &mut Browser,
    id: Option<Uuid>,
    form: Result<Form, ApiError>,
) -> Result<HttpResponse, PageFault> {
    browser.read(form)?;
    let notice = if id.is_some() {
        Notice::DeviceSignedOut
    } else {
        Notice::OthersSignedOut
    };
    act_and_show(browser, notice, move |conn, owner, actor| {
        let reason = EndReason::SignedOut;
        match id {
            Some(id) => sessions::end_one(conn, owner, id, reason, actor),
            None => sessions::end_others(conn, owner, actor.session_id, reason, actor),
        }
    })
    .await
}

/// Takes back what an app was allowed.
pub async fn withdraw_consent(mut browser: Browser, form: Result<Form, ApiError>) -> HttpResponse {
    let answered = withdraw(&mut browser, form).await;
    browser.answer(answered)
}

async fn withdraw(
    browser: &mut Browser,
    form: Result<Form, ApiError>,
) -> Result<HttpResponse, PageFault> {
    let parameters = browser.read(form)?;
    let client_id = parameters.get("client_id").unwrap_or_default().to_owned();
    act_and_show(
        browser,
        Notice::AccessWithdrawn,
        move |conn, owner, actor| consents::withdraw(conn, owner, &client_id, actor),
    )
    .await
}
