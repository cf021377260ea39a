//! A client of live updates, which does by hand what the libraries do.

use std::{collections::VecDeque, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest,
        http::{HeaderName, HeaderValue},
    },
};

use super::{Person, TestApp};

/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// An open WebSocket.
pub struct Socket {
    pub stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    lines: VecDeque<Value>,
    last_id: u32,
}

/// What comes next.
#[derive(Debug)]
pub enum Heard {
    /// A line.
    Line(Value),
    /// The end, with its code and reason.
    Closed(u16, String),
}

impl Socket {
    /// Opens one; or the status of the answer.
    pub async fn open(app: &TestApp, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        Self::open_at(app, "/v1/realtime", headers).await
    }

    /// The same at another address.
    pub async fn open_at(
        app: &TestApp,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, u16> {
        let address = app.address().replace("http://", "ws://");
        let mut request = format!("{address}{path}").into_client_request().unwrap();
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).unwrap();
            request
                .headers_mut()
                .insert(HeaderName::from_static(name), value);
        }
        match connect_async(request).await {
            Ok((stream, _)) => Ok(Self {
                stream,
                lines: VecDeque::new(),
                last_id: 0,
            }),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            // The server agreed on nothing that was offered.
            Err(Error::Protocol(_)) => Err(101),
            Err(error) => panic!("{error}"),
        }
    }

    /// One that a person is connected on.
    pub async fn of(person: &Person) -> Self {
        let mut socket = Self::open(person.app(), &[]).await.unwrap();
        let connect = json!({"connect": {"token": person.access_token()}});
        let connected = socket.ask(connect).await;
        assert_eq!(connected["connect"]["expires"], true, "{connected}");
        socket
    }

    /// Sends a line as it is.
    pub async fn say(&mut self, line: &str) {
        self.stream.send(Message::text(line)).await.unwrap();
    }

    /// Sends a command and hears its answer; what else comes before is heard later.
    pub async fn ask(&mut self, command: Value) -> Value {
        match self.ask_for(command).await {
            Heard::Line(answer) => answer,
            Heard::Closed(code, reason) => panic!("closed: {code} {reason}"),
        }
    }

    /// The same where the socket may be closed for it.
    pub async fn ask_for(&mut self, mut command: Value) -> Heard {
        self.last_id += 1;
        command["id"] = json!(self.last_id);
        self.say(&command.to_string()).await;
        let mut others = Vec::new();
        let answer = loop {
            match self.hear().await {
                Heard::Line(line) if line["id"] != self.last_id => others.push(line),
                heard => break heard,
            }
        };
        self.lines.extend(others);
        answer
    }

    /// Subscribes; the answer.
    pub async fn subscribe(&mut self, channel: &str, more: Value) -> Value {
        let mut subscribe = more;
        subscribe["channel"] = json!(channel);
        self.ask(json!({"subscribe": subscribe})).await
    }

    /// Hears the next line, and answers pings.
    pub async fn hear(&mut self) -> Heard {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Heard::Line(line);
            }
            match timeout(PATIENCE, self.stream.next())
                .await
                .unwrap_or_else(|_elapsed| panic!("silence"))
            {
                Some(Ok(Message::Text(text))) => {
                    for line in text.split('\n') {
                        let line: Value = serde_json::from_str(line).unwrap();
                        if line == json!({}) {
                            self.say("{}").await;
                        } else {
                            self.lines.push_back(line);
                        }
                    }
                }
                Some(Ok(Message::Close(frame))) => {
                    let frame = frame.unwrap();
                    return Heard::Closed(frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => panic!("{error}"),
                None => panic!("ended without a word"),
            }
        }
    }

    /// What comes next of a channel: `data` and offset.
    pub async fn publication(&mut self, channel: &str) -> (Value, i64) {
        match self.hear().await {
            Heard::Line(line) if line["push"]["channel"] == channel => {
                let publication = &line["push"]["pub"];
                let offset = publication["offset"].as_i64();
                (publication["data"].clone(), offset.unwrap())
            }
            heard => panic!("{heard:?}"),
        }
    }

    /// Why it is closed next; the server closes the connection, too.
    pub async fn closed(&mut self) -> u16 {
        match self.hear().await {
            Heard::Closed(code, _) => {
                let rest = timeout(PATIENCE, self.stream.next()).await;
                assert!(!matches!(rest, Ok(Some(Ok(_)))), "{rest:?}");
                assert!(rest.is_ok(), "the connection is still open");
                code
            }
            Heard::Line(line) => panic!("{line}"),
        }
    }
}
