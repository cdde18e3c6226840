//! A scenario as written: YAML 1.2 turned into a tree in which every key and value knows its place in the file. Duplicate keys,
//! the traps of YAML 1.1 and unquoted `${…}` inside `{…}` are found here, before anything is given a meaning.

use super::problem::{Problem, Sink};
use granit_parser::{Event, Parser, ScalarStyle, ScanError};
use std::collections::HashMap;

/// A place in one of the texts that make up a scenario: bytes `start..end` of source number `source`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    pub source: u16,
    pub start: u32,
    pub end: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub span: Span,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Scalar {
    pub text: String,
    /// Written without quotes, so that `true` and `3` may be more than text.
    pub plain: bool,
    /// Where in the source the text stands character by character; `None` when escapes or folding changed it.
    pub verbatim: Option<u32>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: String,
    pub key_span: Span,
    pub value: Node,
}

/// Nesting of a scenario; the deepest sensible journey stays below 30.
const DEPTH_MAX: usize = 64;

/// Nodes of a scenario after its aliases are copied; stops a few lines of aliases from becoming gigabytes.
const NODES_MAX: usize = 200_000;

impl Node {
    pub fn entries(&self) -> Option<&[Entry]> {
        if let Kind::Map(entries) = &self.kind { Some(entries) } else { None }
    }

    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries()?.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// Nothing was written, or `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(s) if s.plain && matches!(s.text.as_str(), "" | "~" | "null"))
    }

    pub fn scalar(&self) -> Option<&Scalar> {
        if let Kind::Scalar(scalar) = &self.kind { Some(scalar) } else { None }
    }

    /// The place of bytes `from..to` of a scalar's text, or of the whole scalar where that cannot be told.
    pub fn part(&self, from: usize, to: usize) -> Span {
        let Some(start) = self.scalar().and_then(|scalar| scalar.verbatim) else { return self.span };
        let at = |offset: usize| start.saturating_add(u32::try_from(offset).unwrap_or(u32::MAX));
        Span { source: self.span.source, start: at(from), end: at(to.max(from + 1)) }
    }

    /// What kind of thing stands here, for messages.
    pub fn what(&self) -> &'static str {
        match &self.kind {
            _ if self.is_null() => "nothing",
            Kind::Scalar(_) => "a plain value",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }
}

/// Reads one YAML document. What can be reported without giving up is reported to `sink`; `None` means there is no tree.
pub fn parse(source: u16, text: &str, sink: &mut Sink) -> Option<Node> {
    let mut builder =
        Builder { source, text, sink, anchors: HashMap::new(), nodes: 0, parser: Parser::new_from_str(text) };
    match builder.document() {
        Ok(node) => node,
        Err(problem) => {
            builder.sink.push(problem);
            None
        }
    }
}

struct Builder<'t, 's> {
    source: u16,
    text: &'t str,
    sink: &'s mut Sink,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    parser: Parser<'t, granit_parser::StrInput<'t>>,
}

impl<'t> Builder<'t, '_> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Problem> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                let range = span.byte_range().unwrap_or(0..0);
                Ok((event, self.span(range.start, range.end)))
            }
            Some(Err(error)) => Err(self.syntax(&error)),
            None => Ok((Event::StreamEnd, self.span(self.text.len(), self.text.len()))),
        }
    }

    fn span(&self, start: usize, end: usize) -> Span {
        let clamp = |offset: usize| u32::try_from(offset.min(self.text.len())).unwrap_or(u32::MAX);
        Span { source: self.source, start: clamp(start), end: clamp(end) }
    }

    fn document(&mut self) -> Result<Option<Node>, Problem> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root),
                Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(Problem::error(span, "a second YAML document begins here").help(
                        "a scenario is one document: remove the `---`, or put the rest into its own file",
                    ));
                }
                Event::DocumentStart(..) => {
                    let (event, span) = self.next()?;
                    root = Some(self.node(event, span, 0)?);
                }
                _ => {}
            }
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Problem> {
        self.nodes += 1;
        if depth > DEPTH_MAX || self.nodes > NODES_MAX {
            return Err(Problem::error(
                span,
                format!("the scenario is nested deeper than {DEPTH_MAX} or larger than {NODES_MAX} values"),
            )
            .help("split it with `call` and `include`"));
        }
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => (self.scalar(text.into_owned(), style, span), anchor),
            Event::SequenceStart(_, anchor, _) => (self.list(span, depth)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.map(span, depth)?, anchor),
            Event::Alias(id) => {
                let Some(target) = self.anchors.get(&id).cloned() else {
                    return Err(Problem::error(span, "this alias refers to a value that contains it"));
                };
                self.nodes += weight(&target);
                return Ok(target);
            }
            _ => return Err(Problem::error(span, "a value was expected here")),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn scalar(&mut self, text: String, style: ScalarStyle, span: Span) -> Node {
        let plain = style == ScalarStyle::Plain;
        let source = self.text.get(span.start as usize..).unwrap_or("");
        let inner = source.get(1..).unwrap_or("");
        let verbatim = match style {
            ScalarStyle::Plain if source.starts_with(&text) => Some(span.start),
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted if inner.starts_with(&text) => {
                Some(span.start + 1)
            }
            _ => None,
        };
        if plain && let Some(problem) = yaml11_trap(&text, span) {
            self.sink.settle(problem);
        }
        Node { span, kind: Kind::Scalar(Scalar { text, plain, verbatim }) }
    }

    fn list(&mut self, start: Span, depth: usize) -> Result<Node, Problem> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                let span = self.cover(start, span, items.first().map(|node: &Node| node.span));
                return Ok(Node { span, kind: Kind::List(items) });
            }
            items.push(self.node(event, span, depth + 1)?);
        }
    }

    fn map(&mut self, start: Span, depth: usize) -> Result<Node, Problem> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut places: HashMap<String, Span> = HashMap::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                let span = self.cover(start, span, entries.first().map(|entry| entry.key_span));
                return Ok(Node { span, kind: Kind::Map(entries) });
            }
            let key_node = self.node(event, span, depth + 1)?;
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            let key_span = key_node.span;
            let Kind::Scalar(Scalar { text: key, .. }) = key_node.kind else {
                self.sink.push(Problem::error(key_span, "a key must be a plain name"));
                continue;
            };
            if let Some(first) = places.get(&key) {
                self.sink.push(
                    Problem::error(key_span, format!("the key `{key}` is here twice"))
                        .caption("again here")
                        .label(*first, "first here")
                        .help("keep one of the two: YAML gives no order to a mapping, so neither can win"),
                );
                continue;
            }
            places.insert(key.clone(), key_span);
            entries.push(Entry { key, key_span, value });
        }
    }

    /// A flow collection is underlined whole; a block one at its first key or item, for it may be a page long.
    fn cover(&self, start: Span, end: Span, first: Option<Span>) -> Span {
        let flow = self.text[start.start as usize..].starts_with(['{', '[']);
        let one_line =
            !self.text.get(start.start as usize..end.end as usize).is_none_or(|text| text.contains('\n'));
        if flow && one_line { Span { end: end.end, ..start } } else { first.unwrap_or(start) }
    }

    fn syntax(&self, error: &ScanError) -> Problem {
        let at = error.marker().byte_offset().unwrap_or(0).min(self.text.len());
        if let Some((from, to)) = unquoted_template(self.text, at) {
            let written = &self.text[from..to];
            return Problem::error(self.span(from, to), "`${…}` inside `{…}` or `[…]` must be quoted")
                .caption("the braces of this template end the mapping around it")
                .help(format!("write \"{written}\""));
        }
        let start = self.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let line = self.text[start..].lines().next().unwrap_or("");
        let message = error.info();
        let problem = Problem::error(self.span(at, at + 1), format!("this is not YAML: {message}"));
        if line.trim_start_matches(' ').starts_with('\t') {
            problem.help("indent with spaces: YAML does not allow tabs")
        } else if message.contains("anchor") {
            problem.help("a text that begins with `*` or `&` must be quoted")
        } else if message.contains("mapping values") {
            problem.help("a text with `: ` inside must be quoted; or the line is indented too far")
        } else {
            problem.help("quote texts with `{ } [ ] : # | * &` in them, and check the indentation of this and the line before")
        }
    }
}

fn weight(node: &Node) -> usize {
    match &node.kind {
        Kind::Scalar(_) => 1,
        Kind::List(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Kind::Map(entries) => 1 + entries.iter().map(|entry| weight(&entry.value)).sum::<usize>(),
    }
}

/// A plain scalar that YAML 1.1 readers take for something else than YAML 1.2 does.
fn yaml11_trap(text: &str, span: Span) -> Option<Problem> {
    let lower = text.to_ascii_lowercase();
    if matches!(lower.as_str(), "yes" | "no" | "on" | "off") {
        let truth = matches!(lower.as_str(), "yes" | "on");
        return Some(
            Problem::error(span, format!("`{text}` is a boolean in YAML 1.1 and text in YAML 1.2"))
                .help(format!("write `{truth}` for the boolean or \"{text}\" for the text")),
        );
    }
    let mut parts = text.split(':');
    let sexagesimal =
        parts.next().is_some_and(|first| !first.is_empty() && first.bytes().all(|b| b.is_ascii_digit()))
            && text.contains(':')
            && parts.all(|p| {
                matches!(p.len(), 1 | 2) && p.bytes().all(|b| b.is_ascii_digit()) && p.as_bytes()[0] <= b'5'
            });
    if sexagesimal {
        return Some(
            Problem::error(span, format!("`{text}` is a number in base 60 in YAML 1.1 and text in YAML 1.2"))
                .help(format!("write a duration such as `12m30s`, or \"{text}\" for the text")),
        );
    }
    if text.len() > 1 && text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()) {
        let decimal = text.trim_start_matches('0');
        let decimal = if decimal.is_empty() { "0" } else { decimal };
        return Some(
            Problem::error(span, format!("`{text}` is octal in YAML 1.1 and decimal in YAML 1.2"))
                .help(format!("write `{decimal}` for the number or \"{text}\" for the text")),
        );
    }
    None
}

/// The first `${…}` outside quotes and inside a flow collection on the line of `at`, or the line before it.
fn unquoted_template(text: &str, at: usize) -> Option<(usize, usize)> {
    let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let before = text[..line_start.saturating_sub(1)].rfind('\n').map_or(0, |newline| newline + 1);
    for start in [line_start, before] {
        let line = text[start..].lines().next().unwrap_or("");
        let (mut depth, mut quote) = (0usize, None);
        let mut previous = ' ';
        for (offset, c) in line.char_indices() {
            match (quote, c) {
                (Some(q), c) if q == c => quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'') if " {[,:".contains(previous) => quote = Some(c),
                (None, '{') if previous == '$' && depth > 0 => {
                    let end = line[offset..].find('}').map_or(line.len(), |close| offset + close + 1);
                    return Some((start + offset - 1, start + end));
                }
                (None, '{' | '[') if previous != '$' => depth += 1,
                (None, '}' | ']') => depth = depth.saturating_sub(1),
                _ => {}
            }
            previous = c;
        }
    }
    None
}
