//! What stays open, in the record: who waited for a message, and how long; and that a user reads its lines whatever else it does.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod transport_subjects;

use std::time::Duration;
use transport_subjects::lines::{OPENING, push, say, server, switch};
use transport_subjects::shard::one_user;

const MS: Duration = Duration::from_millis(1);

/// The opening took as long as it took: what comes on the line later, or does not, is counted and has no time.
#[test]
fn what_fails_on_a_line_is_no_latency_of_its_opening() {
    let (addr, _) = server(|head, _, socket| {
        say(socket, &switch(head));
        std::thread::sleep(300 * MS);
        for message in [r#"{"seq":1,"at":0}"#, r#"{"seq":5,"at":0}"#, r#"{"seq":6}"#, r#"{"at":0}"#] {
            push(socket, message);
        }
        std::thread::sleep(300 * MS);
    });
    let ran = one_user(
        addr,
        "      - {ws_open: /ws}\n      - {ws_listen: 5s, name: tick, lag: $.at, sequence: $.seq}\n      - {ws_listen: 1s}\n",
    );
    let (opening, lag) = (ran.window("WS /ws", "ws").unwrap(), ran.window("tick", "ws.lag").unwrap());
    assert_eq!((opening.completed, opening.failures), (1, 4), "{:?}", ran.failures());
    assert_eq!((lag.completed, lag.failures), (3, 1), "{:?}", ran.failures());
    assert_eq!((opening.all_responses().count(), lag.all_responses().count()), (1, 3));

    let (addr, _) = server(|_, _, socket| {
        say(socket, OPENING);
        std::thread::sleep(300 * MS);
        say(socket, "data: {}\n\n");
        std::thread::sleep(300 * MS);
    });
    for rest in ["      - {sse_listen: 5s, sequence: $.seq}\n", "      - {think: 1s}\n"] {
        let ran = one_user(
            addr,
            &format!("      - {{sse_open: /events, reconnect: {{max: 1, backoff: 1s..1s}}}}\n{rest}"),
        );
        let opening = ran.window("SSE /events", "sse").unwrap();
        assert!(opening.failures >= 1, "{:?}", ran.failures());
        assert_eq!(opening.all_responses().count(), opening.completed, "{:?}", ran.failures());
    }
}
