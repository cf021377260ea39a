//! The records of a collection from and to the command line.

use std::{
    fs::File,
    io::{BufRead, BufReader, IsTerminal, Read, Write},
    path::Path,
};

use anyhow::Context;
use diesel::{Connection, PgConnection, RunQueryDsl};
use indicatif::{ProgressBar, ProgressStyle};

use super::collection::told;
use crate::{
    collections::{Catalog, CollectionName},
    error::ApiError,
    records,
};

/// Bytes of the longest line: a document and what the server keeps of it.
const LONGEST_LINE: u64 = 2_097_152;

/// Prints every record as it is at one moment.
pub(super) fn export(conn: &mut PgConnection, name: &CollectionName) -> anyhow::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let progress = progress(None);
    let catalog = Catalog::default();
    let mut snapshot = conn.build_transaction().read_only().repeatable_read();
    let exported = snapshot.run(|conn| {
        records::export_any_owner(conn, &catalog, name, |record| {
            progress.inc(1);
            writeln!(out, "{record}").map_err(ApiError::internal)
        })
    });
    exported.map_err(|error| told(&error))?;
    out.flush()?;
    progress.finish_and_clear();
    eprintln!("{}: {} records", name.as_ref(), progress.position());
    Ok(())
}

/// Stores records that were exported: all of them, or none where one can't be.
pub(super) fn import(
    conn: &mut PgConnection,
    name: &CollectionName,
    file: Option<&Path>,
) -> anyhow::Result<()> {
    let (input, bytes): (Box<dyn Read>, _) = match file {
        None => (Box::new(std::io::stdin()), None),
        Some(path) => {
            let file = File::open(path).with_context(|| path.display().to_string())?;
            let bytes = file.metadata()?.len();
            (Box::new(file), Some(bytes))
        }
    };
    diesel::sql_query("set statement_timeout = 0").execute(conn)?;
    let mut lines = Lines {
        input: BufReader::new(input),
        number: 0,
    };
    let (progress, catalog) = (progress(bytes), Catalog::default());
    let (mut stored, mut there) = (0_u64, 0_u64);
    conn.transaction(|conn| {
        // Records may refer to others that come later.
        diesel::sql_query("set constraints all deferred").execute(conn)?;
        while let Some((number, line)) = lines.next()? {
            let imported = records::import_any_owner(conn, &catalog, name, &line)
                .map_err(|error| told(&error).context(format!("line {number}")))?;
            let counter = if imported { &mut stored } else { &mut there };
            *counter += 1;
            progress.inc(match bytes {
                Some(_) => u64::try_from(line.len())?,
                None => 1,
            });
        }
        diesel::sql_query("set constraints all immediate")
            .execute(conn)
            .context("a record refers to one that is not there")?;
        anyhow::Ok(())
    })?;
    progress.finish_and_clear();
    super::print(&format!(
        "{}: {stored} stored, {there} were there",
        name.as_ref()
    ))
}

/// Lines of an input, with their numbers.
struct Lines<R> {
    input: BufReader<R>,
    number: usize,
}

impl<R: Read> Lines<R> {
    /// The next line that is not empty.
    fn next(&mut self) -> anyhow::Result<Option<(usize, Vec<u8>)>> {
        loop {
            let mut line = Vec::new();
            let mut input = self.input.by_ref().take(LONGEST_LINE);
            let read = input.read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            let is_whole = line.ends_with(b"\n") || u64::try_from(read)? < LONGEST_LINE;
            anyhow::ensure!(is_whole, "line {} is too long", self.number);
            if !line.trim_ascii().is_empty() {
                return Ok(Some((self.number, line)));
            }
        }
    }
}

/// A bar for somebody who looks, of so many bytes, or a number that grows.
fn progress(bytes: Option<u64>) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match bytes {
        Some(bytes) => (
            ProgressBar::new(bytes),
            "{wide_bar} {bytes} of {total_bytes}, {eta} left",
        ),
        None => (ProgressBar::no_length(), "{spinner} {pos} records"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_unreadable) => bar,
    }
}
