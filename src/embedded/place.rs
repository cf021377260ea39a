//! Where Postgres is installed, whose processes it may be, where its files go.

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown},
    },
    path::{Path, PathBuf},
    process::Command,
};

use aws_lc_rs::digest;
use rustix::process::geteuid;

use super::{StartError, at};

/// The oldest major version that works.
const OLDEST: u32 = 15;

/// Bytes of the longest path of a unix socket.
const MAX_SOCKET_PATH: usize = 107;

/// The installed server.
pub(super) struct Binaries(PathBuf);

impl Binaries {
    /// Finds the newest installed server, or the one in `only`.
    pub(super) fn find(only: Option<&Path>) -> Result<Self, StartError> {
        let directories = match only {
            Some(directory) => vec![directory.to_owned()],
            None => candidates(),
        };
        let found = directories
            .into_iter()
            .find(|directory| {
                directory.join("postgres").is_file() && directory.join("initdb").is_file()
            })
            .ok_or(StartError::NotInstalled)?;
        let binaries = Self(found);
        let output = Command::new(binaries.postgres())
            .arg("--version")
            .output()
            .map_err(at(&binaries.postgres()))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        match major_version(&text) {
            Some(major) if major >= OLDEST => Ok(binaries),
            _ => Err(StartError::TooOld(text.trim().to_owned())),
        }
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.0.join("postgres")
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.0.join("initdb")
    }
}

/// Debian's and Fedora's places, newest first, then the search path.
fn candidates() -> Vec<PathBuf> {
    let mut versioned: Vec<(u32, PathBuf)> = Vec::new();
    if let Ok(entries) = fs::read_dir("/usr/lib/postgresql") {
        for entry in entries.flatten() {
            if let Some(version) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            {
                versioned.push((version, entry.path().join("bin")));
            }
        }
    }
    if let Ok(entries) = fs::read_dir("/usr") {
        for entry in entries.flatten() {
            let name = entry.file_name();
            if let Some(version) = name
                .to_str()
                .and_then(|name| name.strip_prefix("pgsql-")?.parse().ok())
            {
                versioned.push((version, entry.path().join("bin")));
            }
        }
    }
    versioned.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    #[expect(
        clippy::disallowed_methods,
        reason = "the search path is the system's, not our configuration"
    )]
    let search_path = std::env::var_os("PATH").unwrap_or_default();
    let others = std::env::split_paths(&search_path).chain([PathBuf::from("/usr/local/pgsql/bin")]);
    versioned
        .into_iter()
        .map(|(_, path)| path)
        .chain(others)
        .collect()
}

/// The major version in `postgres (PostgreSQL) 15.18 (Debian …)`.
fn major_version(text: &str) -> Option<u32> {
    let version = text
        .split_whitespace()
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    version
        .split(|character: char| !character.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

/// Who the server's processes and files belong to.
pub(super) struct Owner {
    /// The unprivileged user and group that it runs as when we are root, which Postgres refuses to be.
    pub other_user: Option<(u32, u32)>,
    uid: u32,
}

impl Owner {
    pub(super) fn find() -> Self {
        let own = geteuid().as_raw();
        if own != 0 {
            return Self {
                other_user: None,
                uid: own,
            };
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let (uid, gid) = user(&passwd, "postgres")
            .or_else(|| user(&passwd, "nobody"))
            .unwrap_or((65_534, 65_534));
        Self {
            other_user: Some((uid, gid)),
            uid,
        }
    }

    /// Makes a directory that only the owner enters, or checks that it is one: whoever else made it could read along.
    fn private_directory(&self, path: &Path) -> Result<(), StartError> {
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {
                if let Some((uid, gid)) = self.other_user {
                    lchown(path, Some(uid), Some(gid)).map_err(at(path))?;
                }
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let metadata = fs::symlink_metadata(path).map_err(at(path))?;
                if !metadata.is_dir() || metadata.uid() != self.uid {
                    return Err(StartError::ForeignDirectory(path.to_owned()));
                }
                fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(at(path))
            }
            Err(error) => Err(at(path)(error)),
        }
    }
}

fn user(passwd: &str, name: &str) -> Option<(u32, u32)> {
    let line = passwd
        .lines()
        .find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Makes the directory that everything of it lies in.
pub(super) fn directory(data_dir: &Path, owner: &Owner) -> Result<PathBuf, StartError> {
    let absolute = std::path::absolute(data_dir).map_err(at(data_dir))?;
    fs::create_dir_all(&absolute).map_err(at(&absolute))?;
    let absolute = absolute.canonicalize().map_err(at(&absolute))?;
    let place = if owner.other_user.is_none() || is_open_to_others(&absolute) {
        absolute.join("postgres")
    } else {
        let shared = Path::new("/var/lib/tollgate");
        fs::create_dir_all(shared).map_err(at(shared))?;
        shared.join(short_name(&absolute))
    };
    owner.private_directory(&place)?;
    Ok(place)
}

/// Tells whether another user can pass through a directory and all above it.
fn is_open_to_others(directory: &Path) -> bool {
    directory.ancestors().all(|ancestor| {
        fs::metadata(ancestor).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0)
    })
}

/// Makes the directory of the socket: beside the data where the path is short enough, else a short one.
pub(super) fn socket_dir(directory: &Path, owner: &Owner) -> Result<PathBuf, StartError> {
    let beside = directory.join("run");
    let place = if fits_a_socket(&beside) {
        beside
    } else {
        Path::new("/tmp").join(format!("tollgate-{}", short_name(directory)))
    };
    owner.private_directory(&place)?;
    Ok(place)
}

fn fits_a_socket(directory: &Path) -> bool {
    // Postgres adds a lock file's `.lock` to the socket's own name.
    directory.as_os_str().len() + "/.s.PGSQL.5432.lock".len() <= MAX_SOCKET_PATH
}

/// A name for a path that stays the same as long as the path does.
fn short_name(path: &Path) -> String {
    let hash = digest::digest(&digest::SHA256, path.as_os_str().as_bytes());
    hash.as_ref()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_postgres_writes_them() {
        assert_eq!(
            major_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"),
            Some(15)
        );
        assert_eq!(major_version("postgres (PostgreSQL) 18beta2"), Some(18));
        assert_eq!(major_version("nonsense"), None);
    }

    #[test]
    fn users_are_found_by_their_whole_name() {
        let passwd =
            "root:x:0:0::/root:/bin/sh\npostgresql:x:1:1::/:/x\npostgres:x:101:102:,,,:/x:/y\n";
        assert_eq!(user(passwd, "postgres"), Some((101, 102)));
        assert_eq!(user(passwd, "nobody"), None);
    }

    #[test]
    fn long_directories_get_a_short_socket() {
        assert!(fits_a_socket(Path::new(
            "/home/ada/shop/.tollgate/postgres/run"
        )));
        assert!(!fits_a_socket(Path::new(&format!(
            "/home/{}",
            "x".repeat(90)
        ))));
    }
}
