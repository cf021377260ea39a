//! The guard: our own binary executed anew, which ties its fate to the server and then becomes Postgres.
//!
//! Between `fork` and `exec` only unsafe code could do this; after `exec` safe code can.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::Command,
};

use rustix::{
    process::{Gid, Signal, Uid, getppid, set_parent_process_death_signal},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

/// The command that starts a guard for this process; the program and its arguments follow.
pub(super) fn command(guard: &Path, user: Option<(u32, u32)>) -> Command {
    let (uid, gid) = user.map_or(("-".to_owned(), "-".to_owned()), |(uid, gid)| {
        (uid.to_string(), gid.to_string())
    });
    let mut command = Command::new(guard);
    command
        .arg("guard-postgres")
        .arg(std::process::id().to_string())
        .arg(uid)
        .arg(gid);
    command
}

/// Becomes another user where told so, asks to be stopped when the parent dies, and executes the program.
///
/// `arguments`: the parent's process id, user id and group id (or `-`), the program, its arguments. Returns only the
/// error that kept it from executing.
pub fn guard(arguments: &[OsString]) -> io::Error {
    match prepare(arguments) {
        Ok(mut program) => program.exec(),
        Err(error) => error,
    }
}

fn prepare(arguments: &[OsString]) -> io::Result<Command> {
    let [parent, uid, gid, program, rest @ ..] = arguments else {
        return Err(io::Error::other(
            "usage: guard-postgres PARENT UID GID PROGRAM…",
        ));
    };
    if let (Some(uid), Some(gid)) = (number(uid), number(gid)) {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        set_thread_groups(&[])?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)?;
    }
    // Only now: changing users clears the signal (prctl(2), PR_SET_PDEATHSIG). SIGINT is Postgres' fast shutdown.
    set_parent_process_death_signal(Some(Signal::INT))?;
    // The parent may have died before the signal was asked for.
    let here = getppid().map(|pid| pid.as_raw_nonzero().get().to_string());
    if here.as_deref().map(OsStr::new) != Some(parent) {
        return Err(io::Error::other("the server is gone"));
    }
    let mut command = Command::new(program);
    command.args(rest);
    Ok(command)
}

fn number(text: &OsStr) -> Option<u32> {
    text.to_str()?.parse().ok()
}
