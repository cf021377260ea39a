//! The compiler to SQL: comparisons, by what the two sides can be.

use uuid::Uuid;

use super::{
    moment::{CANONICAL, canonical},
    sql::{Aim, Bind, Writer},
    tree::{Comparison, Expr, Path},
    value::Value,
};

/// The type that a side has whatever it reads, by its name in `jsonb_typeof`.
pub(super) fn known_type(expr: &Expr) -> Option<&'static str> {
    match expr {
        Expr::Constant(value) => Some(type_of(value)),
        Expr::Path(path) => match path.column() {
            Some("version") => Some("number"),
            Some("id" | "owner") => Some("string"),
            _ => None,
        },
        Expr::Arithmetic(..) | Expr::Size(_) => Some("number"),
        _ => Some("boolean"),
    }
}

pub(super) fn type_of(value: &Value<'_>) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Boolean(_) => "boolean",
        Value::Number(_) => "number",
        Value::Text(_) => "string",
        Value::Moment(_) => "timestamp",
        Value::List(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Whether it is read rather than calculated: such a value may be null, and its SQL is short enough to stand there twice.
pub(super) fn is_read(expr: &Expr) -> bool {
    matches!(expr, Expr::Path(_))
}

/// The member behind a timestamp that a document holds as text.
pub(super) fn moment_member(expr: &Expr) -> Option<&Path> {
    match expr {
        Expr::Moment(part) => match part.as_ref() {
            Expr::Path(path) if path.column().is_none() => Some(path),
            _ => None,
        },
        _ => None,
    }
}

pub(super) fn uuid_column(expr: &Expr) -> Option<&'static str> {
    match expr {
        Expr::Path(path) => path.column().filter(|name| matches!(*name, "id" | "owner")),
        _ => None,
    }
}

/// The UUID that a text is, where it is in the form in which Postgres writes it.
pub(super) fn as_uuid(value: &Value<'_>) -> Option<Uuid> {
    match value {
        Value::Text(text) => Uuid::parse_str(text)
            .ok()
            .filter(|uuid| uuid.to_string() == *text),
        _ => None,
    }
}

impl Writer {
    pub(super) fn compare(&mut self, aim: Aim, comparison: Comparison, one: &Expr, other: &Expr) {
        if let Expr::Constant(_) = one {
            return self.compare_sides(aim, comparison.mirrored(), other, one);
        }
        self.compare_sides(aim, comparison, one, other);
    }

    /// Compares, with a constant on the right if there is one.
    fn compare_sides(&mut self, aim: Aim, comparison: Comparison, one: &Expr, other: &Expr) {
        match (comparison, other) {
            (Comparison::NotEqual, _) => {
                self.push("(not ");
                self.compare_sides(Aim::Verdict, Comparison::Equal, one, other);
                self.push(")");
            }
            (Comparison::Equal, Expr::Constant(Value::Null)) => self.is_null(one),
            (Comparison::Equal, Expr::Constant(value)) => self.equals_constant(aim, one, value),
            (Comparison::Equal, _) => self.equals(one, other),
            _ => self.order(aim, comparison, one, other),
        }
    }

    fn order(&mut self, aim: Aim, comparison: Comparison, one: &Expr, other: &Expr) {
        let sign = comparison.sign();
        if let (Some(member), Expr::Constant(Value::Moment(moment))) = (moment_member(one), other) {
            let text = Value::Text(canonical(*moment).into());
            return self.canonical_text(aim, member, |writer, member| {
                writer.text(member);
                writer.push(format!(" {sign} "));
                writer.text(&Expr::Constant(text));
            });
        }
        if one.is_moment() || other.is_moment() {
            return self.infix(Self::moment, one, sign, other);
        }
        if let (Some(column), Expr::Constant(value)) = (uuid_column(one), other)
            && let Some(uuid) = as_uuid(value)
        {
            self.push(format!("({} {sign} ", self.column(column)));
            self.bind(Bind::Uuid(uuid));
            return self.push(")");
        }
        match known_type(one).or(known_type(other)) {
            Some("number") => self.infix(Self::number, one, sign, other),
            Some("string") => self.infix(Self::text, one, sign, other),
            Some(_) => self.push("null::boolean"),
            None => {
                // Where one is no number, the number of it is null, and so is the comparison.
                self.push("coalesce(");
                self.infix(Self::number, one, sign, other);
                self.push(", ");
                self.infix(Self::text, one, sign, other);
                self.push(")");
            }
        }
    }

    pub(super) fn infix(
        &mut self,
        form: fn(&mut Self, &Expr),
        one: &Expr,
        sign: &str,
        other: &Expr,
    ) {
        self.push("(");
        form(self, one);
        self.push(format!(" {sign} "));
        form(self, other);
        self.push(")");
    }

    /// Writes what is to be told of a timestamp in its text, and makes it an error where the text is none.
    fn canonical_text(&mut self, aim: Aim, member: &Path, told: impl FnOnce(&mut Self, &Expr)) {
        let member = Expr::Path(member.clone());
        self.push("(");
        if aim == Aim::Truth {
            // Outside of the `case`, where an index sees it.
            told(self, &member);
            self.push(" and ");
            self.text(&member);
            self.push(format!(" ~ '{CANONICAL}')"));
        } else {
            self.push("case when ");
            self.text(&member);
            self.push(format!(" ~ '{CANONICAL}' then "));
            told(self, &member);
            self.push(" end)");
        }
    }

    fn equals_constant(&mut self, aim: Aim, one: &Expr, value: &Value<'_>) {
        if let (Some(column), Some(uuid)) = (uuid_column(one), as_uuid(value)) {
            let column = self.column(column);
            // A record without owner is nobody's, and that is no error.
            let (before, after) = match aim {
                Aim::Truth => ("(", ")"),
                Aim::Verdict => ("coalesce(", ", false)"),
            };
            self.push(format!("{before}{column} = "));
            self.bind(Bind::Uuid(uuid));
            return self.push(after);
        }
        let other = Expr::Constant(value.clone().into_owned());
        match (aim, value) {
            (_, Value::Moment(moment)) => match moment_member(one) {
                Some(member) => self.is_text_among(aim, member, vec![canonical(*moment)], "false"),
                None => self.equals(one, &other),
            },
            (Aim::Truth, Value::Boolean(truth)) if is_read(one) => {
                self.push(if *truth { "(" } else { "(not " });
                self.truth(one);
                self.push(")");
            }
            (Aim::Truth, Value::Number(_)) => self.infix(Self::number, one, "=", &other),
            (Aim::Truth, Value::Text(_)) if !one.is_moment() => {
                self.infix(Self::text, one, "=", &other);
            }
            _ => self.equals(one, &other),
        }
    }

    fn equals(&mut self, one: &Expr, other: &Expr) {
        if one.is_moment() || other.is_moment() {
            return match (one.is_moment(), other.is_moment()) {
                (true, true) => self.equals_moment(one, other),
                (true, false) => self.equals_stranger(one, other),
                _ => self.equals_stranger(other, one),
            };
        }
        match (is_read(one), is_read(other)) {
            (true, true) => {
                self.push("(case when jsonb_typeof(");
                self.json(one);
                self.push(") = jsonb_typeof(");
                self.json(other);
                self.push(") then ");
                self.json(one);
                self.push(" = ");
                self.json(other);
                self.push(" when 'null' in (jsonb_typeof(");
                self.json(one);
                self.push("), jsonb_typeof(");
                self.json(other);
                self.push(")) and ");
                self.is_no_error(one);
                self.push(" and ");
                self.is_no_error(other);
                self.push(" then false end)");
            }
            (true, false) => self.equals_known(one, other),
            (false, true) => self.equals_known(other, one),
            (false, false) if known_type(one) == known_type(other) => {
                self.infix(Self::json, one, "=", other);
            }
            (false, false) => self.push("null::boolean"),
        }
    }

    fn is_no_error(&mut self, read: &Expr) {
        self.json(read);
        self.push(" is not null");
    }

    /// Compares what is read with what has a type and is never null.
    fn equals_known(&mut self, read: &Expr, known: &Expr) {
        let json_type = known_type(known).unwrap_or("null");
        self.push("(case when jsonb_typeof(");
        self.json(read);
        self.push(format!(") in ('null', '{json_type}') then "));
        self.json(read);
        self.push(" = ");
        self.json(known);
        self.push(" end)");
    }

    /// Compares two timestamps.
    fn equals_moment(&mut self, one: &Expr, other: &Expr) {
        match (moment_member(one), moment_member(other)) {
            (Some(_), Some(_)) => {
                self.push("(case when ");
                self.is_null(one);
                self.push(" then ");
                self.is_null(other);
                self.push(" when ");
                self.is_null(other);
                self.push(" then ");
                self.false_unless_error(one);
                self.push(" else ");
                self.infix(Self::moment, one, "=", other);
                self.push(" end)");
            }
            (Some(_), None) => {
                self.push("(case when ");
                self.is_null(one);
                self.push(" then ");
                self.false_unless_error(other);
                self.push(" else ");
                self.infix(Self::moment, one, "=", other);
                self.push(" end)");
            }
            (None, Some(_)) => self.equals_moment(other, one),
            (None, None) => self.infix(Self::moment, one, "=", other),
        }
    }

    /// Compares a timestamp with what is none: they are equal where both are null.
    fn equals_stranger(&mut self, moment: &Expr, stranger: &Expr) {
        self.push("(case when ");
        self.is_null(moment);
        self.push(" then ");
        self.is_null(stranger);
        self.push(" when ");
        self.is_null(stranger);
        self.push(" then ");
        self.false_unless_error(moment);
        self.push(" end)");
    }

    fn false_unless_error(&mut self, moment: &Expr) {
        self.push("(");
        self.moment(moment);
        self.push(" is null and null)");
    }

    /// Looks for the text of a timestamp among others; `if_null` is what a missing one comes to.
    pub(super) fn is_text_among(
        &mut self,
        aim: Aim,
        member: &Path,
        texts: Vec<String>,
        if_null: &str,
    ) {
        if aim == Aim::Truth && if_null != "true" {
            return self.canonical_text(aim, member, |writer, member| {
                writer.is_one_of(member, texts)
            });
        }
        let place = self.place(member);
        self.push("(case jsonb_typeof(");
        self.member_as_json(&place);
        self.push(format!(") when 'null' then {if_null} when 'string' then "));
        self.canonical_text(Aim::Verdict, member, |writer, member| {
            writer.is_one_of(member, texts)
        });
        self.push(" end)");
    }

    pub(super) fn is_one_of(&mut self, text: &Expr, texts: Vec<String>) {
        self.push("(");
        self.text(text);
        self.push(" = any(");
        self.bind(Bind::Texts(texts));
        self.push("))");
    }

    pub(super) fn is_null(&mut self, expr: &Expr) {
        self.push("(");
        match expr {
            Expr::Constant(value) => self.push(if *value == Value::Null {
                "true"
            } else {
                "false"
            }),
            Expr::Moment(part) if moment_member(expr).is_some() => {
                self.push("case when ");
                self.is_null(part);
                self.push(" then true else ");
                self.false_unless_error(expr);
                self.push(" end");
            }
            expr if expr.is_moment() => self.false_unless_error(expr),
            expr => {
                self.json(expr);
                self.push(" = 'null'");
            }
        }
        self.push(")");
    }
}
