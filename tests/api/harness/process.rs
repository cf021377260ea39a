//! The server as its own process: the built binary, run as an operator would.

use std::{
    fs::Permissions,
    io::{BufRead, BufReader, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use tempfile::TempDir;

/// A running `tollgate serve`; killed when it goes out of scope.
pub struct Process {
    child: Child,
    banner: Vec<String>,
    log: PathBuf,
    pub directory: TempDir,
}

/// Lets the user that Postgres runs as pass through a directory.
pub fn let_everyone_in(directory: &Path) {
    std::fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
}

/// A directory that Postgres can live in.
pub fn directory() -> TempDir {
    let directory = tempfile::Builder::new()
        .prefix("tollgate-run-")
        .tempdir()
        .unwrap();
    let_everyone_in(directory.path());
    directory
}

/// The binary with an environment that holds nothing of ours but what is given.
pub fn command(directory: &Path, environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.current_dir(directory);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("TOLLGATE_") || name == "DATABASE_URL" {
            command.env_remove(name);
        }
    }
    command
        .env("TOLLGATE_LISTEN", "127.0.0.1:0")
        .envs(environment.iter().copied());
    command
}

/// Runs a command to its end, with `input` on standard input.
pub fn run(
    directory: &Path,
    environment: &[(&str, &str)],
    arguments: &[&str],
    input: &str,
) -> Output {
    let mut child = command(directory, environment)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

impl Process {
    /// Starts the server in a directory of its own and waits until it says that it is ready.
    pub fn start(environment: &[(&str, &str)]) -> Self {
        Self::start_in(directory(), environment)
    }

    /// The same in a given directory, as after a restart.
    pub fn start_in(directory: TempDir, environment: &[(&str, &str)]) -> Self {
        Self::try_start_in(directory, environment).unwrap_or_else(|log| panic!("{log}"))
    }

    /// The same; what it logged when it ends instead of becoming ready.
    pub fn try_start_in(directory: TempDir, environment: &[(&str, &str)]) -> Result<Self, String> {
        let log = directory
            .path()
            .join(format!("log-{}", uuid::Uuid::now_v7()));
        let mut child = command(directory.path(), environment)
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut banner: Vec<String> = Vec::new();
        while !banner.last().is_some_and(|line| line.contains("Ctrl-C")) {
            let mut line = String::new();
            if lines.read_line(&mut line).unwrap() == 0 {
                child.wait().unwrap();
                return Err(std::fs::read_to_string(&log).unwrap());
            }
            banner.push(line.trim_end().to_owned());
        }
        // Whatever it prints later must not block it.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Ok(Self {
            child,
            banner,
            log,
            directory,
        })
    }

    pub fn banner(&self) -> &[String] {
        &self.banner
    }

    /// What the banner says of `name`.
    pub fn says(&self, name: &str) -> Option<&str> {
        self.banner
            .iter()
            .find_map(|line| line.trim().strip_prefix(name).map(str::trim))
    }

    pub fn address(&self) -> String {
        self.says("api").unwrap().to_owned()
    }

    /// Where it listens, when the issuer is another address.
    pub fn listening(&self) -> String {
        format!("http://{}", self.says("listening").unwrap())
    }

    /// The CPU that it has used, in clock ticks (proc(5)).
    pub fn cpu_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<_> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// Everything that it logged so far.
    pub fn log(&self) -> String {
        let mut text = String::new();
        std::fs::File::open(&self.log)
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        text
    }

    /// Kills it without warning and gives its directory back.
    pub fn kill(mut self) -> TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.directory, directory())
    }

    /// Asks it to stop; answers the exit code and its directory.
    pub fn stop(mut self, signal: rustix::process::Signal) -> (Option<i32>, TempDir) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
        let code = self.child.wait().unwrap().code();
        (code, std::mem::replace(&mut self.directory, directory()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
