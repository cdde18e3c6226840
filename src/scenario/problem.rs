//! Problems of a scenario: everything that is wrong, at once, each with its place, a reason and a way out. They render as carets
//! under the source (miette), as one line each (editors, CI logs) and as JSON.

use super::document::Span;
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

/// One complaint. The first label is where it points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    pub message: String,
    pub labels: Vec<(Span, String)>,
    pub help: Option<String>,
}

/// A text that spans refer to: the scenario, an included file, or the value of a `--set`.
#[derive(Clone, Debug)]
pub struct Source {
    /// As the user would name it; what precedes `:line:column`.
    pub name: String,
    pub text: Arc<str>,
}

/// All problems of one scenario, errors and warnings, in the order of the file.
#[derive(Clone, Default)]
pub struct Problems {
    pub items: Vec<Diagnosis>,
}

/// A problem together with the text it is about.
#[derive(Clone)]
pub struct Diagnosis {
    pub problem: Problem,
    source: NamedSource<Arc<str>>,
    /// Labels that lie in another text than the first, as `file:line:column: label`.
    elsewhere: Vec<String>,
    pub line: usize,
    pub column: usize,
}

/// Where readers put what they find while they go on.
#[derive(Clone, Debug, Default)]
pub struct Sink {
    problems: Vec<Problem>,
    seen: HashSet<(Span, String)>,
    /// Places about which nothing more needs to be said.
    settled: HashSet<Span>,
}

/// Problems kept; a generated file can hold one a line.
const PROBLEMS_MAX: usize = 200;

impl Problem {
    pub fn error(at: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            labels: vec![(at, String::new())],
            help: None,
        }
    }

    pub fn warning(at: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(at, message) }
    }

    /// The text under the caret.
    #[must_use]
    pub fn caption(mut self, text: impl Into<String>) -> Self {
        self.labels[0].1 = text.into();
        self
    }

    #[must_use]
    pub fn label(mut self, at: Span, text: impl Into<String>) -> Self {
        self.labels.push((at, text.into()));
        self
    }

    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// With the help if there is some.
    #[must_use]
    pub fn maybe_help(mut self, text: Option<String>) -> Self {
        self.help = text.or(self.help);
        self
    }
}

impl Sink {
    /// Takes a problem once: a step reached through two `call`s is not wrong twice.
    pub fn push(&mut self, problem: Problem) {
        let at = problem.labels[0].0;
        if self.settled.contains(&at) {
            return;
        }
        if self.problems.len() < PROBLEMS_MAX
            && self.seen.insert((problem.labels[0].0, problem.message.clone()))
        {
            self.problems.push(problem);
        }
    }

    /// Takes a problem that explains whatever else its place would be blamed for.
    pub fn settle(&mut self, problem: Problem) {
        let at = problem.labels[0].0;
        self.push(problem);
        self.settled.insert(at);
    }

    pub fn error(&mut self, at: Span, message: impl Into<String>, help: impl Into<String>) {
        self.push(Problem::error(at, message).help(help));
    }

    /// Problems so far: two equal counts mean that nothing was reported between them.
    pub fn count(&self) -> usize {
        self.problems.len()
    }

    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    pub fn finish(mut self, sources: &[Source]) -> Problems {
        self.problems.sort_by_key(|problem| problem.labels[0].0);
        Problems {
            items: self.problems.into_iter().map(|problem| Diagnosis::new(problem, sources)).collect(),
        }
    }
}

impl Diagnosis {
    fn new(problem: Problem, sources: &[Source]) -> Self {
        let home = problem.labels[0].0.source;
        let named = |index: u16| {
            sources
                .get(usize::from(index))
                .map_or(("", Arc::from("")), |s| (s.name.as_str(), Arc::clone(&s.text)))
        };
        let (name, text) = named(home);
        let (line, column) = line_column(&text, problem.labels[0].0.start as usize);
        let elsewhere = problem.labels[1..]
            .iter()
            .filter(|(span, _)| span.source != home)
            .map(|(span, label)| {
                let (name, text) = named(span.source);
                let (line, column) = line_column(&text, span.start as usize);
                format!("{name}:{line}:{column}: {label}")
            })
            .collect();
        Self { source: NamedSource::new(name, text), problem, elsewhere, line, column }
    }

    pub fn file(&self) -> &str {
        self.source.name()
    }

    fn full_help(&self) -> Option<String> {
        let lines: Vec<&str> = self
            .problem
            .help
            .as_deref()
            .into_iter()
            .chain(self.elsewhere.iter().map(String::as_str))
            .collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

impl Problems {
    pub fn has_errors(&self) -> bool {
        self.items.iter().any(|item| item.problem.severity == Severity::Error)
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Carets under the source, as a terminal shows them.
    pub fn render(&self, color: bool, width: usize) -> String {
        let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(width).with_context_lines(1);
        let mut text = String::new();
        for item in &self.items {
            // Writing to a string cannot fail, and a rendering that did would still leave the plain line.
            if handler.render_report(&mut text, item).is_err() {
                text.push_str(&format!("{item}\n"));
            }
        }
        text
    }

    /// One line a problem: `file:line:column: error: message (help)`.
    pub fn lines(&self) -> Vec<String> {
        let line = |item: &Diagnosis| {
            let help =
                item.full_help().map(|help| format!(" ({})", help.replace('\n', "; "))).unwrap_or_default();
            let severity = item.problem.severity.word();
            format!("{}:{}:{}: {severity}: {item}{help}", item.file(), item.line, item.column)
        };
        self.items.iter().map(line).collect()
    }

    /// `[{"severity","message","file","line","column","offset","length","help","labels":[{"text","offset","length"}]}]`; offsets
    /// are bytes, lines and columns count from 1.
    pub fn json(&self) -> serde_json::Value {
        let one = |item: &Diagnosis| {
            let (at, caption) = &item.problem.labels[0];
            let label = |(span, text): &(Span, String)| serde_json::json!({"text": text, "offset": span.start, "length": span.end.saturating_sub(span.start)});
            let others: Vec<_> = item.problem.labels[1..]
                .iter()
                .filter(|(span, _)| span.source == at.source)
                .map(label)
                .collect();
            serde_json::json!({
                "severity": item.problem.severity.word(), "message": item.problem.message, "file": item.file(),
                "line": item.line, "column": item.column, "offset": at.start,
                "length": at.end.saturating_sub(at.start), "caption": caption, "help": item.full_help(), "labels": others,
            })
        };
        serde_json::Value::Array(self.items.iter().map(one).collect())
    }
}

impl Severity {
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// Line and column of a byte offset, both from 1; columns count characters.
pub fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.bytes().filter(|b| *b == b'\n').count() + 1, before[start..].chars().count() + 1)
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl fmt::Debug for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.problem, f)
    }
}

impl std::error::Error for Diagnosis {}

impl Diagnostic for Diagnosis {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.problem.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.full_help().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let home = self.problem.labels[0].0.source;
        let size = self.source.inner().len();
        Some(Box::new(
            self.problem.labels.iter().enumerate().filter(move |(_, (span, _))| span.source == home).map(
                move |(index, (span, text))| {
                    let start = (span.start as usize).min(size);
                    let length = (span.end as usize).clamp(start, size) - start;
                    let text = Some(text.clone()).filter(|text| !text.is_empty());
                    if index == 0 {
                        LabeledSpan::new_primary_with_span(text, (start, length))
                    } else {
                        LabeledSpan::new_with_span(text, (start, length))
                    }
                },
            ),
        ))
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |severity| self.items.iter().filter(|item| item.problem.severity == severity).count();
        write!(
            f,
            "{} errors and {} warnings in the scenario",
            count(Severity::Error),
            count(Severity::Warning)
        )
    }
}

impl fmt::Debug for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lines()).finish()
    }
}

impl std::error::Error for Problems {}

impl Diagnostic for Problems {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.items.iter().map(|item| item as &dyn Diagnostic)))
    }
}
