//! A web site that says what a test wants, and counts who asks.

use std::{
    collections::HashMap,
    net::TcpListener,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use actix_web::{
    App, FromRequest, Handler, HttpRequest, HttpResponse, HttpServer, Responder, http::StatusCode,
    web,
};
use serde_json::Value;

/// A site on a port of this machine, until the process ends.
#[derive(Clone)]
pub struct Site(Arc<State>);

struct State {
    address: String,
    pages: Mutex<HashMap<String, Page>>,
    asked: Mutex<HashMap<String, usize>>,
}

/// What it says at one address.
#[derive(Clone)]
pub struct Page {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    pub takes: Duration,
}

impl Page {
    /// A JSON document that is kept for `seconds`.
    pub fn json(document: &Value, seconds: u32) -> Self {
        Self {
            status: 200,
            headers: vec![
                ("content-type", "application/json".to_owned()),
                ("cache-control", format!("max-age={seconds}")),
            ],
            body: document.to_string(),
            takes: Duration::ZERO,
        }
    }
}

impl Site {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let site = Self(Arc::new(State {
            address: format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port()),
            pages: Mutex::default(),
            asked: Mutex::default(),
        }));
        serve(listener, site.clone(), answer);
        site
    }

    /// The address of a path.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.0.address)
    }

    /// Says this at a path from now on.
    pub fn put(&self, path: &str, page: Page) {
        self.0.pages.lock().unwrap().insert(path.to_owned(), page);
    }

    /// How often a path was asked for.
    pub fn asked(&self, path: &str) -> usize {
        let asked = self.0.asked.lock().unwrap();
        asked.get(path).copied().unwrap_or_default()
    }
}

/// Answers every request with `answer`, which gets `site`, on a thread of its own until the process ends.
pub(super) fn serve<T, F, Args>(listener: TcpListener, site: T, answer: F)
where
    T: Clone + Send + 'static,
    F: Handler<Args> + Send,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let (ready, started) = mpsc::channel();
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let server = HttpServer::new(move || {
                App::new()
                    .app_data(web::Data::new(site.clone()))
                    .default_service(web::to(answer.clone()))
            });
            let server = server.workers(1).disable_signals();
            let server = server.listen(listener).unwrap();
            ready.send(()).unwrap();
            server.run().await.unwrap();
        });
    });
    started.recv().unwrap();
}

async fn answer(site: web::Data<Site>, request: HttpRequest) -> HttpResponse {
    let path = request.path();
    *site
        .0
        .asked
        .lock()
        .unwrap()
        .entry(path.to_owned())
        .or_default() += 1;
    let page = site.0.pages.lock().unwrap().get(path).cloned();
    let Some(page) = page else {
        return HttpResponse::NotFound().finish();
    };
    actix_web::rt::time::sleep(page.takes).await;
    let mut response = HttpResponse::build(StatusCode::from_u16(page.status).unwrap());
    for (name, value) in page.headers {
        response.insert_header((name, value));
    }
    response.body(page.body)
}
