//! The text of an event stream, WHATWG HTML section 9.2.6, read as it comes: whatever the pieces the bytes arrive in, the events are
//! the same. A line is copied only when a piece ends inside it, and a parser between two events holds no memory but the last id.

use crate::limits::{EVENT_BYTES_MAX, EVENT_ID_BYTES_MAX, EVENT_RETRY_MAX};
use std::time::Duration;
use thiserror::Error;

/// One event as it was dispatched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its name; `message` where the stream gives none.
    pub name: Box<str>,
    /// Its data, the lines joined by line feeds.
    pub data: Box<str>,
}

/// A line or the data of an event is larger than [`EVENT_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an event is larger than {EVENT_BYTES_MAX} bytes")]
pub struct EventTooLarge;

#[derive(Debug, Default)]
pub struct EventParser {
    /// The beginning of a line that has not ended yet.
    line: Vec<u8>,
    /// The last line ended with a carriage return, so a line feed that follows belongs to it.
    after_return: bool,
    /// The first line has been seen: a byte order mark can only stand before it.
    begun: bool,
    name: String,
    data: String,
    has_data: bool,
    /// Takes effect with the event it stands in.
    id: Option<Box<str>>,
    last_event_id: Option<Box<str>>,
    retry: Option<Duration>,
}

impl EventParser {
    /// Takes the next bytes and tells every event they complete. What a stream that ends leaves incomplete is no event.
    ///
    /// # Errors
    /// When a line or an event is larger than its bound; nothing more can be read then.
    pub fn feed(&mut self, bytes: &[u8], mut tell: impl FnMut(Event)) -> Result<(), EventTooLarge> {
        let mut rest = bytes;
        if self.after_return && !rest.is_empty() {
            self.after_return = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(end) = memchr::memchr2(b'\r', b'\n', rest) {
            let (line, ending) = rest.split_at(end);
            if self.line.is_empty() {
                self.line(line, &mut tell)?;
            } else {
                self.spill(line)?;
                let whole = std::mem::take(&mut self.line);
                self.line(&whole, &mut tell)?;
            }
            rest = match ending {
                [b'\r', b'\n', rest @ ..] => rest,
                [b'\r'] => {
                    self.after_return = true;
                    &[]
                }
                _ => &ending[1..],
            };
        }
        self.spill(rest)
    }

    /// What to send as `last-event-id` when connecting again; an empty one says to send none. `None` if no event had an id.
    pub fn last_event_id(&self) -> Option<&str> {
        self.last_event_id.as_deref()
    }

    /// How long the server wants a client to wait before it connects again, at most [`EVENT_RETRY_MAX`].
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    fn spill(&mut self, piece: &[u8]) -> Result<(), EventTooLarge> {
        if self.line.len() + piece.len() > EVENT_BYTES_MAX {
            return Err(EventTooLarge);
        }
        self.line.extend_from_slice(piece);
        Ok(())
    }

    fn line(&mut self, line: &[u8], tell: &mut impl FnMut(Event)) -> Result<(), EventTooLarge> {
        let marked = !std::mem::replace(&mut self.begun, true);
        let line = if marked { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        if line.is_empty() {
            self.dispatch(tell);
            return Ok(());
        }
        let (field, value) = match memchr::memchr(b':', line) {
            // A comment, which servers send to keep the connection alive.
            Some(0) => return Ok(()),
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        let value = String::from_utf8_lossy(value.strip_prefix(b" ").unwrap_or(value));
        match field {
            b"event" => self.name = value.into_owned(),
            b"data" => return self.data(&value),
            b"id" if !value.contains('\0') && value.len() <= EVENT_ID_BYTES_MAX => {
                self.id = Some(value.into())
            }
            b"retry" => self.retry = milliseconds(&value).or(self.retry),
            _ => {}
        }
        Ok(())
    }

    fn data(&mut self, value: &str) -> Result<(), EventTooLarge> {
        if self.data.len() + 1 + value.len() > EVENT_BYTES_MAX {
            return Err(EventTooLarge);
        }
        if std::mem::replace(&mut self.has_data, true) {
            self.data.push('\n');
        }
        self.data.push_str(value);
        Ok(())
    }

    fn dispatch(&mut self, tell: &mut impl FnMut(Event)) {
        if let Some(id) = self.id.take() {
            self.last_event_id = Some(id);
        }
        let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
        if std::mem::take(&mut self.has_data) {
            let name = if name.is_empty() { "message".into() } else { name.into() };
            tell(Event { name, data: data.into() });
        }
    }
}

fn milliseconds(value: &str) -> Option<Duration> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    // So many digits that they are no number ask for more than the bound, too.
    digits.then(|| value.parse().map_or(EVENT_RETRY_MAX, Duration::from_millis).min(EVENT_RETRY_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    fn event(name: &str, data: &str) -> Event {
        Event { name: name.into(), data: data.into() }
    }

    fn parse(text: &[u8], cut: usize) -> (Vec<Event>, EventParser) {
        let mut parser = EventParser::default();
        let mut events = Vec::new();
        for piece in text.chunks(cut.max(1)) {
            parser.feed(piece, |event| events.push(event)).expect("within the bounds");
        }
        (events, parser)
    }

    #[test]
    fn the_examples_of_the_standard() {
        for (text, events) in [
            ("data: YHOO\ndata: +2\ndata: 10\n\n", vec![event("message", "YHOO\n+2\n10")]),
            (
                ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
                vec![
                    event("message", "first event"),
                    event("message", "second event"),
                    event("message", " third event"),
                ],
            ),
            // An event of one empty line, one of two, and one that never ends.
            ("data\n\ndata\ndata\n\ndata:", vec![event("message", ""), event("message", "\n")]),
            ("data:test\n\ndata: test\n\n", vec![event("message", "test"), event("message", "test")]),
            ("event: add\ndata: 73857293\n\nevent: remove\n\n", vec![event("add", "73857293")]),
        ] {
            for cut in 1..=text.len() {
                assert_eq!(parse(text.as_bytes(), cut).0, events, "{text:?} in pieces of {cut}");
            }
        }
    }

    #[test]
    fn line_ends_marks_ids_and_retries() {
        let text = "\u{feff}data: a\r\rdata: b\r\n\r\ndata: c\n\nid: 7\nretry: 250\n\nid: x\0y\nretry: 1s\ndata: d\n\n";
        for cut in 1..=text.len() {
            let (events, parser) = parse(text.as_bytes(), cut);
            assert_eq!(events, ["a", "b", "c", "d"].map(|data| event("message", data)));
            assert_eq!(
                (parser.last_event_id(), parser.retry()),
                (Some("7"), Some(Duration::from_millis(250)))
            );
        }
        for more in ["3600001", "30000000", "1000000000000000000", "99999999999999999999999"] {
            let (_, parser) = parse(format!("retry: {more}\n").as_bytes(), 9);
            assert_eq!(parser.retry(), Some(EVENT_RETRY_MAX), "{more}");
        }
        let (events, parser) = parse(b"data: a\nid: 9", 3);
        assert!(events.is_empty());
        assert_eq!(parser.last_event_id(), None, "an id counts with its event");
        assert_eq!(parse(b"id: 9\n\nid\n\n", 3).1.last_event_id(), Some(""), "an empty one takes it back");
        assert_eq!(parse(b"\xff\xfe: \ndata: \xff\n\n", 1).0, [event("message", "\u{fffd}")]);
    }

    #[test]
    fn lines_and_events_are_bounded() {
        let mut parser = EventParser::default();
        let line = vec![b'x'; EVENT_BYTES_MAX];
        assert_eq!(parser.feed(&line, |_| {}), Ok(()));
        assert_eq!(parser.feed(b"x", |_| {}), Err(EventTooLarge));
        let mut parser = EventParser::default();
        let lines = b"data: 0123456789\n".repeat(EVENT_BYTES_MAX / 8);
        assert_eq!(parser.feed(&lines, |_| {}), Err(EventTooLarge));
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_events(text in "(data|event|id|retry|[a-z]{0,3}|:|: |\n|\r|\r\n|7|é){0,60}", cut in 1_usize..20) {
            let whole = parse(text.as_bytes(), text.len());
            let cut = parse(text.as_bytes(), cut);
            prop_assert_eq!(whole.0, cut.0);
            prop_assert_eq!(whole.1.last_event_id(), cut.1.last_event_id());
            prop_assert_eq!(whole.1.retry(), cut.1.retry());
        }

        #[test]
        fn what_is_printed_is_read(lines in proptest::collection::vec("[^\r\n]{0,20}", 1..5), name in "[a-z]{1,8}") {
            let data = lines.join("\n");
            let printed: String = lines.iter().map(|line| format!("data: {line}\n")).collect();
            let (events, _) = parse(format!("event: {name}\n{printed}\n").as_bytes(), 7);
            prop_assert_eq!(events, [event(&name, &data)]);
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 1_usize..20) {
            parse(&bytes, cut);
        }
    }
}
