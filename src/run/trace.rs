//! One user looked at closely: the target is made ready as for a run, and the engine carries one iteration with an ear on it. Nothing is
//! recorded.

use super::target::{self, TargetError};
use super::{Options, Told};
use crate::clock::Clock;
use crate::engine::route::{Destination, Route};
use crate::engine::shard::Setup;
use crate::engine::trace::{self, Subject};
use crate::load::share::Share;
use crate::scenario::plan::{JourneyId, Plan};
use crate::transport::READ_ERROR_ONE_IN;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Whom to trace.
pub struct TraceOptions {
    /// The executable that serves the bundled target.
    pub executable: PathBuf,
    /// Otherwise the one that the mix gives this user.
    pub journey: Option<JourneyId>,
    pub user: u64,
    pub skips_thinks: bool,
}

/// Runs the first iteration of one user and tells `events` of it; true if nothing failed in it. Dropping the future cuts it off and ends a
/// target that was started for it.
///
/// # Errors
/// When the target cannot be made ready.
pub async fn trace(
    mut plan: Plan,
    options: TraceOptions,
    events: mpsc::Sender<Told>,
) -> Result<bool, TargetError> {
    let part = choose(&mut plan, options.journey);
    let plan = Arc::new(plan);
    let target = target::prepare(&plan, &as_run(options.executable)).await?;
    let route = |destination: &Option<Destination>| match destination {
        None => Ok(None),
        Some(destination) => Route::to(destination, &plan.target).map(Some).map_err(|error| {
            TargetError::Tls { host: destination.base.host.clone(), text: error.to_string() }
        }),
    };
    let (http, ws) = (route(&target.http)?, route(&target.ws)?);
    let setup = Setup {
        plan: Arc::clone(&plan),
        share: Share::WHOLE,
        clock: Clock::start(),
        http,
        ws,
        read_error_one_in: READ_ERROR_ONE_IN,
    };
    let subject = Subject { part, user: options.user, skips_thinks: options.skips_thinks };
    let completed = trace::trace(setup, subject, events).await;
    // Until here: the bundled target ends with it.
    drop(target);
    Ok(completed)
}

/// The load part of a journey: the first that has it, so that the user's random choices are those it has in a run. All of the part's
/// users follow the journey then.
fn choose(plan: &mut Plan, journey: Option<JourneyId>) -> usize {
    let Some(journey) = journey else { return 0 };
    let index = plan.load.iter().position(|part| part.mix.iter().any(|(id, _)| *id == journey)).unwrap_or(0);
    if let Some(part) = plan.load.get_mut(index) {
        part.mix = vec![(journey, 1)];
    }
    index
}

/// What a target is made ready with: no load that would need more than one process or address.
fn as_run(executable: PathBuf) -> Options {
    Options {
        dir: PathBuf::new(),
        command: "trace",
        agents: 1,
        shards: 1,
        source_addresses: 1,
        executable,
        interrupts: mpsc::unbounded_channel().1,
        warnings: Vec::new(),
        what_if: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::TraceEvent;
    use crate::scenario::{self, Overrides};
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// Answers every request on every connection with the same bytes, until it is dropped.
    async fn server(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut bytes = [0; 4096];
                    while let Ok(1..) = socket.read(&mut bytes).await {
                        if socket.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        addr
    }

    fn plan(addr: SocketAddr) -> Plan {
        let text = format!(
            "plimsoll: 1\nname: made-up\nseed: 3\ntarget: {{http: \"http://{addr}\", headers: {{x-key: \"${{secret.key}}\"}}}}\nsecrets: {{key: {{env: KEY}}}}\nscenarios:\n  first:\n    steps:\n      - get: /a\n        name: a\n        expect: {{status: 200, body: $.id exists}}\n        extract: {{id: $.id}}\n      - think: 10s..20s\n      - get: /b/${{id}}\n        name: b\n        expect: {{status: 404}}\n  second:\n    steps:\n      - get: /c\n        name: c\nload:\n  - {{name: crowd, run: first, executor: closed, stages: [{{to: 1, over: 1s}}]}}\n  - {{name: others, run: second, executor: closed, stages: [{{to: 1, over: 1s}}]}}\n"
        );
        let env = |name: &str| (name == "KEY").then(|| "hunter2".to_owned());
        match scenario::load("made-up.yaml", &text, &Overrides::none(&env)) {
            Ok(plan) => plan,
            Err(problems) => panic!("{}", problems.lines().join("\n")),
        }
    }

    async fn traced(plan: Plan, journey: Option<JourneyId>) -> (Result<bool, TargetError>, Vec<TraceEvent>) {
        let (events, mut told) = mpsc::channel(100);
        let options = TraceOptions { executable: PathBuf::new(), journey, user: 5, skips_thinks: true };
        let ended = trace(plan, options, events).await;
        let mut all = Vec::new();
        while let Some(event) = told.recv().await {
            all.push(event.event);
        }
        (ended, all)
    }

    const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 28\r\n\r\n{\"id\": 77, \"key\": \"hunter2\"}";

    #[tokio::test]
    async fn everything_that_happens_is_told_and_no_secret_is() {
        let (ended, told) = traced(plan(server(ANSWER).await), None).await;
        assert!(matches!(ended, Ok(false)), "the last check does not hold");
        let kinds: Vec<String> = told
            .iter()
            .map(|event| {
                serde_json::to_value(event).expect("JSON")["event"].as_str().unwrap_or_default().to_owned()
            })
            .collect();
        assert_eq!(
            kinds,
            [
                "request",
                "connected",
                "answer",
                "check",
                "check",
                "captured",
                "pause",
                "request",
                "answer",
                "check",
                "failed",
                "ended"
            ]
        );
        let TraceEvent::Request { content, .. } = &told[7] else { panic!("{:?}", told[7]) };
        let sent = content.text.as_deref().expect("text");
        assert!(sent.starts_with("GET /b/77 HTTP/1.1\r\n") && sent.contains("x-key: ***\r\n"), "{sent}");
        let TraceEvent::Answer { body, status: 200, .. } = &told[2] else { panic!("{:?}", told[2]) };
        assert_eq!(body.text.as_deref(), Some("{\"id\": 77, \"key\": \"***\"}"));
        let TraceEvent::Pause { span_ns, skipped: true } = &told[6] else { panic!("{:?}", told[6]) };
        assert!((10_000_000_000..20_000_000_000).contains(span_ns));
        assert_eq!(told.last(), Some(&TraceEvent::Ended { how: "failed" }));
        assert!(!format!("{told:?}").contains("hunter2"));
    }

    const EVENTS: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: hello\n\nevent: noise\ndata: 1\n\nevent: ready\ndata: {\"id\": 7, \"key\": \"hunter2\"}\n\n: bye\n\n";

    #[tokio::test]
    async fn an_event_stream_is_told_from_its_request_to_its_end() {
        let addr = server(EVENTS).await;
        let text = format!(
            "plimsoll: 1\nname: made-up\nseed: 3\ntarget: {{http: \"http://{addr}\"}}\nsecrets: {{key: {{env: KEY}}}}\nscenarios:\n  first:\n    steps:\n      - sse_open: /events?key=${{secret.key}}\n      - {{sse_expect: , event: ready, extract: {{id: $.id}}}}\n      - {{sse_listen: 10ms, event: noise}}\n      - sse_close:\nload:\n  - {{run: first, executor: closed, stages: [{{to: 1, over: 1s}}]}}\n"
        );
        let env = |name: &str| (name == "KEY").then(|| "hunter2".to_owned());
        let plan = scenario::load("made-up.yaml", &text, &Overrides::none(&env))
            .unwrap_or_else(|problems| panic!("{}", problems.lines().join("\n")));
        let (ended, told) = traced(plan, None).await;
        assert!(matches!(ended, Ok(true)), "{told:?}");
        let TraceEvent::Request { content, .. } = &told[0] else { panic!("{told:?}") };
        assert!(content.text.as_deref().is_some_and(|text| text.starts_with("GET /events?key=*** HTTP/1.1")));
        assert!(matches!(&told[1], TraceEvent::StreamOpened { address, .. } if *address == addr.to_string()));
        assert!(matches!(&told[2], TraceEvent::EventReceived { name, fits: false, .. } if name == "noise"));
        let TraceEvent::EventReceived { content, fits: true, .. } = &told[3] else { panic!("{told:?}") };
        assert_eq!((content.bytes, content.text.as_deref()), (27, Some("{\"id\": 7, \"key\": \"***\"}")));
        assert!(matches!(&told[4], TraceEvent::Captured { name, .. } if name == "id"));
        // All of it came with the head, so nothing is left.
        assert_eq!(
            told[5..],
            [TraceEvent::StreamClosed { bytes_received: 0 }, TraceEvent::Ended { how: "completed" }]
        );
    }

    #[tokio::test]
    async fn a_journey_is_found_in_the_part_that_has_it() {
        let plan = plan(server(ANSWER).await);
        let second = plan.journeys.iter().position(|journey| journey.name == "second").expect("there is one");
        let (ended, told) = traced(plan, JourneyId::try_from(second).ok()).await;
        assert!(matches!(ended, Ok(true)));
        assert!(matches!(&told[0], TraceEvent::Request { endpoint, .. } if endpoint == "c"));
    }

    #[tokio::test]
    async fn the_same_user_makes_the_same_choices() {
        let pauses = async |journey| {
            let (_, told) = traced(plan(server(ANSWER).await), journey).await;
            told.iter().find_map(|event| match event {
                TraceEvent::Pause { span_ns, .. } => Some(*span_ns),
                _ => None,
            })
        };
        let chosen = pauses(None).await;
        assert!(chosen.is_some());
        assert_eq!(chosen, pauses(Some(0)).await);
    }

    #[tokio::test]
    async fn a_target_that_is_down_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        drop(listener);
        let (ended, told) = traced(plan(addr), None).await;
        let error = ended.expect_err("nobody listens").to_string();
        assert!(error.contains(&addr.to_string()) && error.contains("start the service"), "{error}");
        assert!(told.is_empty());
    }
}
