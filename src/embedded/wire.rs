//! Just enough of the frontend/backend protocol (Postgres documentation, chapter 55) to ask whether a server is ready.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(5);

/// What a server says when it is asked.
#[derive(Debug)]
pub(super) enum Answer {
    /// It takes connections, and our database is there.
    Ready { version: String },
    /// It takes connections; our database was just asked for.
    NoSuchDatabase,
    /// It is starting up or shutting down.
    Busy,
    /// Nobody listens.
    Nobody,
    /// It said something else.
    Refused(String),
}

/// Asks the server whose socket lies in `directory`, and makes our database where it is missing.
pub(super) fn ask(directory: &Path) -> Answer {
    match connect(directory, "tollgate") {
        Answer::NoSuchDatabase => match run(directory, "create database tollgate") {
            Ok(()) => Answer::NoSuchDatabase,
            Err(error) => Answer::Refused(error.to_string()),
        },
        other => other,
    }
}

fn connect(directory: &Path, database: &str) -> Answer {
    let Ok(mut stream) = open(directory) else {
        return Answer::Nobody;
    };
    match startup(&mut stream, database) {
        Ok(answer) => answer,
        // It hung up while it was starting or stopping.
        Err(_hung_up) => Answer::Busy,
    }
}

fn open(directory: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(directory.join(".s.PGSQL.5432"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Sends the startup message and reads until the server is ready or refuses.
fn startup(stream: &mut UnixStream, database: &str) -> io::Result<Answer> {
    let body = [
        b"\0\x03\0\0user\0tollgate\0database\0",
        database.as_bytes(),
        b"\0\0",
    ]
    .concat();
    stream.write_all(&[&length(body.len())?, body.as_slice()].concat())?;
    let mut version = String::new();
    loop {
        let (kind, body) = read(stream)?;
        match kind {
            b'S' => {
                let mut fields = body.split(|byte| *byte == 0);
                if fields.next() == Some(b"server_version") {
                    let value =
                        String::from_utf8_lossy(fields.next().unwrap_or_default()).into_owned();
                    version = value
                        .split_whitespace()
                        .next()
                        .unwrap_or_default()
                        .to_owned();
                }
            }
            b'Z' => return Ok(Answer::Ready { version }),
            b'E' => {
                return Ok(match field(&body, b'C').as_str() {
                    "57P03" => Answer::Busy,
                    "3D000" => Answer::NoSuchDatabase,
                    _ => Answer::Refused(field(&body, b'M')),
                });
            }
            _ => {}
        }
    }
}

/// Runs one statement in the maintenance database; that somebody else was faster is no error.
fn run(directory: &Path, statement: &str) -> io::Result<()> {
    let mut stream = open(directory)?;
    if !matches!(startup(&mut stream, "postgres")?, Answer::Ready { .. }) {
        return Ok(());
    }
    let body = [statement.as_bytes(), b"\0"].concat();
    stream.write_all(&[b"Q", length(body.len())?.as_slice(), &body].concat())?;
    loop {
        let (kind, body) = read(&mut stream)?;
        match kind {
            b'E' if !matches!(field(&body, b'C').as_str(), "42P04" | "23505") => {
                return Err(io::Error::other(field(&body, b'M')));
            }
            b'Z' => return Ok(()),
            _ => {}
        }
    }
}

/// A message's length, which counts itself.
fn length(body: usize) -> io::Result<[u8; 4]> {
    u32::try_from(body + 4)
        .map(u32::to_be_bytes)
        .map_err(io::Error::other)
}

fn read(stream: &mut UnixStream) -> io::Result<(u8, Vec<u8>)> {
    let mut kind = [0; 1];
    let mut length = [0; 4];
    stream.read_exact(&mut kind)?;
    stream.read_exact(&mut length)?;
    let rest = u32::from_be_bytes(length)
        .checked_sub(4)
        .ok_or(io::ErrorKind::InvalidData)?;
    let mut body = Vec::new();
    stream.take(rest.into()).read_to_end(&mut body)?;
    let [kind] = kind;
    Ok((kind, body))
}

/// One field of an error message: a letter, a text, NUL.
fn field(body: &[u8], letter: u8) -> String {
    body.split(|byte| *byte == 0)
        .find_map(|field| field.strip_prefix(&[letter]))
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .unwrap_or_default()
}
