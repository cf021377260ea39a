//! From text to the tree: CEL's parser knows the syntax, this file what of it is ours.

use cel::{
    IdedExpr,
    common::ast::{CallExpr, Expr as Syntax, LiteralValue, SelectExpr, SourceInfo, operators},
};

use super::{
    check::Typed,
    decimal::Decimal,
    mistake::Mistake,
    moment,
    scan::Words,
    tree::{Comparison, Expr, Operator},
    value::Value,
    vocabulary::{Kind, Vocabulary},
};

/// Reads a condition.
///
/// # Errors
/// The first mistake that is found.
pub(super) fn parse(text: &str, vocabulary: &Vocabulary) -> Result<Expr, Mistake> {
    let words = Words::scan(text)?;
    if words.end() == 0 {
        return Err(Mistake::at(
            text,
            0,
            "the expression is empty; `true` allows everything",
        ));
    }
    let (syntax, places) = syntax(&words)?;
    let mut reader = Reader {
        words,
        places,
        vocabulary,
        variables: Vec::new(),
    };
    let found = reader.read(&syntax)?;
    reader.condition(&syntax, found)
}

/// Lets CEL's parser read a text.
fn syntax(words: &Words<'_>) -> Result<(IdedExpr, SourceInfo), Mistake> {
    /// Brackets within brackets that the stack of any thread has room for.
    const SHALLOW: usize = 4;
    /// Bytes of stack for the deepest text; the parser takes up to 200 KB for a bracket where it is not optimized.
    const STACK: usize = 16 << 20;

    let text = words.text.to_owned();
    let depth = u16::try_from(words.depth).unwrap_or(u16::MAX);
    let parse = move || {
        let parser = cel::Env::default().with_optional_support(false).parser();
        // After a mistake the parser would go on, and go deeper than there are brackets.
        let parser = parser
            .error_recovery_limit(0)
            .max_recursion_depth(depth + 1);
        parser.parse_with_source_info(&text)
    };
    let parsed = if words.depth <= SHALLOW {
        Some(parse())
    } else {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn(parse);
        thread.ok().and_then(|thread| thread.join().ok())
    };
    parsed
        .ok_or_else(|| {
            Mistake::at(
                words.text,
                0,
                "the expression is too much to read; write a simpler one",
            )
        })?
        .map_err(|errors| syntax_mistake(words, &errors))
}

/// Says in our words where the parser stopped.
fn syntax_mistake(words: &Words<'_>, errors: &cel::ParseErrors) -> Mistake {
    let Some(error) = errors.errors.first() else {
        return Mistake::at(words.text, 0, "this is no expression");
    };
    let line = usize::try_from(error.pos.0 - 1).unwrap_or(0);
    let column = usize::try_from(error.pos.1 - 1).unwrap_or(0);
    let before = words
        .text
        .split_inclusive('\n')
        .take(line)
        .map(str::len)
        .sum::<usize>();
    let rest = words.text.get(before..).unwrap_or_default();
    let offset = before
        + rest
            .char_indices()
            .nth(column)
            .map_or(rest.len(), |(place, _)| place);
    match words.from(offset) {
        _ if error.msg == "invalid int literal" => Mistake::at(
            words.text,
            offset,
            "whole numbers have at most 18 digits; write larger ones with a point, as 1e20 or 12345678901234567890.0",
        ),
        Some((place, "and")) => Mistake::at(words.text, place, "`and` is written `&&`"),
        Some((place, "or")) => Mistake::at(words.text, place, "`or` is written `||`"),
        Some((place, "not")) => Mistake::at(words.text, place, "`not` is written `!`"),
        Some((place, word)) if error.msg.starts_with("reserved") => {
            Mistake::at(words.text, place, format!("`{word}` is a reserved word"))
        }
        Some((place, word)) => Mistake::at(words.text, place, format!("`{word}` can't stand here")),
        None => Mistake::at(
            words.text,
            words.end(),
            "the expression ends where a value is missing",
        ),
    }
}

/// A variable of `exists` or `all`.
pub(super) struct Scoped {
    pub name: String,
    pub kind: Kind,
    /// Whether the list comes from the token.
    pub claim: bool,
}

/// Reads the tree of CEL's parser.
pub(super) struct Reader<'a> {
    pub words: Words<'a>,
    pub places: SourceInfo,
    pub vocabulary: &'a Vocabulary,
    pub variables: Vec<Scoped>,
}

impl Reader<'_> {
    pub(super) fn read(&mut self, syntax: &IdedExpr) -> Result<Typed, Mistake> {
        match &syntax.expr {
            Syntax::Literal(literal) => self.literal(syntax, literal),
            Syntax::Ident(name) => {
                let found = self.root(syntax, name)?;
                match &found.expr {
                    Expr::Path(path) if path.is_whole() => Err(self.mistake(
                        syntax,
                        format!(
                            "`{name}` is compared by its members; write `{name}.` and one of them"
                        ),
                    )),
                    _ => Ok(found),
                }
            }
            Syntax::Select(select) => self.select(syntax, select),
            Syntax::List(list) => self.list(syntax, &list.elements),
            Syntax::Call(call) => self.call(syntax, call),
            _ => Err(self.mistake(syntax, "this is not part of the language")),
        }
    }

    /// The byte where an expression has its name or sign.
    fn place(&self, syntax: &IdedExpr) -> usize {
        let (start, _) = self.places.offset_for(syntax.id).unwrap_or_default();
        let start = usize::try_from(start).unwrap_or(0);
        match &syntax.expr {
            // The parser gives the place of the dot, and of the opening bracket of a call.
            Syntax::Select(_) => self.words.from(start + 1).map_or(start, |(place, _)| place),
            Syntax::Call(call)
                if call
                    .func_name
                    .starts_with(|c: char| c.is_ascii_alphabetic()) =>
            {
                self.words.before(start)
            }
            _ => start,
        }
    }

    pub(super) fn mistake(&self, syntax: &IdedExpr, message: impl Into<String>) -> Mistake {
        Mistake::at(self.words.text, self.place(syntax), message)
    }

    fn literal(&self, syntax: &IdedExpr, literal: &LiteralValue) -> Result<Typed, Mistake> {
        let (value, kind) = match literal {
            LiteralValue::Null => (Value::Null, Kind::Any),
            LiteralValue::Boolean(boolean) => (Value::Boolean(*boolean.inner()), Kind::Boolean),
            LiteralValue::String(text) if text.inner().contains('\0') => {
                return Err(self.mistake(
                    syntax,
                    "the character U+0000 can't be stored, so nothing equals it",
                ));
            }
            LiteralValue::String(text) => {
                (Value::Text(text.inner().to_owned().into()), Kind::String)
            }
            LiteralValue::Int(number) => (Value::Number((*number.inner()).into()), Kind::Number),
            LiteralValue::Double(number) => {
                // The parser rounds to binary; the digits stand in the text.
                let digits = self.words.from(self.place(syntax)).map(|(_, word)| word);
                let decimal = digits.and_then(Decimal::parse).ok_or_else(|| {
                    self.mistake(
                        syntax,
                        "the number is out of bounds: at most 80 digits before and after the point",
                    )
                })?;
                let negative = number.inner().is_sign_negative();
                (
                    Value::Number(if negative { decimal.negated() } else { decimal }),
                    Kind::Number,
                )
            }
            LiteralValue::UInt(_) | LiteralValue::Bytes(_) => {
                return Err(self.mistake(
                    syntax,
                    "numbers and strings have no letter before or after them",
                ));
            }
        };
        Ok(Typed::new(Expr::Constant(value), kind))
    }

    fn select(&mut self, syntax: &IdedExpr, select: &SelectExpr) -> Result<Typed, Mistake> {
        let object = self.object(&select.operand)?;
        self.member(syntax, object, &select.field)
    }

    /// Reads what stands before a dot, which may be a root.
    fn object(&mut self, syntax: &IdedExpr) -> Result<Typed, Mistake> {
        match &syntax.expr {
            Syntax::Ident(name) => self.root(syntax, name),
            _ => self.read(syntax),
        }
    }

    fn list(&mut self, syntax: &IdedExpr, elements: &[IdedExpr]) -> Result<Typed, Mistake> {
        const MOST: usize = 100;
        if elements.len() > MOST {
            return Err(self.mistake(syntax, format!("a list has at most {MOST} elements")));
        }
        let mut kind = Kind::Any;
        let mut items = Vec::new();
        for element in elements {
            let item = self.read(element)?;
            if matches!(item.expr, Expr::List(_)) {
                return Err(self.mistake(element, "lists can't be written within lists"));
            }
            if !kind.meets(&item.kind) {
                return Err(
                    self.mistake(element, format!("the list holds {kind} and {}", item.kind))
                );
            }
            if kind == Kind::Any {
                kind = item.kind.clone();
            }
            items.push(self.comparable(item).expr);
        }
        Ok(Typed::new(Expr::List(items), Kind::List(Box::new(kind))))
    }

    fn call(&mut self, syntax: &IdedExpr, call: &CallExpr) -> Result<Typed, Mistake> {
        match call.target.as_deref() {
            None if !call
                .func_name
                .starts_with(|c: char| c.is_ascii_alphabetic()) =>
            {
                self.operation(syntax, &call.func_name, &call.args)
            }
            None => self.function(syntax, &call.func_name, &call.args),
            Some(target) => self.method(syntax, &call.func_name, target, &call.args),
        }
    }

    fn operation(
        &mut self,
        syntax: &IdedExpr,
        name: &str,
        operands: &[IdedExpr],
    ) -> Result<Typed, Mistake> {
        match (name, operands) {
            (operators::LOGICAL_AND, [one, other]) => {
                let parts = vec![self.truth(one)?, self.truth(other)?];
                Ok(Typed::new(Expr::And(parts), Kind::Boolean))
            }
            (operators::LOGICAL_OR, [one, other]) => {
                let parts = vec![self.truth(one)?, self.truth(other)?];
                Ok(Typed::new(Expr::Or(parts), Kind::Boolean))
            }
            (operators::LOGICAL_NOT, [part]) => {
                let part = Box::new(self.truth(part)?);
                Ok(Typed::new(Expr::Not(part), Kind::Boolean))
            }
            (operators::NEGATE, [part]) => {
                let zero = Expr::Constant(Value::Number(Decimal::default()));
                let part = self.read(part)?;
                self.arithmetic(
                    syntax,
                    Operator::Subtract,
                    Typed::new(zero, Kind::Number),
                    part,
                )
            }
            (operators::INDEX, [object, index]) => self.index(syntax, object, index),
            (operators::IN, [element, list]) => {
                let (element, list) = (self.read(element)?, self.read(list)?);
                self.is_in(syntax, element, list)
            }
            (operators::ADD, [moment, duration] | [duration, moment]) if is_duration(duration) => {
                let by = self.duration(duration)?;
                let moment = self.read(moment)?;
                self.shift(syntax, moment, by)
            }
            (operators::SUBSTRACT, [moment, duration]) if is_duration(duration) => {
                let by = self.duration(duration)?;
                let moment = self.read(moment)?;
                self.shift(syntax, moment, -by)
            }
            (name, [one, other]) => {
                let (one, other) = (self.read(one)?, self.read(other)?);
                self.operator(syntax, name, one, other)
            }
            _ => Err(self.mistake(syntax, "this operator is not part of the language")),
        }
    }

    fn duration(&self, syntax: &IdedExpr) -> Result<i64, Mistake> {
        if let Syntax::Call(CallExpr { args, .. }) = &syntax.expr
            && let [argument] = args.as_slice()
            && let Syntax::Literal(LiteralValue::String(text)) = &argument.expr
        {
            return moment::read_duration(text.inner())
                .map_err(|message| self.mistake(argument, message));
        }
        Err(self.mistake(syntax, "a duration is written out, as in duration(\"36h\")"))
    }

    fn operator(
        &mut self,
        syntax: &IdedExpr,
        name: &str,
        one: Typed,
        other: Typed,
    ) -> Result<Typed, Mistake> {
        let comparison = match name {
            operators::EQUALS => Comparison::Equal,
            operators::NOT_EQUALS => Comparison::NotEqual,
            operators::LESS => Comparison::Less,
            operators::LESS_EQUALS => Comparison::LessOrEqual,
            operators::GREATER => Comparison::Greater,
            operators::GREATER_EQUALS => Comparison::GreaterOrEqual,
            operators::ADD => return self.arithmetic(syntax, Operator::Add, one, other),
            operators::SUBSTRACT => return self.arithmetic(syntax, Operator::Subtract, one, other),
            operators::MULTIPLY => return self.arithmetic(syntax, Operator::Multiply, one, other),
            _ => return Err(self.mistake(syntax, "this operator is not part of the language")),
        };
        self.compare(syntax, comparison, one, other)
    }

    fn index(
        &mut self,
        syntax: &IdedExpr,
        object: &IdedExpr,
        index: &IdedExpr,
    ) -> Result<Typed, Mistake> {
        match &index.expr {
            Syntax::Literal(LiteralValue::String(name)) => {
                let object = self.object(object)?;
                self.member(syntax, object, name.inner())
            }
            _ => Err(self.mistake(index, "only a member can stand in brackets, as in record[\"some name\"]; for the elements of a list there are `in`, `exists` and `all`")),
        }
    }
}

fn is_duration(syntax: &IdedExpr) -> bool {
    matches!(&syntax.expr, Syntax::Call(call) if call.func_name == "duration" && call.target.is_none())
}
