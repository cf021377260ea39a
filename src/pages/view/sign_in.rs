//! Signing in, signing up, choosing an account, connecting an identity of another provider.

use askama::Template;

use super::{Client, FieldProblem, Frame, Hidden, Notice, words};

/// A provider that signs people in for us.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Its id in the path `/oauth/sign-in/upstream/{id}`.
    pub id: String,
    /// What people call it.
    pub name: String,
}

/// Who is to sign in.
#[derive(Clone, Debug)]
pub enum Who {
    /// Anyone who has an account.
    Anyone {
        /// What the field holds at first: `login_hint`, or what was entered before.
        email: String,
    },
    /// Someone who is signed in and has to prove it again.
    Known {
        /// The address of their account.
        email: String,
    },
}

impl Who {
    fn email(&self) -> &str {
        match self {
            Self::Anyone { email } | Self::Known { email } => email,
        }
    }

    fn is_known(&self) -> bool {
        matches!(self, Self::Known { .. })
    }
}

/// Asks for email and password: `POST /oauth/sign-in` with `email`, `password`.
#[derive(Debug, Template)]
#[template(path = "sign_in.html")]
pub struct SignIn {
    /// What surrounds the page.
    pub frame: Frame,
    /// What the forms carry; with a request, there is a button for `POST /oauth/sign-in/cancel`.
    pub hidden: Hidden,
    /// The app that waits for the visitor.
    pub client: Option<Client>,
    /// Who is to sign in.
    pub who: Who,
    /// What became of the last try.
    pub notice: Option<Notice>,
    /// Whether there is a link to `GET /oauth/sign-up`.
    pub sign_up: bool,
    /// Who else can sign the visitor in: `POST /oauth/sign-in/upstream/{id}`.
    pub upstreams: Vec<Upstream>,
}

/// Makes an account: `POST /oauth/sign-up` with `name`, `email`, `password`.
#[derive(Debug, Template)]
#[template(path = "sign_up.html")]
pub struct SignUp {
    /// What surrounds the page.
    pub frame: Frame,
    /// What the form carries.
    pub hidden: Hidden,
    /// The app that waits for the visitor.
    pub client: Option<Client>,
    /// The name that was entered before.
    pub name: String,
    /// The address that was entered before.
    pub email: String,
    /// What is wrong with the name.
    pub name_problem: Option<FieldProblem>,
    /// What is wrong with the address.
    pub email_problem: Option<FieldProblem>,
    /// What is wrong with the password.
    pub password_problem: Option<FieldProblem>,
    /// What became of the last try.
    pub notice: Option<Notice>,
}

/// Asks for the password of an account that an identity of another provider belongs to: `POST /oauth/sign-in/link` with
/// `password`.
#[derive(Debug, Template)]
#[template(path = "link.html")]
pub struct Link {
    /// What surrounds the page.
    pub frame: Frame,
    /// What the forms carry; with a request, there is a button for `POST /oauth/sign-in/cancel`.
    pub hidden: Hidden,
    /// The address of the account.
    pub email: String,
    /// What people call the provider.
    pub provider: String,
    /// What became of the last try.
    pub notice: Option<Notice>,
}

/// Asks who goes on: `POST /oauth/select-account` with `account` = `current` or `other`.
#[derive(Debug, Template)]
#[template(path = "select_account.html")]
pub struct SelectAccount {
    /// What surrounds the page.
    pub frame: Frame,
    /// What the form carries; with a request, there is a button for `POST /oauth/sign-in/cancel`.
    pub hidden: Hidden,
    /// The app that waits for the visitor.
    pub client: Option<Client>,
    /// The address of the account that is signed in.
    pub email: String,
    /// What its owner is called.
    pub name: Option<String>,
}
