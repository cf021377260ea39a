//! The floor of live updates: sockets, and what all of them are told, and nothing else: no token, no rules, no order, no database.

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    web::{self, Data},
};
use actix_ws::Session;
use bytestring::ByteString;
use tokio::sync::Mutex;

type Sessions = Mutex<Vec<Session>>;

/// Serves `/v1/realtime`, and tells all sockets what is sent to `/publish`.
pub fn serve(listener: std::net::TcpListener, workers: usize) -> anyhow::Result<()> {
    let sessions = Data::new(Sessions::default());
    actix_web::rt::System::new().block_on(async move {
        HttpServer::new(move || {
            App::new()
                .app_data(Data::clone(&sessions))
                .route("/v1/realtime", web::get().to(open))
                .route("/publish", web::post().to(publish))
        })
        .workers(workers)
        .listen(listener)?
        .run()
        .await?;
        anyhow::Ok(())
    })
}

async fn open(
    request: HttpRequest,
    body: web::Payload,
    sessions: Data<Sessions>,
) -> actix_web::Result<HttpResponse> {
    let (response, session, mut messages) = actix_ws::handle(&request, body)?;
    sessions.lock().await.push(session);
    actix_web::rt::spawn(async move { while let Some(Ok(_)) = messages.recv().await {} });
    Ok(response)
}

async fn publish(text: String, sessions: Data<Sessions>) -> HttpResponse {
    let text = ByteString::from(text);
    for session in sessions.lock().await.iter_mut() {
        // Who has gone is told nothing.
        let _told = session.text(text.clone()).await;
    }
    HttpResponse::Created().finish()
}
