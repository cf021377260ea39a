//! The table of references, and the columns that they stand for.

use diesel::{connection::SimpleConnection, prelude::*};

use super::{
    extensions::Reference,
    store::{find, table_name},
};
use crate::{
    error::{ApiError, Code},
    schema::collection_references,
};

/// One stored reference.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = collection_references)]
pub(super) struct ReferenceRow {
    pub number: i64,
    pub member: String,
    pub target: String,
    pub on_delete: String,
}

impl ReferenceRow {
    /// Its foreign key.
    pub fn constraint(&self, serial: i64) -> String {
        format!("c{serial}_r{}_fkey", self.number)
    }

    fn is(&self, declared: &Reference) -> bool {
        self.member == declared.member && self.target == declared.target
    }
}

pub(super) fn list(conn: &mut PgConnection, collection: &str) -> QueryResult<Vec<ReferenceRow>> {
    collection_references::table
        .filter(collection_references::collection.eq(collection))
        .select(ReferenceRow::as_select())
        .order(collection_references::number)
        .load(conn)
}

/// The collections whose records refer to those of another one.
pub(super) fn referring(conn: &mut PgConnection, target: &str) -> QueryResult<Vec<String>> {
    collection_references::table
        .filter(collection_references::target.eq(target))
        .filter(collection_references::collection.ne(target))
        .select(collection_references::collection)
        .distinct()
        .load(conn)
}

/// Brings the references of a collection in line with its declaration, inside the caller's transaction.
///
/// # Errors
/// 422 for a target that is not declared; 409 where a stored record refers to none that is there.
pub(super) fn settle(
    conn: &mut PgConnection,
    name: &str,
    serial: i64,
    declared: &[Reference],
) -> Result<(), ApiError> {
    let stored = list(conn, name)?;
    let is_declared = |row: &&ReferenceRow| declared.iter().any(|one| row.is(one));
    for row in stored.iter().filter(|row| !is_declared(row)) {
        diesel::delete(collection_references::table.find(row.number)).execute(conn)?;
        let table = table_name(serial);
        conn.batch_execute(&format!("alter table {table} drop column r{}", row.number))?;
    }
    for reference in declared {
        match stored.iter().find(|row| row.is(reference)) {
            None => add(conn, name, serial, reference)?,
            Some(row) if row.on_delete != reference.on_delete.name() => {
                diesel::update(collection_references::table.find(row.number))
                    .set(collection_references::on_delete.eq(reference.on_delete.name()))
                    .execute(conn)?;
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn add(
    conn: &mut PgConnection,
    name: &str,
    serial: i64,
    reference: &Reference,
) -> Result<(), ApiError> {
    let target = find(conn, &reference.target)?.ok_or_else(|| reference.refuse_target())?;
    let row: ReferenceRow = diesel::insert_into(collection_references::table)
        .values((
            collection_references::collection.eq(name),
            collection_references::member.eq(&reference.member),
            collection_references::target.eq(&reference.target),
            collection_references::on_delete.eq(reference.on_delete.name()),
        ))
        .returning(ReferenceRow::as_returning())
        .get_result(conn)?;
    // Of the member's name nothing is left that SQL could take for something else: `Reference` has seen to that.
    let (table, number, member) = (table_name(serial), row.number, &reference.member);
    let (constraint, others) = (row.constraint(serial), table_name(target.serial));
    let added = conn.batch_execute(&format!(
        "alter table {table} add column r{number} uuid generated always as (
            case when data ->> '{member}' ~ '^[0-9a-fA-F]{{8}}(-[0-9a-fA-F]{{4}}){{3}}-[0-9a-fA-F]{{12}}$'
                then (data ->> '{member}')::uuid end) stored;
         create index c{serial}_r{number}_idx on {table} (r{number}) where r{number} is not null;
         alter table {table} add constraint {constraint} foreign key (r{number}) references {others} (id)
            deferrable initially immediate;
         create or replace trigger \"A_release_references\" after delete on {others}
            for each row execute function release_references({})",
        target.serial
    ));
    added.map_err(|error| refused(error, reference))
}

fn refused(error: diesel::result::Error, reference: &Reference) -> ApiError {
    use diesel::result::{DatabaseErrorKind, Error};

    match error {
        Error::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _) => {
            let detail = format!(
                "`{}` of a stored record refers to no record of `{}`",
                reference.member, reference.target
            );
            ApiError::new(Code::RecordsMisfit, detail)
        }
        error => error.into(),
    }
}
