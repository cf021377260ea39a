//! The compiler to SQL: values, in the form that their reader wants.

use diesel::pg::data_types::PgInterval;

use super::{
    moment::CANONICAL,
    sql::{Bind, Writer},
    tree::{Expr, Operator, Path},
    value::{Value, is_storable},
};

impl Writer {
    pub(super) fn number(&mut self, expr: &Expr) {
        match expr {
            Expr::Constant(Value::Number(number)) => {
                self.bind(Bind::Text(number.to_string()));
                self.push("::numeric");
            }
            Expr::Path(path) => match path.column() {
                Some("version") => self.push(format!("{}::numeric", self.column("version"))),
                Some(_) => self.push("null::numeric"),
                None => {
                    let place = self.place(path);
                    self.member_as_number(&place);
                }
            },
            Expr::Arithmetic(operator, one, other) => {
                self.push("(");
                self.number(one);
                self.push(match operator {
                    Operator::Add => " + ",
                    Operator::Subtract => " - ",
                    Operator::Multiply => " * ",
                });
                self.number(other);
                self.push(")");
            }
            Expr::Size(part) => self.size(part),
            _ => self.push("null::numeric"),
        }
    }

    fn size(&mut self, part: &Expr) {
        match part {
            Expr::Path(path) if path.column().is_none() => {
                let place = self.place(path);
                self.member_size(&place);
            }
            part => {
                self.push("char_length(");
                self.text(part);
                self.push(")::numeric");
            }
        }
    }

    pub(super) fn text(&mut self, expr: &Expr) {
        match expr {
            Expr::Constant(Value::Text(text)) => self.bind(Bind::Text(text.to_string())),
            Expr::Path(path) => match path.column() {
                Some(column @ ("id" | "owner")) => {
                    self.push(format!("({}::text collate \"C\")", self.column(column)));
                }
                Some(_) => self.push("null::text"),
                None => {
                    let place = self.place(path);
                    self.member_as_text(&place);
                }
            },
            _ => self.push("null::text"),
        }
    }

    pub(super) fn moment(&mut self, expr: &Expr) {
        match expr {
            Expr::Constant(Value::Moment(moment)) => self.bind(Bind::Moment(*moment)),
            Expr::Path(path) => match path.column() {
                Some(column @ ("created_at" | "updated_at")) => self.push(self.column(column)),
                _ => self.push("null::timestamptz"),
            },
            Expr::Moment(part) => {
                self.push("(case when ");
                self.text(part);
                self.push(format!(" ~ '{CANONICAL}' then ("));
                self.text(part);
                self.push(")::timestamptz end)");
            }
            Expr::Shift(part, by) => {
                let by = PgInterval::from_microseconds(by.saturating_mul(1000));
                self.push("(case when ");
                self.shifted(part, by);
                self.push(" >= '0001-01-01T00:00:00Z'::timestamptz and ");
                self.shifted(part, by);
                self.push(" < '10000-01-01T00:00:00Z'::timestamptz then ");
                self.shifted(part, by);
                self.push(" end)");
            }
            _ => self.push("null::timestamptz"),
        }
    }

    fn shifted(&mut self, part: &Expr, by: PgInterval) {
        self.push("(");
        self.moment(part);
        self.push(" + ");
        self.bind(Bind::Interval(by));
        self.push(")");
    }

    /// The value as `jsonb`, for what is no timestamp.
    pub(super) fn json(&mut self, expr: &Expr) {
        match expr {
            Expr::Constant(value) => match Some(value.to_json()).filter(is_storable) {
                Some(json) => self.bind(Bind::Json(json)),
                None => self.push("null::jsonb"),
            },
            Expr::Path(path) => self.member_or_column_as_json(path),
            Expr::Arithmetic(..) | Expr::Size(_) => {
                self.push("to_jsonb(");
                self.number(expr);
                self.push(")");
            }
            _ => {
                self.push("to_jsonb(");
                self.exact(expr);
                self.push(")");
            }
        }
    }

    fn member_or_column_as_json(&mut self, path: &Path) {
        match path.column() {
            Some("owner") => {
                let owner = self.column("owner");
                self.push(format!("coalesce(to_jsonb({owner}::text), 'null')"));
            }
            Some("id") => self.push(format!("to_jsonb({}::text)", self.column("id"))),
            Some("version") => self.push(format!("to_jsonb({})", self.column("version"))),
            // Timestamps have no form as `jsonb`.
            Some(_) => self.push("null::jsonb"),
            None => {
                let place = self.place(path);
                self.member_as_json(&place);
            }
        }
    }
}
