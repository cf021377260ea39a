//! The OpenAPI document as somebody sees it, for a generator.

use anyhow::Context;
use diesel::PgConnection;

use crate::{
    collections::Catalog,
    config::Config,
    docs::{self, Viewer},
    roles,
    scope::Authority,
    start::Database,
};

/// Whoever has no token.
const ANONYMOUS: &str = "anonymous";

pub(super) fn text(role: &str, config: &Config) -> anyhow::Result<String> {
    let database = Database::open(config)?;
    let mut conn = database.connect()?;
    let viewer = match role {
        ANONYMOUS => Viewer::visitor(),
        role => with_role(&mut conn, role)?,
    };
    let collections = Catalog::default().all(&mut conn)?;
    Ok(docs::documents().text(collections, &viewer)?.to_string())
}

/// Somebody with a role beside the one that everyone has.
fn with_role(conn: &mut PgConnection, role: &str) -> anyhow::Result<Viewer> {
    let found = roles::find(conn, role)?.with_context(|| format!("there is no role {role}"))?;
    let everyone = roles::find(conn, roles::EVERYONE)?;
    let rows = [Some(found), everyone];
    let rows = rows.iter().flatten();
    let scopes =
        roles::effective_scopes(rows.map(|row| (row.name.as_str(), row.scopes.as_slice())));
    let authority = Authority::new(scopes, &[role.to_owned()]);
    Ok(Viewer::with_role(role, authority))
}
