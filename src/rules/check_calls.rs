//! What fits together: functions, and what looks through lists.

use cel::{IdedExpr, common::ast::Expr as Syntax};

use super::{
    check::Typed,
    mistake::Mistake,
    moment,
    parse::{Reader, Scoped},
    tree::{Affix, Elements, Expr, Quantifier},
    value::Value,
    vocabulary::{Kind, enumerate},
};

/// The functions that are called on a value.
const METHODS: [&str; 6] = [
    "startsWith",
    "endsWith",
    "contains",
    "size",
    "exists",
    "all",
];

/// The functions that are not.
const FUNCTIONS: [&str; 4] = ["has", "size", "timestamp", "duration"];

impl Reader<'_> {
    pub(super) fn function(
        &mut self,
        syntax: &IdedExpr,
        name: &str,
        arguments: &[IdedExpr],
    ) -> Result<Typed, Mistake> {
        match (name, arguments) {
            ("has", [member]) => self.has(syntax, member),
            ("size", [part]) => {
                let part = self.read(part)?;
                self.size(syntax, part)
            }
            ("timestamp", [text]) => {
                let text = self.read(text)?;
                self.timestamp(syntax, text)
            }
            ("duration", [_]) => Err(self.mistake(
                syntax,
                "a duration can only be added to a timestamp or taken from one",
            )),
            _ if FUNCTIONS.contains(&name) => {
                Err(self.mistake(syntax, format!("`{name}` takes one argument")))
            }
            _ => {
                let (functions, methods) = (enumerate(&FUNCTIONS), enumerate(&METHODS));
                let message = format!(
                    "there is no `{name}(…)`; there are {functions}, and on a value {methods}"
                );
                Err(self.mistake(syntax, message))
            }
        }
    }

    pub(super) fn method(
        &mut self,
        syntax: &IdedExpr,
        name: &str,
        target: &IdedExpr,
        arguments: &[IdedExpr],
    ) -> Result<Typed, Mistake> {
        match (name, arguments) {
            ("startsWith", [part]) => self.affix(syntax, Affix::Start, target, part),
            ("endsWith", [part]) => self.affix(syntax, Affix::End, target, part),
            ("contains", [part]) => self.affix(syntax, Affix::Anywhere, target, part),
            ("size", []) => {
                let part = self.read(target)?;
                self.size(syntax, part)
            }
            ("exists", [variable, condition]) => {
                self.quantified(Quantifier::Exists, target, variable, condition)
            }
            ("all", [variable, condition]) => {
                self.quantified(Quantifier::All, target, variable, condition)
            }
            _ if METHODS.contains(&name) => Err(self.mistake(
                syntax,
                format!("`{name}` is called with another number of arguments"),
            )),
            _ => {
                let methods = enumerate(&METHODS);
                Err(self.mistake(
                    syntax,
                    format!("there is no `.{name}(…)`; on a value there are {methods}"),
                ))
            }
        }
    }

    pub(super) fn is_in(
        &self,
        syntax: &IdedExpr,
        element: Typed,
        list: Typed,
    ) -> Result<Typed, Mistake> {
        let kind = match &list.kind {
            Kind::List(kind) => kind.as_ref().clone(),
            Kind::Any if !list.is_null() => Kind::Any,
            _ => {
                return Err(self.mistake(
                    syntax,
                    format!("`in` looks into a list, and this is {list}"),
                ));
            }
        };
        let element = self.whole(syntax, element)?;
        if element.kind == Kind::Boolean
            && !matches!(element.expr, Expr::Path(_) | Expr::Constant(_))
        {
            return Err(self.mistake(
                syntax,
                "conditions are joined with `&&` and `||`, not looked for in a list",
            ));
        }
        let elements = Elements {
            claims: list.claim,
            moments: kind == Kind::Timestamp,
        };
        self.check_comparable(syntax, &element, &Typed::new(Expr::FALSE, kind))?;
        let element = Box::new(self.comparable(element).expr);
        let expr = Expr::In(element, Box::new(list.expr), elements);
        Ok(Typed::new(expr, Kind::Boolean))
    }

    pub(super) fn has(&mut self, syntax: &IdedExpr, member: &IdedExpr) -> Result<Typed, Mistake> {
        match self.read(member)?.expr {
            Expr::Path(path) if !path.members.is_empty() => {
                let test = Expr::IsNull(Box::new(Expr::Path(path)));
                Ok(Typed::new(Expr::Not(Box::new(test)), Kind::Boolean))
            }
            _ => Err(self.mistake(
                syntax,
                "`has` is asked about a member, as in has(record.price)",
            )),
        }
    }

    pub(super) fn size(&self, syntax: &IdedExpr, part: Typed) -> Result<Typed, Mistake> {
        match (&part.kind, &part.expr) {
            (Kind::String | Kind::Uuid | Kind::List(_) | Kind::Any, Expr::Path(_) | Expr::Constant(Value::Text(_))) => {
                Ok(Typed::new(Expr::Size(Box::new(part.expr)), Kind::Number))
            }
            _ => Err(self.mistake(syntax, format!("`size` counts the characters of a string or the elements of a list, and this is {part}"))),
        }
    }

    pub(super) fn timestamp(&self, syntax: &IdedExpr, text: Typed) -> Result<Typed, Mistake> {
        let expr = match (text.kind, text.expr) {
            (_, Expr::Constant(Value::Text(text))) => moment::read_literal(&text)
                .map(|moment| Expr::Constant(Value::Moment(moment)))
                .map_err(|message| self.mistake(syntax, message))?,
            (Kind::String | Kind::Any, Expr::Path(path)) => {
                Expr::Moment(Box::new(Expr::Path(path)))
            }
            (Kind::Timestamp, expr) => expr,
            (kind, _) => {
                return Err(self.mistake(
                    syntax,
                    format!("`timestamp` reads text, and this is {kind}"),
                ));
            }
        };
        Ok(Typed {
            expr,
            kind: Kind::Timestamp,
            claim: text.claim,
        })
    }

    pub(super) fn affix(
        &mut self,
        syntax: &IdedExpr,
        affix: Affix,
        text: &IdedExpr,
        part: &IdedExpr,
    ) -> Result<Typed, Mistake> {
        let (text, part) = (self.read(text)?, self.read(part)?);
        for operand in [&text, &part] {
            if operand.is_null() || !operand.kind.meets(&Kind::String) {
                return Err(self.mistake(
                    syntax,
                    format!("this is asked of strings, and one side is {operand}"),
                ));
            }
        }
        let expr = Expr::Affix(affix, Box::new(text.expr), Box::new(part.expr));
        Ok(Typed::new(expr, Kind::Boolean))
    }

    pub(super) fn quantified(
        &mut self,
        quantifier: Quantifier,
        list: &IdedExpr,
        variable: &IdedExpr,
        condition: &IdedExpr,
    ) -> Result<Typed, Mistake> {
        let found = self.read(list)?;
        let found = self.whole(list, found)?;
        let kind = match &found.kind {
            Kind::List(kind) => kind.as_ref().clone(),
            Kind::Any if !found.is_null() => Kind::Any,
            _ => {
                return Err(
                    self.mistake(list, format!("a list is needed here, and this is {found}"))
                );
            }
        };
        let name = match &variable.expr {
            Syntax::Ident(name) if self.is_free(name) => name.clone(),
            _ => return Err(self.mistake(variable, "a name is needed here that nothing else has, as in tags.exists(tag, tag == \"new\")")),
        };
        let index = self.variables.len();
        self.variables.push(Scoped {
            name,
            kind,
            claim: found.claim,
        });
        let condition = self.truth(condition);
        self.variables.pop();
        let expr = Expr::Quantified(
            quantifier,
            Box::new(found.expr),
            index,
            Box::new(condition?),
        );
        Ok(Typed::new(expr, Kind::Boolean))
    }

    fn is_free(&self, name: &str) -> bool {
        let members = self
            .vocabulary
            .record
            .iter()
            .filter(|_| self.vocabulary.direct);
        !matches!(name, "auth" | "record" | "input" | "now")
            && !name.starts_with('.')
            && !members.into_iter().any(|members| members.declares(name))
            && !self.variables.iter().any(|variable| variable.name == name)
    }
}
