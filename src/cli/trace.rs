//! `plimsoll trace`: one user, one iteration, every byte in and out.

use super::args::TraceArgs;
use super::{Process, exit, load};
use crate::limits::TRACE_EVENTS_MAX;
use crate::run::{self, Content, TRACE_SCHEMA, Told, Trace, TraceEvent, TraceOptions};
use crate::scenario::plan::{JourneyId, Plan};
use crate::units::show_duration;
use std::time::Duration;
use tokio::sync::mpsc;

/// Lines of one content that are shown, and characters of one of them; `--json` has all that was kept.
const LINES_SHOWN: usize = 40;
const COLUMNS_SHOWN: usize = 2000;

pub(super) fn trace(process: &mut Process<'_>, args: &TraceArgs) -> u8 {
    let plan = match load::plan(process, &args.inspect.scenario) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    let journey = match journey(&plan, args.journey.as_deref()) {
        Ok(journey) => journey,
        Err(text) => {
            process.complain(&format!("plimsoll: {}: {text}", args.inspect.scenario.scenario.display()));
            return exit::USAGE;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            process.complain(&format!("plimsoll: cannot start: {error}"));
            return exit::IO;
        }
    };
    let options = TraceOptions {
        executable: process.executable.clone(),
        journey,
        user: args.user,
        skips_thinks: !args.with_thinks,
    };
    let (events, told) = mpsc::channel(TRACE_EVENTS_MAX);
    let (traced, printed) = runtime.block_on(async {
        tokio::join!(run::trace(plan, options, events), listen(process, told, args.inspect.json))
    });
    runtime.shutdown_background();
    match traced {
        Err(error) => {
            process.complain(&format!("plimsoll: {error}"));
            exit::TARGET_LOST
        }
        Ok(_) if printed != exit::OK => printed,
        Ok(true) => exit::OK,
        Ok(false) => exit::FAILED,
    }
}

fn journey(plan: &Plan, name: Option<&str>) -> Result<Option<JourneyId>, String> {
    let Some(name) = name else { return Ok(None) };
    let found = plan.journeys.iter().position(|journey| journey.name == name);
    match found.and_then(|index| JourneyId::try_from(index).ok()) {
        Some(id) => Ok(Some(id)),
        None => {
            let names: Vec<&str> = plan.journeys.iter().map(|journey| journey.name.as_str()).collect();
            Err(format!("there is no journey `{name}`; there are: {}", names.join(", ")))
        }
    }
}

/// Prints what is told as it is told; in JSON, all of it at the end.
async fn listen(process: &mut Process<'_>, mut told: mpsc::Receiver<Told>, json: bool) -> u8 {
    let mut all = Vec::new();
    while let Some(event) = told.recv().await {
        if json {
            all.push(event);
            continue;
        }
        let printed = process.print(&shown(&event));
        if printed != exit::OK {
            return printed;
        }
    }
    // A trace of nothing is a target that could not be made ready, which is told elsewhere.
    if json && !all.is_empty() {
        process.print_json(&Trace { schema: TRACE_SCHEMA, events: all })
    } else {
        exit::OK
    }
}

fn span(ns: u64) -> String {
    // Three digits say enough of a single measurement.
    let digits = ns.checked_ilog10().map_or(0, |log| log.saturating_sub(2));
    let step = 10_u64.pow(digits);
    show_duration(Duration::from_nanos(ns / step * step))
}

fn shown(told: &Told) -> String {
    let at = format!("{:>9.3} ms", told.at_ns as f64 / 1e6);
    let line = |text: String| format!("{at}  {text}\n");
    match &told.event {
        TraceEvent::Connected { address, tcp_ns, tls_ns } => {
            let tls = tls_ns.map_or_else(String::new, |ns| format!(", TLS in {}", span(ns)));
            line(format!("connected to {address} in {}{tls}", span(*tcp_ns)))
        }
        TraceEvent::Request { endpoint, content } => {
            format!("\n{}{}", line(format!("── {endpoint} ── {} bytes", content.bytes)), block(content, "> "))
        }
        TraceEvent::Answer { status, wait_ns, read_ns, bytes_received, head, body } => {
            let rest =
                if *read_ns == 0 { String::new() } else { format!(", the rest {} later", span(*read_ns)) };
            let first =
                format!("status {status}, first byte after {}{rest}, {bytes_received} bytes", span(*wait_ns));
            let between = if body.bytes > 0 { "              < \n" } else { "" };
            format!("{}{}{between}{}", line(first), block(head, "< "), block(body, "< "))
        }
        TraceEvent::Check { what, failure: None } => line(format!("check    {what}: holds")),
        TraceEvent::Check { what, failure: Some(text) } => line(format!("check    {what}: FAILED: {text}")),
        TraceEvent::Captured { name, value } => line(format!("captured {name} = {}", escaped(value))),
        TraceEvent::Failed { endpoint, outcome, text } => {
            line(format!("FAILED   {endpoint} ({outcome}): {}", escaped(text)))
        }
        TraceEvent::Condition { text, holds } => line(format!("if {text}: {holds}")),
        TraceEvent::Pause { span_ns, skipped } => {
            line(format!("pause    {}{}", span(*span_ns), if *skipped { ", skipped" } else { "" }))
        }
        TraceEvent::SocketOpened { address, path, handshake_ns } => {
            format!("\n{}", line(format!("socket {path} at {address} open after {}", span(*handshake_ns))))
        }
        TraceEvent::MessageSent { content } => {
            format!("{}{}", line(format!("message sent, {} bytes", content.bytes)), block(content, "> "))
        }
        TraceEvent::MessageReceived { content, fits } => {
            let passed = if *fits { "" } else { ", passed over" };
            format!(
                "{}{}",
                line(format!("message received, {} bytes{passed}", content.bytes)),
                block(content, "< ")
            )
        }
        TraceEvent::SocketClosed => line("socket closed".to_owned()),
        TraceEvent::StreamOpened { address, wait_ns } => {
            line(format!("event stream at {address} open after {}", span(*wait_ns)))
        }
        TraceEvent::EventReceived { name, content, fits } => {
            let passed = if *fits { "" } else { ", passed over" };
            let told = format!("event {} received, {} bytes{passed}", escaped(name), content.bytes);
            format!("{}{}", line(told), block(content, "< "))
        }
        TraceEvent::StreamClosed { bytes_received } => {
            line(format!("event stream closed, {bytes_received} bytes since the last event waited for"))
        }
        TraceEvent::Ended { how } => format!("\n{}", line(format!("the iteration {how}"))),
    }
}

/// Content line by line, each marked with its direction.
fn block(content: &Content, mark: &str) -> String {
    let mut lines: Vec<String> = match (&content.text, &content.hex) {
        (Some(text), _) => text.trim_end().lines().map(fitted).collect(),
        (None, Some(hex)) => vec![format!("binary: {hex}")],
        (None, None) => Vec::new(),
    };
    let left_out = lines.len().saturating_sub(LINES_SHOWN);
    lines.truncate(LINES_SHOWN);
    if left_out > 0 {
        lines.push(format!("… {left_out} more lines"));
    } else if content.cut {
        lines.push(format!("… of {} bytes", content.bytes));
    }
    lines.iter().map(|line| format!("{:14}{mark}{line}", "").trim_end().to_owned() + "\n").collect()
}

/// A line that is not longer than a screen.
fn fitted(line: &str) -> String {
    let left_out = line.chars().count().saturating_sub(COLUMNS_SHOWN);
    let shown: String = line.chars().take(COLUMNS_SHOWN).collect();
    let rest = if left_out > 0 { format!(" … {left_out} more characters") } else { String::new() };
    escaped(&shown) + &rest
}

/// What a server sends may not steer the terminal.
fn escaped(text: &str) -> String {
    let escape = |c: char| match c {
        '\t' => c.to_string(),
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.trim_end_matches('\r').chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(text: &str) -> Content {
        Content { bytes: text.len() as u64, text: Some(text.to_owned()), hex: None, cut: false }
    }

    #[test]
    fn an_exchange_with_its_checks() {
        let events = [
            TraceEvent::Connected {
                address: "127.0.0.1:80".into(),
                tcp_ns: 123_456,
                tls_ns: Some(2_345_678),
            },
            TraceEvent::Request {
                endpoint: "list".into(),
                content: content("GET /a HTTP/1.1\r\nhost: a\r\n\r\n"),
            },
            TraceEvent::Answer {
                status: 200,
                wait_ns: 1_234_567,
                read_ns: 0,
                bytes_received: 99,
                head: content("server: x\r\n\r\n"),
                body: content("{\"id\": 7}\u{1b}[2J"),
            },
            TraceEvent::Check { what: "status 200".into(), failure: None },
            TraceEvent::Check { what: "body $.a exists".into(), failure: Some("not there".into()) },
            TraceEvent::Captured { name: "id".into(), value: "7".into() },
            TraceEvent::Pause { span_ns: 1_500_000_000, skipped: true },
            TraceEvent::Ended { how: "failed" },
        ];
        let told = events.into_iter().enumerate();
        let text: String =
            told.map(|(index, event)| shown(&Told { at_ns: index as u64 * 1_000_500, event })).collect();
        insta::assert_snapshot!(text);
    }

    #[test]
    fn an_event_stream() {
        let events = [
            TraceEvent::StreamOpened { address: "127.0.0.1:80".into(), wait_ns: 1_234_567 },
            TraceEvent::EventReceived { name: "noise\u{1b}".into(), content: content("a\nb"), fits: false },
            TraceEvent::EventReceived { name: "tick".into(), content: content("{\"seq\": 7}"), fits: true },
            TraceEvent::StreamClosed { bytes_received: 12 },
        ];
        let text: String = events.into_iter().map(|event| shown(&Told { at_ns: 0, event })).collect();
        insta::assert_snapshot!(text);
    }

    #[test]
    fn long_content_is_cut_and_says_so() {
        let long = content(&"x\n".repeat(100));
        let shown = block(&long, "< ");
        assert_eq!(shown.lines().count(), LINES_SHOWN + 1);
        assert!(shown.ends_with("… 60 more lines\n"));
        let binary = Content { bytes: 3, text: None, hex: Some("ff 00 1b".into()), cut: false };
        assert_eq!(block(&binary, "< ").trim(), "< binary: ff 00 1b");
    }

    #[test]
    fn times_have_three_digits() {
        assert_eq!([0, 7, 123_456, 1_234_567].map(span), ["0s", "7ns", "123us", "1.23ms"]);
    }
}
