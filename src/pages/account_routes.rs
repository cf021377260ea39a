//! The account of whoever is signed in: profile, password, devices, apps.

use actix_web::{HttpResponse, web};
use secrecy::SecretString;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Browser, PageFault,
    pending::Scene,
    view::{self, FieldProblem, Notice, PasswordForm, ProfileForm},
};
use crate::{
    audit::Actor,
    db::Window,
    error::{ApiError, Code},
    form::Parameters,
    http::Form,
    oauth::{authorize::Visitor, consents, hop},
    patch::Patch,
    precondition::Precondition,
    sessions::{self, EndReason, account},
    tokens::{FIRST_PARTY_CLIENT, PAGES_CLIENT},
    users::{Change, Reach},
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

/// Shows the account.
pub async fn show_account(mut browser: Browser) -> HttpResponse {
    let answered = show(&mut browser, Told::default()).await;
    browser.answer(answered)
}

async fn show(browser: &mut Browser, told: Told) -> Result<HttpResponse, PageFault> {
    let Some(visitor) = Scene::read(browser, None).await?.visitor else {
        return Ok(browser.go("/oauth/sign-in"));
    };
    let owner = visitor.account.user.id;
    let window = Window {
        after: None,
        rows: MOST_DEVICES,
    };
    let (devices, apps) = hop(&browser.app.db, move |conn| {
        let devices = sessions::list(conn, owner, true, window)?;
        Ok::<_, PageFault>((devices, consents::list(conn, owner)?))
    })
    .await?;
    let registry = browser.app.oauth.registry.clone();
    let name_of = |id: &str| match id {
        FIRST_PARTY_CLIENT | PAGES_CLIENT => browser.app.oauth.config.service_name.clone(),
        id => registry
            .find(id)
            .map_or_else(|| id.to_owned(), |client| client.name().to_owned()),
    };
    let language = browser.language();
    let devices = devices.into_iter().map(|session| view::Device {
        id: session.id.to_string(),
        words: view::device_words(session.user_agent.as_deref(), language),
        client_name: name_of(&session.client_id),
        address: session.address,
        signed_in_at: session.created_at,
        last_seen_at: session.last_seen_at,
        current: session.id == visitor.page.id,
    });
    let apps = apps.into_iter().map(|consent| view::App {
        name: name_of(&consent.client_id),
        client_id: consent.client_id,
        scopes: consent.scopes,
        since: consent.created_at,
    });
    let (devices, apps) = (devices.collect(), apps.collect());
    let status = if told.is_wrong() { 422 } else { 200 };
    let user = visitor.account.user;
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

/// A form of the account's page: what it says, who sent it, and who that is to the audit log.
struct Sent {
    parameters: Parameters,
    visitor: Visitor,
    actor: Actor,
}

impl Sent {
    async fn read(browser: &mut Browser, form: Result<Form, ApiError>) -> Result<Self, PageFault> {
        let parameters = browser.read(form)?;
        let visitor = Scene::read(browser, None).await?.visitor;
        let visitor = visitor.ok_or_else(PageFault::form_expired)?;
        let actor = Actor {
            user_id: Some(visitor.account.user.id),
            session_id: Some(visitor.page.id),
            client_id: Some(PAGES_CLIENT.to_owned()),
            ..browser.actor.clone()
        };
        Ok(Self {
            parameters,
            visitor,
            actor,
        })
    }

    fn owner(&self) -> Uuid {
        self.visitor.account.user.id
    }
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
    let sent = Sent::read(browser, form).await?;
    let text = |name| sent.parameters.get(name).map(str::trim);
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
    let owner = sent.owner();
    browser
        .app
        .db
        .run(move |conn| account::patch(conn, owner, &change, &sent.actor))
        .await?;
    show(browser, Told::notice(Notice::Saved)).await
}

/// Changes the password; everything else that is signed in ends.
pub async fn change_password(mut browser: Browser, form: Result<Form, ApiError>) -> HttpResponse {
    let answered = password(&mut browser, form).await;
    browser.answer(answered)
}

async fn password(
    browser: &mut Browser,
    form: Result<Form, ApiError>,
) -> Result<HttpResponse, PageFault> {
    let sent = Sent::read(browser, form).await?;
    match replace_password(browser, &sent).await {
        Ok(()) => show(browser, Told::notice(Notice::PasswordChanged)).await,
        Err(error) => {
            let mut told = Told::default();
            match (error.code, error.errors.first()) {
                (Code::InvalidCredentials, _) => {
                    told.password.current_problem = Some(FieldProblem::WrongPassword);
                }
                (Code::ValidationFailed, Some(fault)) => {
                    told.password.new_problem = Some(FieldProblem::of_code(&fault.code));
                }
                (Code::TooManyAttempts, _) => {
                    let seconds = error
                        .headers
                        .iter()
                        .find_map(|(_, value)| value.parse().ok());
                    told.notice = Some(Notice::TooManyTries {
                        seconds: seconds.unwrap_or(1),
                    });
                }
                (Code::Overloaded, _) => told.notice = Some(Notice::Overloaded),
                _ => return Err(error.into()),
            }
            show(browser, told).await
        }
    }
}

async fn replace_password(browser: &Browser, sent: &Sent) -> Result<(), ApiError> {
    let app = web::Data::clone(&browser.app);
    let secret = |name| SecretString::from(sent.parameters.get(name).unwrap_or_default());
    let (owner, limits) = (sent.owner(), app.config.limits.clone());
    let ticket = app.passwords.admit()?;
    let found = {
        let limits = limits.clone();
        app.db
            .run(move |conn| account::begin_password_change(conn, owner, &Reach::Own, &limits))
            .await?
    };
    let old = found.user.password_hash;
    let verdict = ticket
        .verify(secret("current_password"), Some(&old))
        .await?;
    if !verdict.matches {
        return Err(Code::InvalidCredentials.into());
    }
    let about = [Some(found.user.email), found.user.name]
        .into_iter()
        .flatten()
        .collect();
    let hash = ticket
        .hash(secret("new_password"), about, "/new_password")
        .await?;
    let actor = sent.actor.clone();
    app.run_revoking(move |conn| {
        let reach = Reach::Own;
        account::finish_password_change(conn, owner, &reach, &old, &hash, &actor, &limits)
    })
    .await
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
    let sent = Sent::read(browser, form).await?;
    let (owner, own, actor) = (sent.owner(), sent.visitor.page.id, sent.actor);
    let app = web::Data::clone(&browser.app);
    app.run_revoking(move |conn| {
        let reason = EndReason::SignedOut;
        match id {
            Some(id) => sessions::end_one(conn, owner, id, reason, &actor),
            None => sessions::end_others(conn, owner, Some(own), reason, &actor),
        }
    })
    .await?;
    let notice = if id.is_some() {
        Notice::DeviceSignedOut
    } else {
        Notice::OthersSignedOut
    };
    show(browser, Told::notice(notice)).await
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
    let sent = Sent::read(browser, form).await?;
    let client_id = sent
        .parameters
        .get("client_id")
        .unwrap_or_default()
        .to_owned();
    let (owner, actor) = (sent.owner(), sent.actor);
    let app = web::Data::clone(&browser.app);
    app.run_revoking(move |conn| consents::withdraw(conn, owner, &client_id, &actor))
        .await?;
    show(browser, Told::notice(Notice::AccessWithdrawn)).await
}
