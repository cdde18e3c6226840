//! The ear of a trace: where a shard has one, its user tells what it sends, receives, checks and captures. A run has none, and pays one
//! look at an empty option where something could be told. Nothing leaves here that holds a secret.

use super::shard::Shard;
use crate::clock::Nanos;
use crate::endpoint::{self, EndpointId};
use crate::limits::{TRACE_CONTENT_BYTES_MAX, TRACE_EVENTS_MAX};
use crate::measure::sample::Outcome;
use crate::scenario::plan::SlotId;
use crate::scenario::template::Value;
use crate::transport::{self, Address, Connection, Exchange, TransportError};
use schemars::JsonSchema;
use serde::Serialize;
use std::cell::Cell;
use std::net::IpAddr;
use tokio::sync::mpsc;

/// Version of the JSON form; a change of what a key means raises it.
pub const TRACE_SCHEMA: u32 = 1;

/// A whole trace, as `plimsoll trace --json` prints it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Trace {
    pub schema: u32,
    pub events: Vec<Told>,
}

/// Something that happened, with the nanoseconds since the trace began.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Told {
    pub at_ns: Nanos,
    #[serde(flatten)]
    pub event: Event,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A connection stands; `tls_ns` is the part of it that came after TCP's, `None` without TLS.
    Connected {
        address: String,
        tcp_ns: u64,
        tls_ns: Option<u64>,
    },
    /// A rendered request, about to be sent.
    Request {
        endpoint: String,
        content: Content,
    },
    /// Its answer: how long the first byte took, and the rest after it.
    Answer {
        status: u16,
        wait_ns: u64,
        read_ns: u64,
        bytes_received: u64,
        head: Content,
        body: Content,
    },
    Check {
        what: String,
        failure: Option<String>,
    },
    Captured {
        name: String,
        value: String,
    },
    /// A request, message or capture that failed, as a run would count it.
    Failed {
        endpoint: String,
        outcome: &'static str,
        text: String,
    },
    Condition {
        text: String,
        holds: bool,
    },
    /// A think time, or the wait between two repeats.
    Pause {
        span_ns: u64,
        skipped: bool,
    },
    SocketOpened {
        address: String,
        path: String,
        handshake_ns: u64,
    },
    MessageSent {
        content: Content,
    },
    /// A message from the server, and whether it is the one that was waited for.
    MessageReceived {
        content: Content,
        fits: bool,
    },
    SocketClosed,
    /// The head of an event stream's answer came, so long after its request was sent.
    StreamOpened {
        address: String,
        wait_ns: u64,
    },
    /// An event from the server, its data as content, and whether it is the one that was waited for.
    EventReceived {
        name: String,
        content: Content,
        fits: bool,
    },
    /// Bytes that came since the last event that was waited for.
    StreamClosed {
        bytes_received: u64,
    },
    Ended {
        how: &'static str,
    },
}

/// Bytes that were sent or received, cut off at [`TRACE_CONTENT_BYTES_MAX`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Content {
    /// Of all of it.
    pub bytes: u64,
    /// As text, where it is text.
    pub text: Option<String>,
    /// Otherwise its first bytes in hexadecimal.
    pub hex: Option<String>,
    pub cut: bool,
}

/// Bytes of binary content that are shown.
const HEX_BYTES_MAX: usize = 64;

pub(super) struct Tap {
    events: mpsc::Sender<Told>,
    secrets: Vec<String>,
    skips_thinks: bool,
    told: Cell<usize>,
}

impl Tap {
    pub(super) fn new(events: mpsc::Sender<Told>, secrets: &[String], skips_thinks: bool) -> Self {
        Self { events, secrets: forms_of(secrets), skips_thinks, told: Cell::new(0) }
    }

    /// Tells an event. Whoever listens has room for all of them; past [`TRACE_EVENTS_MAX`] a journey repeats itself.
    pub(super) fn tell(&self, shard: &Shard, event: Event) {
        if self.told.get() < TRACE_EVENTS_MAX {
            self.told.set(self.told.get() + 1);
            let event = self.redacted(event);
            // Without a listener there is nobody left to tell.
            let _ = self.events.try_send(Told { at_ns: shard.clock.now(), event });
        }
    }

    /// Opens a connection and tells how long that took.
    pub(super) async fn connect(
        &self,
        shard: &Shard,
        address: &Address,
        source: Option<IpAddr>,
    ) -> Result<Connection, TransportError> {
        let begun_ns = shard.clock.now();
        let dialed_ns = Cell::new(begun_ns);
        let connecting = transport::connect_watched(address, source, || dialed_ns.set(shard.clock.now()));
        let connection = connecting.await?;
        let tls_ns = address.tls.is_some().then(|| shard.clock.now() - dialed_ns.get());
        let (address, tcp_ns) = (address.addr.to_string(), dialed_ns.get() - begun_ns);
        self.tell(shard, Event::Connected { address, tcp_ns, tls_ns });
        Ok(connection)
    }

    #[cold]
    pub(super) fn request(&self, shard: &Shard, endpoint: usize, bytes: &[u8]) {
        let endpoint = shard.plan.endpoints[endpoint].name.clone();
        self.tell(shard, Event::Request { endpoint, content: self.content(bytes) });
    }

    #[cold]
    pub(super) fn answer(&self, shard: &Shard, exchange: &Exchange) {
        self.tell(
            shard,
            Event::Answer {
                status: exchange.status,
                wait_ns: exchange.first_byte_ns.saturating_sub(exchange.sent_ns),
                read_ns: exchange.done_ns.saturating_sub(exchange.first_byte_ns),
                bytes_received: exchange.bytes_received,
                head: self.content(exchange.head.as_deref().unwrap_or_default()),
                body: self.content(exchange.body.as_deref().unwrap_or_default()),
            },
        );
    }

    #[cold]
    pub(super) fn captured(&self, shard: &Shard, slot: SlotId, value: &Value) {
        let name = shard.plan.slots.get(usize::from(slot)).cloned().unwrap_or_default();
        self.tell(shard, Event::Captured { name, value: value.as_str().to_owned() });
    }

    /// Whether a pause of `span_ns` is passed over.
    #[cold]
    pub(super) fn pause(&self, shard: &Shard, span_ns: u64) -> bool {
        self.tell(shard, Event::Pause { span_ns, skipped: self.skips_thinks });
        self.skips_thinks
    }

    pub(super) fn content(&self, bytes: &[u8]) -> Content {
        let length = bytes.len() as u64;
        let Ok(text) = std::str::from_utf8(bytes) else {
            let shown = &bytes[..bytes.len().min(HEX_BYTES_MAX)];
            let hex = shown.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
            return Content { bytes: length, text: None, hex: Some(hex), cut: bytes.len() > HEX_BYTES_MAX };
        };
        // First made harmless and then cut: half a secret is one too.
        let mut text = self.harmless(text);
        let end = (0..=TRACE_CONTENT_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
        let cut = text.len() > TRACE_CONTENT_BYTES_MAX;
        text.truncate(end.unwrap_or(0));
        Content { bytes: length, text: Some(text), hex: None, cut }
    }

    fn harmless(&self, text: &str) -> String {
        let text = self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"));
        without_passwords(&text)
    }

    /// Texts that are no [`Content`]; that is harmless from the start.
    fn redacted(&self, event: Event) -> Event {
        match event {
            Event::Check { what, failure } => {
                Event::Check { what: self.harmless(&what), failure: failure.map(|text| self.harmless(&text)) }
            }
            Event::Captured { name, value } => Event::Captured { name, value: self.harmless(&value) },
            Event::Failed { endpoint, outcome, text } => {
                Event::Failed { endpoint, outcome, text: self.harmless(&text) }
            }
            Event::Condition { text, holds } => Event::Condition { text: self.harmless(&text), holds },
            Event::SocketOpened { address, path, handshake_ns } => {
                Event::SocketOpened { address, path: self.harmless(&path), handshake_ns }
            }
            Event::EventReceived { name, content, fits } => {
                Event::EventReceived { name: self.harmless(&name), content, fits }
            }
            other => other,
        }
    }
}

impl Shard {
    #[cold]
    pub(super) fn tell_failure(&self, endpoint: EndpointId, outcome: Outcome, text: &str) {
        if let Some(tap) = &self.tap {
            let endpoint = endpoint::name_of(&self.plan.endpoints, endpoint);
            tap.tell(self, Event::Failed { endpoint, outcome: outcome.name(), text: text.to_owned() });
        }
    }
}

/// A secret as it stands in a header, in JSON and in a URL; the longest first, since one may be part of another.
fn forms_of(secrets: &[String]) -> Vec<String> {
    let mut forms: Vec<String> = secrets
        .iter()
        .filter(|secret| !secret.is_empty())
        .flat_map(|secret| {
            let json = serde_json::Value::from(secret.as_str()).to_string();
            let json = json.trim_start_matches('"').strip_suffix('"').unwrap_or_default().to_owned();
            [secret.clone(), json, crate::scenario::template::percent_encoded(secret)]
        })
        .collect();
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    forms.dedup();
    forms
}

/// `authorization: Basic …` holds name and password in a form that no search for them finds.
fn without_passwords(text: &str) -> String {
    let line = |line: &str| {
        let (name, value) = line.split_once(':')?;
        let scheme = value.trim_start().get(..6)?;
        let names = ["authorization", "proxy-authorization"];
        let secret = names.iter().any(|known| name.eq_ignore_ascii_case(known))
            && scheme.eq_ignore_ascii_case("basic ");
        secret.then(|| format!("{name}: {scheme}***{}", if line.ends_with('\r') { "\r" } else { "" }))
    };
    text.split('\n').map(|one| line(one).unwrap_or_else(|| one.to_owned())).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tap(secrets: &[&str]) -> Tap {
        let secrets: Vec<String> = secrets.iter().map(|secret| (*secret).to_owned()).collect();
        Tap::new(mpsc::channel(1).0, &secrets, true)
    }

    fn text(tap: &Tap, bytes: &[u8]) -> String {
        tap.content(bytes).text.expect("text")
    }

    #[test]
    fn a_secret_is_hidden_in_every_form_it_is_sent_in() {
        let tap = tap(&["p\"w d", "p"]);
        let sent = b"x-key: p\"w d\r\n\r\n{\"a\":\"p\\\"w d\"}&q=p%22w%20d";
        assert_eq!(text(&tap, sent), "x-key: ***\r\n\r\n{\"a\":\"***\"}&q=***");
        let basic = b"GET / HTTP/1.1\r\nAuthorization: Basic dXNlcjpodW50ZXIy\r\nhost: a\r\n";
        assert_eq!(text(&self::tap(&[]), basic), "GET / HTTP/1.1\r\nAuthorization: Basic ***\r\nhost: a\r\n");
    }

    #[test]
    fn a_secret_across_the_cut_is_hidden_before_it() {
        let mut long = vec![b'x'; TRACE_CONTENT_BYTES_MAX - 3];
        long.extend_from_slice(b"hunter2 and more");
        let content = tap(&["hunter2"]).content(&long);
        assert!(content.cut && content.text.is_some_and(|text| text.ends_with("x***")));
        assert_eq!(content.bytes, long.len() as u64);
    }

    #[test]
    fn what_is_not_text_is_shown_as_numbers() {
        let content = tap(&[]).content(&[0xff, 0x00, 0x1b]);
        assert_eq!((content.text, content.hex.as_deref(), content.cut), (None, Some("ff 00 1b"), false));
    }
}
