//! The private Postgres that runs when no `DATABASE_URL` is given: belongs to one process, ends with it, even by SIGKILL.

mod guard;
mod place;
mod wire;

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

pub use guard::guard;
use place::{Binaries, Owner};
use wire::Answer;

/// How long starting may take; the first start also makes the cluster.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// How long a stopping Postgres may take before it is stopped harder.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(20);

/// Bytes of the log after which it is set aside at the next start.
const MAX_LOG: u64 = 10 * 1024 * 1024;

/// Where it lies and how it is run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The directory that holds it, as `server.data_dir` says.
    pub data_dir: PathBuf,
    /// The executable that knows `guard-postgres`: ours.
    pub guard: PathBuf,
    /// Looks for Postgres only here.
    pub bin_dir: Option<PathBuf>,
}

/// Why it does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No server binaries.
    #[error(
        "no Postgres server found: set DATABASE_URL or install one (Debian, Ubuntu: apt-get install postgresql)"
    )]
    NotInstalled,
    /// Server binaries that are too old.
    #[error("Postgres {0} is too old: 15 or later is needed; set DATABASE_URL or install one")]
    TooOld(String),
    /// A directory that somebody else made.
    #[error("{0} belongs to somebody else; remove it or choose another server.data_dir")]
    ForeignDirectory(PathBuf),
    /// Making the cluster failed.
    #[error("initdb failed: {0}")]
    Initdb(String),
    /// It did not come up in time.
    #[error("the private Postgres does not start: {reason} (see {log})", log = log.display())]
    NotReady {
        /// What it said last.
        reason: String,
        /// Where it says more.
        log: PathBuf,
    },
    /// A file or directory can't be used.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A Postgres server that belongs to this process, or that another process on the same data directory runs.
#[derive(Debug)]
pub struct PrivatePostgres {
    child: Option<Child>,
    url: String,
    version: String,
    directory: PathBuf,
}

/// Everything that starting needs to know.
struct Cluster {
    binaries: Binaries,
    owner: Owner,
    directory: PathBuf,
    socket_dir: PathBuf,
    guard: PathBuf,
}

impl PrivatePostgres {
    /// Starts the private Postgres below `data_dir`, or joins the one that another process runs there.
    ///
    /// It is told to stop when the calling *thread* ends: call this on a thread that lives as long as the process.
    ///
    /// # Errors
    /// One line that says what to do.
    pub fn start(settings: &Settings) -> Result<Self, StartError> {
        let cluster = Cluster::find(settings)?;
        let deadline = Instant::now() + START_PATIENCE;
        // Held until it answers, so that of several starting processes one makes the cluster.
        let lock_path = cluster.beside("lock");
        let lock = File::create(&lock_path).map_err(at(&lock_path))?;
        lock.lock().map_err(at(&lock_path))?;
        cluster.initialise()?;
        let (child, version) = cluster.await_ready(deadline)?;
        Ok(Self {
            child,
            url: format!(
                "postgres://tollgate@/tollgate?host={}",
                percent_encoded(&cluster.socket_dir)
            ),
            version,
            directory: cluster.directory,
        })
    }

    /// Where it listens, as libpq reads it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its version, as `15.18`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Where it lies.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Stops it, if it is ours, and waits until it has.
    pub fn stop(mut self) {
        self.stop_child();
    }

    fn stop_child(&mut self) {
        if let Some(mut child) = self.child.take() {
            // SIGINT: roll back what runs and stop; SIGQUIT: stop at once and recover at the next start.
            for signal in [Signal::INT, Signal::QUIT, Signal::KILL] {
                if kill_process(Pid::from_child(&child), signal).is_err()
                    || exits_within(&mut child, STOP_PATIENCE)
                {
                    return;
                }
            }
        }
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        self.stop_child();
    }
}

impl Cluster {
    fn find(settings: &Settings) -> Result<Self, StartError> {
        let binaries = Binaries::find(settings.bin_dir.as_deref())?;
        let owner = Owner::find();
        let directory = place::directory(&settings.data_dir, &owner)?;
        let socket_dir = place::socket_dir(&directory, &owner)?;
        Ok(Self {
            binaries,
            owner,
            directory,
            socket_dir,
            guard: settings.guard.clone(),
        })
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn log(&self) -> PathBuf {
        self.beside("log")
    }

    /// A file of ours beside the directory: inside it, Postgres' user could make us write elsewhere through a link.
    fn beside(&self, extension: &str) -> PathBuf {
        self.directory.with_extension(extension)
    }

    /// Makes the cluster beside its place and moves it there whole, so that a crash leaves nothing half-made.
    fn initialise(&self) -> Result<(), StartError> {
        if self.data().join("PG_VERSION").exists() {
            return Ok(());
        }
        let draft = self.directory.join("data.tmp");
        match fs::remove_dir_all(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&draft)(error)),
            _ => {}
        }
        let mut initdb = Command::new(self.binaries.initdb());
        initdb
            .args([
                "-U",
                "tollgate",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-instructions",
                "-D",
            ])
            .arg(&draft)
            .current_dir("/")
            .stdin(Stdio::null());
        if let Some((uid, gid)) = self.owner.other_user {
            initdb.uid(uid).gid(gid);
        }
        let output = initdb.output().map_err(at(&self.binaries.initdb()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(StartError::Initdb(last_line(&said)));
        }
        fs::rename(&draft, self.data()).map_err(at(&draft))
    }

    /// Joins a running server, or starts one and waits until it answers; a server that is just dying is waited for.
    fn await_ready(&self, deadline: Instant) -> Result<(Option<Child>, String), StartError> {
        let mut child: Option<Child> = None;
        let mut reason = "no answer in time".to_owned();
        loop {
            let exited = child
                .as_mut()
                .is_some_and(|child| !matches!(child.try_wait(), Ok(None)));
            if exited {
                child = None;
                reason = self.last_log_line();
            }
            match wire::ask(&self.socket_dir) {
                Answer::Ready { version } => return Ok((child, version)),
                Answer::NoSuchDatabase | Answer::Busy => {}
                Answer::Nobody if child.is_none() && !exited => child = Some(self.spawn()?),
                Answer::Nobody => {}
                Answer::Refused(message) => reason = message,
            }
            if Instant::now() > deadline {
                if let Some(mut child) = child {
                    // It never became ready: nothing of ours is in it.
                    let _killed = child.kill();
                    let _reaped = child.wait();
                }
                return Err(StartError::NotReady {
                    reason,
                    log: self.log(),
                });
            }
            std::thread::sleep(POLL);
        }
    }

    fn spawn(&self) -> Result<Child, StartError> {
        let path = self.log();
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > MAX_LOG) {
            fs::rename(&path, path.with_extension("log.1")).map_err(at(&path))?;
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(at(&path))?;
        let errors = log.try_clone().map_err(at(&path))?;
        guard::command(&self.guard, self.owner.other_user)
            .arg(self.binaries.postgres())
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(&self.socket_dir)
            .args([
                "-c",
                "listen_addresses=",
                "-c",
                "unix_socket_permissions=0700",
                "-c",
                "max_connections=200",
            ])
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            // Ctrl-C in a terminal reaches the whole group; the server must finish its requests first.
            .process_group(0)
            .spawn()
            .map_err(at(&self.guard))
    }

    fn last_log_line(&self) -> String {
        let tail = || -> io::Result<String> {
            let mut log = File::open(self.log())?;
            let length = log.metadata()?.len();
            log.seek(SeekFrom::Start(length.saturating_sub(2_000)))?;
            let mut bytes = Vec::new();
            log.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        tail().map_or_else(|error| error.to_string(), |text| last_line(&text))
    }
}

fn exits_within(child: &mut Child, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if !matches!(child.try_wait(), Ok(None)) {
            return true;
        }
        std::thread::sleep(POLL);
    }
    false
}

fn last_line(text: &str) -> String {
    text.lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("it said nothing")
        .trim()
        .to_owned()
}

/// A path inside a connection URI (RFC 3986 section 2.1).
fn percent_encoded(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;

    path.as_os_str()
        .as_bytes()
        .iter()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(*byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// Says which path an I/O error is about.
fn at(path: &Path) -> impl Fn(io::Error) -> StartError {
    let path = path.to_owned();
    move |source| StartError::Io {
        path: path.clone(),
        source,
    }
}
