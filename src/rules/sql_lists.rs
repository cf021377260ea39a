//! The compiler to SQL: `in`.

use serde_json::Value as Json;

use super::{
    moment::canonical,
    sql::{Aim, Bind, Writer},
    sql_compare::{as_uuid, is_read, moment_member, type_of, uuid_column},
    tree::{Comparison, Elements, Expr, Path, Quantifier, Root, Variable},
    value::{Value, is_storable},
};

/// A variable of our own, which no expression nests deep enough to have.
const ELEMENT: Variable = 99;

/// A list of which all is known.
struct Known<'a> {
    values: Vec<&'a Value<'static>>,
    has_null: bool,
    /// Whether an element is an error: then nothing is ever known to be missing in the list.
    has_error: bool,
}

impl<'a> Known<'a> {
    fn new(items: &'a [Expr]) -> Self {
        let constants = items.iter().filter_map(|item| match item {
            Expr::Constant(value) if is_storable(&value.to_json()) => Some(value),
            _ => None,
        });
        let constants: Vec<_> = constants.collect();
        let is_null = |value: &&Value<'_>| **value == Value::Null;
        Self {
            has_null: constants.iter().any(is_null),
            has_error: constants.len() < items.len(),
            values: constants
                .into_iter()
                .filter(|value| !is_null(value))
                .collect(),
        }
    }

    /// The type that all values have; none where they have several.
    fn common_type(&self) -> Option<&'static str> {
        let first = self.values.first().map(|value| type_of(value))?;
        let same = self.values.iter().all(|value| type_of(value) == first);
        same.then_some(first)
    }

    fn all_are(&self, json_type: &str) -> bool {
        self.values.iter().all(|value| type_of(value) == json_type)
    }

    fn texts(&self) -> Vec<String> {
        let texts = self.values.iter().filter_map(|value| match value {
            Value::Text(text) => Some(text.to_string()),
            _ => None,
        });
        texts.collect()
    }

    /// What a value that is no timestamp can equal.
    fn jsons(&self) -> Vec<Json> {
        let values = self
            .values
            .iter()
            .filter(|value| type_of(value) != "timestamp");
        let null = self.has_null.then_some(Json::Null);
        values.map(|value| value.to_json()).chain(null).collect()
    }
}

impl Writer {
    pub(super) fn is_in(&mut self, aim: Aim, element: &Expr, list: &Expr, elements: Elements) {
        match list {
            Expr::List(items) => self.is_among(aim, element, &Known::new(items)),
            Expr::Path(path) if path.column().is_none() => {
                self.is_stored_in(aim, element, path, elements);
            }
            _ => self.push("null::boolean"),
        }
    }

    fn is_among(&mut self, aim: Aim, element: &Expr, list: &Known<'_>) {
        if element.is_moment() {
            self.is_moment_among(aim, element, list);
        } else if !is_read(element) {
            let known = list.all_are("number") && !list.has_error;
            self.is_calculated_among(element, known, Self::json, Bind::Jsons(list.jsons()));
        } else if aim == Aim::Truth && !list.has_null && list.common_type().is_some() {
            self.is_read_among(element, list);
        } else {
            self.push("(case when ");
            self.json(element);
            self.push(" = any(");
            self.bind(Bind::Jsons(list.jsons()));
            self.push(") then true");
            if !list.has_error {
                self.push(" when ");
                self.is_missing_for_sure(element, list);
                self.push(" then false");
            }
            self.push(" end)");
        }
    }

    /// Whether a value that is not in the list could be compared with every element.
    fn is_missing_for_sure(&mut self, element: &Expr, list: &Known<'_>) {
        if list.values.is_empty() {
            self.json(element);
            return self.push(" is not null");
        }
        self.push("jsonb_typeof(");
        self.json(element);
        let common = list.common_type().unwrap_or("null");
        self.push(format!(") in ('null', '{common}')"));
    }

    /// Looks for a member among values of one type, in the form that an index knows.
    fn is_read_among(&mut self, element: &Expr, list: &Known<'_>) {
        match (uuid_column(element), list.common_type()) {
            (Some(column), Some("string")) => {
                let uuids = list
                    .values
                    .iter()
                    .filter_map(|value| as_uuid(value))
                    .collect();
                self.push(format!("({} = any(", self.column(column)));
                self.bind(Bind::Uuids(uuids));
                self.push("))");
            }
            (None, Some("string")) => self.is_one_of(element, list.texts()),
            (_, Some("number")) => {
                let numbers = list.values.iter().filter_map(|value| match value {
                    Value::Number(number) => Some(number.to_string()),
                    _ => None,
                });
                let numbers = numbers.collect();
                self.push("(");
                self.number(element);
                self.push(" = any(");
                self.bind(Bind::Texts(numbers));
                self.push("::numeric[]))");
            }
            _ => {
                self.push("(");
                self.json(element);
                self.push(" = any(");
                self.bind(Bind::Jsons(list.jsons()));
                self.push("))");
            }
        }
    }

    fn is_moment_among(&mut self, aim: Aim, element: &Expr, list: &Known<'_>) {
        let moments = list.values.iter().filter_map(|value| match value {
            Value::Moment(moment) => Some(*moment),
            _ => None,
        });
        let moments: Vec<_> = moments.collect();
        let known = list.all_are("timestamp") && !list.has_error;
        let Some(member) = moment_member(element) else {
            let bind = Bind::Moments(moments);
            return self.is_calculated_among(element, known, Self::moment, bind);
        };
        let if_null = match (list.has_null, list.has_error) {
            (true, _) => "true",
            (false, true) => "null",
            (false, false) => "false",
        };
        let texts = moments.into_iter().map(canonical).collect();
        if known {
            return self.is_text_among(aim, member, texts, if_null);
        }
        self.push("(case when ");
        self.is_null(element);
        self.push(format!(" then {if_null} when "));
        self.is_text_among(Aim::Verdict, member, texts, "null");
        self.push(" then true end)");
    }

    /// Looks for what is never null; where not all is `known`, what is not found may be one of the errors.
    fn is_calculated_among(
        &mut self,
        element: &Expr,
        known: bool,
        form: fn(&mut Self, &Expr),
        list: Bind,
    ) {
        self.push("(case when ");
        form(self, element);
        self.push(" is not null then ");
        self.push(if known { "(" } else { "nullif(" });
        form(self, element);
        self.push(" = any(");
        self.bind(list);
        self.push(if known { ")) end)" } else { "), false) end)" });
    }

    /// Looks for a value in a list of the document.
    fn is_stored_in(&mut self, aim: Aim, element: &Expr, list: &Path, elements: Elements) {
        if let (Aim::Truth, Expr::Constant(value)) = (aim, element)
            && !matches!(value, Value::Null | Value::List(_) | Value::Object(_))
            && elements.moments == element.is_moment()
        {
            let place = self.place(list);
            self.push("(");
            self.member_has_element(&place, value.to_json());
            self.push(" and ");
            self.member_is_list(&place);
            return self.push(")");
        }
        let variable = Box::new(Expr::Path(Path {
            root: Root::Variable(ELEMENT),
            members: Vec::new(),
        }));
        let item = if elements.moments {
            Box::new(Expr::Moment(variable))
        } else {
            variable
        };
        let equals = Expr::Compare(Comparison::Equal, item, Box::new(element.clone()));
        let list = Box::new(Expr::Path(list.clone()));
        let found = Expr::Quantified(Quantifier::Exists, list, ELEMENT, Box::new(equals));
        if aim == Aim::Truth {
            return self.truth(&found);
        }
        // In an empty list there is nothing to compare with, and an error is one nonetheless.
        self.push("(case when ");
        self.is_null(element);
        self.push(" is not null then ");
        self.exact(&found);
        self.push(" end)");
    }
}
