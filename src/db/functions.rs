//! Functions of Postgres as parts of statements: one that holds SQL as text would be planned anew each time.

use diesel::{
    QueryResult,
    pg::Pg,
    query_builder::AstPass,
    serialize::ToSql,
    sql_types::{Array, HasSqlType, Interval, Nullable, SqlType, Text, Timestamptz},
};

#[diesel::declare_sql_function]
extern "SQL" {
    /// The time at which it is called, also within a transaction.
    fn clock_timestamp() -> Timestamptz;

    /// A time and some more.
    #[sql_name = "timestamptz_pl_interval"]
    fn after(at: Timestamptz, some: Interval) -> Timestamptz;

    /// A time less some.
    #[sql_name = "timestamptz_mi_interval"]
    fn before(at: Timestamptz, some: Interval) -> Timestamptz;

    /// A time cut to whole units.
    fn date_trunc(unit: Text, at: Timestamptz) -> Timestamptz;

    /// The next number of a sequence.
    fn nextval(sequence: Text) -> BigInt;

    /// A time, or another where there is none.
    fn coalesce(at: Nullable<Timestamptz>, otherwise: Timestamptz) -> Timestamptz;
}

/// Writes an array in a form whose length plans don't depend on: Postgres would plan the statement anew for each.
///
/// # Errors
/// None that happens.
pub fn push_array<'b, T, A>(out: &mut AstPass<'_, 'b, Pg>, array: &'b A) -> QueryResult<()>
where
    Pg: HasSqlType<Array<T>>,
    T: SqlType + 'static,
    A: ToSql<Array<T>, Pg>,
{
    out.push_sql("(select ");
    out.push_bind_param::<Array<T>, _>(array)?;
    out.push_sql(")");
    Ok(())
}
