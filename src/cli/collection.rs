//! Collections from the command line.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use diesel::PgConnection;
use serde_json::Value;

use super::transfer;
use crate::{
    audit::Actor,
    collections::{self, CollectionName, Declaration, Saving, routes::DeclaredCollection},
    config::Config,
    error::{ApiError, FieldError},
    precondition::Precondition,
    start::Database,
    strict_json,
};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Declare collections, each named like its file: orders.json declares `orders`
    Apply {
        /// Declarations, as PUT /v1/collections/{name} takes them
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Only tell what would become of the stored records
        #[arg(long)]
        dry_run: bool,
        /// Also where stored records don't fit the schema
        #[arg(long)]
        force: bool,
    },
    /// List collections by name
    List {
        #[arg(long)]
        json: bool,
    },
    /// Show how a collection is declared, as JSON
    Show { name: CollectionName },
    /// Print every record of a collection, each as JSON on a line of its own
    Export { name: CollectionName },
    /// Store records that were exported: with their ids, owners, versions and times; those that are there stay as they are
    Import {
        name: CollectionName,
        /// What `export` printed; standard input when left out
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Delete a collection with all its records
    Delete {
        name: CollectionName,
        /// The name once more
        #[arg(long, value_name = "NAME")]
        confirm: String,
    },
}

pub(super) fn run(command: Command, config: Config) -> anyhow::Result<()> {
    let database = Database::open(&config)?;
    let mut conn = database.connect()?;
    match command {
        Command::Apply {
            files,
            dry_run,
            force,
        } => {
            // All are read before any is applied.
            let declared: Vec<_> = files
                .iter()
                .map(|file| read(file))
                .collect::<Result<_, _>>()?;
            let saving = Saving {
                precondition: Precondition::default(),
                is_forced: force,
            };
            for (file, (name, declaration)) in in_order(files.iter().zip(&declared).collect()) {
                apply(&mut conn, name, declaration, &saving, dry_run)
                    .map_err(|error| told(&error))
                    .with_context(|| file.display().to_string())?;
            }
        }
        Command::List { json } => {
            let listed: Vec<_> = collections::list(&mut conn)?
                .into_iter()
                .map(|row| DeclaredCollection::of(&mut conn, row))
                .collect::<Result<_, _>>()?;
            super::print_list(&listed, json, |collection| {
                format!("{}  {}", collection.name, collection.type_name)
            })?;
        }
        Command::Show { name } => {
            let row = collections::find(&mut conn, name.as_ref())?;
            let row = row.with_context(|| format!("there is no collection {}", name.as_ref()))?;
            super::print(&serde_json::to_string_pretty(&row.declaration()?)?)?;
        }
        Command::Export { name } => transfer::export(&mut conn, &name)?,
        Command::Import { name, file } => transfer::import(&mut conn, &name, file.as_deref())?,
        Command::Delete { name, confirm } => {
            anyhow::ensure!(
                confirm == name.as_ref(),
                "--confirm has to repeat the name: all records go with the collection"
            );
            let any = Precondition::default();
            collections::delete(&mut conn, &Actor::operator(), &name, &any)?;
        }
    }
    Ok(())
}

/// The same, but what others refer to before these.
fn in_order<'a>(
    mut left: Vec<(&'a PathBuf, &'a (CollectionName, Declaration))>,
) -> Vec<(&'a PathBuf, &'a (CollectionName, Declaration))> {
    let mut ordered = Vec::new();
    while !left.is_empty() {
        let waits = |(_, (name, declaration)): &(_, &(CollectionName, Declaration))| {
            let mut others = left.iter().map(|(_, (other, _))| other);
            others.any(|other| other != name && refers(declaration, other))
        };
        let ready = left.iter().position(|one| !waits(one));
        // Those that refer to each other are refused where that can be told.
        ordered.push(left.remove(ready.unwrap_or(0)));
    }
    ordered
}

fn refers(declaration: &Declaration, target: &CollectionName) -> bool {
    let properties = declaration.schema.get("properties");
    let mut properties = properties.and_then(Value::as_object).into_iter().flatten();
    properties
        .any(|(_, schema)| schema.get("x-ref").and_then(Value::as_str) == Some(target.as_ref()))
}

fn read(file: &Path) -> anyhow::Result<(CollectionName, Declaration)> {
    let stem = file.file_stem().and_then(|stem| stem.to_str());
    let name = stem
        .unwrap_or_default()
        .parse()
        .with_context(|| file.display().to_string())?;
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    if let Err(strict_json::Fault::Refused(faults)) = strict_json::check(text.as_bytes()) {
        anyhow::bail!("{}: {}", file.display(), joined(&faults));
    }
    let declaration = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
    Ok((name, declaration))
}

fn apply(
    conn: &mut PgConnection,
    name: &CollectionName,
    declaration: &Declaration,
    saving: &Saving,
    dry_run: bool,
) -> Result<(), ApiError> {
    let said = if dry_run {
        let misfits = collections::try_out(conn, name, declaration, saving)?;
        format!(
            "{}: {} of {} records don't fit",
            name.as_ref(),
            misfits.count,
            misfits.of
        )
    } else {
        let saved = collections::save(conn, &Actor::operator(), name, declaration, saving)?;
        let done = if saved.is_new {
            "declared"
        } else {
            "declared anew"
        };
        format!(
            "{}: {done}, version {}",
            name.as_ref(),
            saved.row.generation
        )
    };
    super::print(&said).map_err(|error| ApiError::internal(error.to_string()))
}

/// A refusal with each of its faults.
pub(super) fn told(error: &ApiError) -> anyhow::Error {
    if error.errors.is_empty() {
        anyhow::anyhow!("{}", error.detail)
    } else {
        anyhow::anyhow!("{}", joined(&error.errors))
    }
}

fn joined(faults: &[FieldError]) -> String {
    let faults = faults.iter();
    let told = faults.map(|fault| format!("{}: {}", fault.pointer, fault.detail));
    told.collect::<Vec<_>>().join("; ")
}
