//! The clients of live updates: cheap, since they share the machine with the server.

use std::{
    collections::HashMap,
    io::{BufRead, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use futures_util::{SinkExt, StreamExt, future::try_join_all, stream};
use serde_json::json;
use tokio::{
    net::TcpStream,
    runtime::{Builder, Runtime},
    sync::mpsc,
    time::{sleep, sleep_until, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Sockets that are opened at the same time.
const AT_ONCE: usize = 16;

/// Who writes at the same time.
const WRITERS: usize = 8;

/// How long what was written may take to arrive.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a socket was told.
#[derive(Default)]
struct Told {
    messages: AtomicU64,
    bytes: AtomicU64,
    is_over: AtomicU64,
}

/// Opens a socket for each line of a file, which holds its commands with tabs between; says `ready`, and then for each line of
/// standard input the least and the most messages that a socket was told, the bytes of all, and how many sockets have ended.
pub fn listen(port: u16, file: &str) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let all = runtime.block_on(async {
        let mut all = Vec::new();
        for socket in open_all(port, file).await? {
            let told = Arc::new(Told::default());
            all.push(Arc::clone(&told));
            tokio::spawn(count(socket, told));
        }
        anyhow::Ok(all)
    })?;
    writeln!(std::io::stdout(), "ready")?;
    for line in std::io::stdin().lock().lines() {
        line?;
        let messages = || all.iter().map(|told| told.messages.load(Ordering::Relaxed));
        let (least, most) = (messages().min(), messages().max());
        let bytes: u64 = all.iter().map(|t| t.bytes.load(Ordering::Relaxed)).sum();
        let over: u64 = all.iter().map(|t| t.is_over.load(Ordering::Relaxed)).sum();
        let (least, most) = (least.unwrap_or_default(), most.unwrap_or_default());
        writeln!(std::io::stdout(), "{least} {most} {bytes} {over}")?;
    }
    Ok(())
}

/// Writes so many records a second for so many seconds, and prints how many milliseconds it took until each was told on each socket
/// (as for `listen`): p50 and p99 from when it was sent, and from its answer.
pub fn latency(port: u16, file: &str, bearer: &str, rate: u32, seconds: u32) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let sockets = open_all(port, file).await?;
        let (count, total) = (sockets.len(), usize::try_from(rate * seconds)?);
        let (sender, mut heard) = mpsc::unbounded_channel();
        for socket in sockets {
            tokio::spawn(hear(socket, sender.clone()));
        }
        drop(sender);
        let client = reqwest::Client::new();
        let url = format!("http://127.0.0.1:{port}/v1/data/ticks");
        let begun = Instant::now();
        let writers = (0..WRITERS).map(|first| {
            let numbers = (first..total).step_by(WRITERS);
            let every = Duration::from_secs(1) / rate;
            write(&client, &url, bearer, numbers, begun, every)
        });
        let written = try_join_all(writers).await?;
        let written: HashMap<_, _> = written.into_iter().flatten().collect();
        let (mut sent, mut answered) = (Vec::new(), Vec::new());
        while sent.len() < count * total {
            let next = timeout(PATIENCE, heard.recv()).await;
            let told = || format!("told {} of {count} times {total}", sent.len());
            let (number, at) = next.with_context(told)?.with_context(told)?;
            let (began, ended) = written.get(&number).context("nobody wrote that")?;
            sent.push(at.saturating_duration_since(*began));
            answered.push(at.saturating_duration_since(*ended));
        }
        let figures = [percentiles(sent), percentiles(answered)].concat();
        writeln!(std::io::stdout(), "{}", figures.join(" "))?;
        anyhow::Ok(())
    })
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
}

async fn open_all(port: u16, file: &str) -> anyhow::Result<Vec<Socket>> {
    let url = format!("ws://127.0.0.1:{port}/v1/realtime");
    let commands = std::fs::read_to_string(file)?;
    let mut opening = stream::iter(commands.lines())
        .map(|commands| open(&url, commands))
        .buffer_unordered(AT_ONCE);
    let mut sockets = Vec::new();
    while let Some(socket) = opening.next().await {
        sockets.push(socket?);
    }
    Ok(sockets)
}

/// Opens a socket, and gives its commands one after the other.
async fn open(url: &str, commands: &str) -> anyhow::Result<Socket> {
    let config = WebSocketConfig::default().read_buffer_size(4_096);
    let (mut socket, _) = connect_async_with_config(url, Some(config), true).await?;
    for command in commands.split('\t').filter(|command| !command.is_empty()) {
        loop {
            socket.send(Message::text(command)).await?;
            let answer = socket.next().await.context("no answer")??;
            let answer = answer.into_text()?;
            if answer.contains(r#""temporary":true"#) {
                sleep(Duration::from_millis(100)).await;
                continue;
            }
            anyhow::ensure!(!answer.contains(r#""error":"#), "{answer}");
            break;
        }
    }
    Ok(socket)
}

/// The next lines that tell something; pings are answered.
async fn next(socket: &mut Socket) -> Option<Message> {
    loop {
        let message = socket.next().await?.ok()?;
        if message.to_text().ok()? != "{}" {
            return Some(message);
        }
        socket.send(message).await.ok()?;
    }
}

async fn count(mut socket: Socket, told: Arc<Told>) {
    while let Some(Message::Text(text)) = next(&mut socket).await {
        let count = |number: usize| u64::try_from(number).unwrap_or_default();
        // Several may come together, one to a line.
        let (lines, length) = text.split('\n').fold((0, 0), |(lines, length), line| {
            (lines + 1, length + line.len())
        });
        told.messages.fetch_add(count(lines), Ordering::Relaxed);
        told.bytes.fetch_add(count(length), Ordering::Relaxed);
    }
    told.is_over.store(1, Ordering::Relaxed);
}

/// Tells which numbers came when.
async fn hear(mut socket: Socket, sender: mpsc::UnboundedSender<(usize, Instant)>) {
    while let Some(Message::Text(text)) = next(&mut socket).await {
        let at = Instant::now();
        for line in text.split('\n') {
            let number = line
                .split_once(r#""n":"#)
                .map(|(_, rest)| rest.trim_start());
            let number = number.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
            let number = number.and_then(|digits| digits.parse().ok());
            if let Some(number) = number
                && sender.send((number, at)).is_err()
            {
                return;
            }
        }
    }
}

/// Writes records when they are due; when each was sent and answered.
async fn write(
    client: &reqwest::Client,
    url: &str,
    bearer: &str,
    numbers: impl Iterator<Item = usize>,
    begun: Instant,
    every: Duration,
) -> anyhow::Result<Vec<(usize, (Instant, Instant))>> {
    let mut written = Vec::new();
    for number in numbers {
        sleep_until((begun + every * u32::try_from(number)?).into()).await;
        let sent = Instant::now();
        let request = client.post(url).bearer_auth(bearer);
        let answer = request.json(&json!({"n": number, "price": 1})).send().await;
        answer?.error_for_status()?;
        written.push((number, (sent, Instant::now())));
    }
    Ok(written)
}

fn percentiles(mut times: Vec<Duration>) -> Vec<String> {
    times.sort_unstable();
    let at = |hundredth: usize| times.get(times.len() * hundredth / 100);
    let text = |time: Option<&Duration>| {
        let time = time.copied().unwrap_or_default();
        format!("{:.1}", time.as_secs_f64() * 1_000.0)
    };
    vec![text(at(50)), text(at(99))]
}
