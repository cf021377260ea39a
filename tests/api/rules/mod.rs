//! Both compilers of the rule language must agree on every expression and every document.
//!
//! `RULES_SEED` repeats a run, `RULES_ROUNDS` prolongs it.
#![expect(
    clippy::print_stdout,
    reason = "what it prints tells how to repeat a run"
)]

pub mod documents;
pub mod draw;
mod indexes;
mod table;
pub mod terms;

use std::time::{Instant, SystemTime};

use tollgate::rules::{Condition, Predicate, Rule, Verdict};

use self::{
    documents::{Asker, Stored, asker, stored, vocabulary},
    draw::Draw,
    table::Table,
    terms::{Author, Term},
};

pub use self::table::setting;

/// Documents of one round.
const DOCUMENTS: usize = 250;

/// Expressions of one round: all in one statement.
const EXPRESSIONS: usize = 100;

/// An expression, who asks it, and what Postgres is asked.
struct Question {
    term: Term,
    rule: Rule,
    asker: Asker,
}

/// What both compilers say of one record, when they don't agree.
#[derive(Clone, Debug, PartialEq)]
struct Dispute {
    evaluated: Verdict,
    verdict: Option<bool>,
    truth: Option<bool>,
}

impl Question {
    fn new(term: Term, asker: Asker, typed: bool) -> Option<Self> {
        let rule = Rule::parse(&term.to_string(), &vocabulary(typed)).ok()?;
        Some(Self { term, rule, asker })
    }

    /// The verdict, and the condition of a list; none where the latter is decided.
    fn conditions(&self) -> (Condition, Result<Condition, bool>) {
        let facts = self.asker.facts();
        let truth = match self.rule.predicate(&facts, "r") {
            Predicate::True => Err(true),
            Predicate::False => Err(false),
            Predicate::Sql(condition) => Ok(condition),
        };
        (self.rule.verdict(&facts, "r"), truth)
    }

    fn evaluate(&self, record: &Stored) -> Verdict {
        self.rule
            .evaluate(&self.asker.facts(), Some(&record.record()))
    }

    fn dispute(
        &self,
        record: &Stored,
        verdict: Option<bool>,
        truth: Option<bool>,
    ) -> Option<Dispute> {
        let evaluated = self.evaluate(record);
        let told = match evaluated {
            Verdict::True => Some(true),
            Verdict::False => Some(false),
            Verdict::Error(_) => None,
        };
        let agree = told == verdict && (told == Some(true)) == (truth == Some(true));
        (!agree).then_some(Dispute {
            evaluated,
            verdict,
            truth,
        })
    }
}

/// Asks Postgres all questions about all records at once.
fn disputes(
    table: &mut Table,
    questions: &[Question],
    records: &[Stored],
) -> Result<Vec<(usize, usize, Dispute)>, String> {
    let conditions: Vec<_> = questions.iter().map(Question::conditions).collect();
    let asked = conditions
        .iter()
        .flat_map(|(verdict, truth)| [Some(verdict), truth.as_ref().ok()]);
    let rows = table.ask(&asked.flatten().collect::<Vec<_>>())?;
    let mut found = Vec::new();
    for (row, (record, answers)) in records.iter().zip(rows).enumerate() {
        let mut answers = answers.into_iter();
        for (column, (question, (_, truth))) in questions.iter().zip(&conditions).enumerate() {
            let verdict = answers.next().unwrap();
            let truth = match truth {
                Ok(_) => answers.next().unwrap(),
                Err(decided) => Some(*decided),
            };
            found.extend(
                question
                    .dispute(record, verdict, truth)
                    .map(|dispute| (column, row, dispute)),
            );
        }
    }
    Ok(found)
}

/// Makes a failure as small as it gets, and tells it.
fn report(
    table: &mut Table,
    question: &Question,
    record: &Stored,
    typed: bool,
    seed: u64,
) -> String {
    let mut fails = |question: &Question, record: &Stored| {
        table.fill(std::slice::from_ref(record));
        match disputes(
            table,
            std::slice::from_ref(question),
            std::slice::from_ref(record),
        ) {
            Ok(found) => found
                .into_iter()
                .next()
                .map(|(_, _, dispute)| format!("{dispute:?}")),
            Err(error) => Some(error),
        }
    };
    let mut term = question.term.clone();
    let mut record = record.clone();
    let mut told = fails(question, &record).unwrap_or_default();
    'smaller: loop {
        for candidate in term.smaller() {
            let shorter = candidate.to_string().len() < term.to_string().len();
            let Some(question) =
                Question::new(candidate, question.asker.clone(), typed).filter(|_| shorter)
            else {
                continue;
            };
            if let Some(dispute) = fails(&question, &record) {
                (term, told) = (question.term, dispute);
                continue 'smaller;
            }
        }
        break;
    }
    let smallest = Question::new(term.clone(), question.asker.clone(), typed).unwrap();
    for name in record
        .data
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect::<Vec<_>>()
    {
        let mut smaller = record.clone();
        smaller.data.as_object_mut().unwrap().remove(&name);
        if let Some(dispute) = fails(&smallest, &smaller) {
            (record, told) = (smaller, dispute);
        }
    }
    let sql = diesel::debug_query::<diesel::pg::Pg, _>(&smallest.conditions().0).to_string();
    let told_if = |root: &str, value: &serde_json::Value| match term.to_string().contains(root) {
        true => format!("  {root}: {value}\n"),
        false => String::new(),
    };
    let auth = told_if("auth", &question.asker.auth);
    let input = told_if("input", &question.asker.input);
    format!(
        "the compilers disagree (seed {seed})\n  {term}\n  typed vocabulary: {typed}\n{auth}{input}  record: {record:?}\n  {told}\n  {sql}",
    )
}

/// Where chance begins: by the clock, or as the variable says.
pub fn seed(variable: &str) -> u64 {
    setting(variable)
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| {
            let now = SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap();
            u64::from(now.subsec_nanos()) ^ now.as_secs()
        })
}

#[test]
fn evaluator_and_sql_agree_on_all_three_truths() {
    let (cases, counts) = compare("agreement", false);
    // A test in which nearly everything is an error would prove little.
    assert!(
        counts.iter().all(|count| count * 10 > cases),
        "one truth is rare: {counts:?}"
    );
}

#[test]
fn no_text_makes_the_parser_panic() {
    let words = [
        "(",
        ")",
        "[",
        "]",
        ".",
        ",",
        "!",
        "-",
        "+",
        "*",
        "==",
        "<",
        "in",
        "&&",
        "||",
        "record",
        "auth",
        "now",
        "x",
        "has",
        "size",
        "exists",
        "all",
        "timestamp",
        "duration",
        "1",
        "1.5",
        "'s'",
        "\"\"",
        "null",
        "true",
        "if",
        " ",
        "\n",
        "//",
        "\\",
        "é",
        "s",
        "at",
        "{",
        "?",
    ];
    let mut draw = Draw::new(seed("RULES_SEED"));
    for round in 0..4000 {
        let mut text = String::new();
        for _ in 0..draw.below(20) {
            text.push_str(draw.one(&words));
            text.push_str(draw.one(&["", " ", "."]));
        }
        if draw.percent(50) {
            // Nearly right is harder than nonsense.
            let right = Author::new(&mut draw).condition(3).to_string();
            let place = draw.below(right.len());
            let (before, after) = right.split_at(right.floor_char_boundary(place));
            let skipped = after.chars().skip(draw.below(3)).collect::<String>();
            text = format!("{before}{}{skipped}", draw.one(&words));
        }
        if draw.percent(30) && !text.is_empty() {
            text = text.repeat(draw.below(4096 / text.len() + 1));
        }
        if let Err(mistake) = Rule::parse(&text, &vocabulary(round % 2 == 0)) {
            assert!(mistake.offset <= text.len(), "{text}: {mistake}");
        }
    }
}

#[test]
fn no_document_makes_postgres_raise_an_error() {
    compare("wild documents", true);
}

/// Asks both compilers about expressions and records by chance, and panics with the smallest example when they disagree
/// or Postgres raises an error. Tells how many cases there were, and how often each truth came out.
fn compare(name: &str, is_wild: bool) -> (usize, [usize; 3]) {
    let seed = seed("RULES_SEED");
    println!("{name}: RULES_SEED={seed}");
    let rounds = setting("RULES_ROUNDS").map_or(6, |rounds| rounds.parse().unwrap());
    let mut draw = Draw::new(seed);
    let mut table = Table::new("differential");
    let (start, mut cases, mut counts) = (Instant::now(), 0, [0; 3]);
    for round in 0..rounds {
        let typed = round % 2 == 0;
        let records: Vec<_> = (0..DOCUMENTS).map(|_| stored(&mut draw, is_wild)).collect();
        table.fill(&records);
        let questions = questions(&mut draw, typed);
        let failure = match disputes(&mut table, &questions, &records) {
            Ok(found) => found
                .into_iter()
                .next()
                .map(|(question, record, _)| (question, record)),
            Err(error) => {
                Some(erring(&mut table, &questions, &records).unwrap_or_else(|| panic!("{error}")))
            }
        };
        if let Some((question, record)) = failure {
            let case = cases + question * DOCUMENTS + record;
            let told = report(
                &mut table,
                &questions[question],
                &records[record],
                typed,
                seed,
            );
            panic!("after {case} cases: {told}");
        }
        cases += questions.len() * records.len();
        for verdict in questions
            .iter()
            .flat_map(|question| records.iter().map(|record| question.evaluate(record)))
        {
            match verdict {
                Verdict::True => counts[0] += 1,
                Verdict::False => counts[1] += 1,
                Verdict::Error(_) => counts[2] += 1,
            }
        }
    }
    let [yes, no, errors] = counts;
    println!(
        "{name}: {cases} cases in {:?}: {yes} true, {no} false, {errors} errors",
        start.elapsed()
    );
    (cases, counts)
}

/// Expressions that are none of the mistakes that the parser finds.
fn questions(draw: &mut Draw, typed: bool) -> Vec<Question> {
    let mut questions = Vec::new();
    while questions.len() < EXPRESSIONS {
        let depth = draw.below(5);
        let term = Author::new(draw).condition(depth);
        questions.extend(Question::new(term, asker(draw), typed));
    }
    questions
}

/// Finds the expression and the record that make Postgres raise an error, which nothing may.
fn erring(table: &mut Table, questions: &[Question], records: &[Stored]) -> Option<(usize, usize)> {
    for (row, record) in records.iter().enumerate() {
        table.fill(std::slice::from_ref(record));
        if disputes(table, questions, std::slice::from_ref(record)).is_ok() {
            continue;
        }
        let fails = |question: &Question| {
            disputes(
                table,
                std::slice::from_ref(question),
                std::slice::from_ref(record),
            )
            .is_err()
        };
        if let Some(column) = questions.iter().position(fails) {
            return Some((column, row));
        }
    }
    None
}
