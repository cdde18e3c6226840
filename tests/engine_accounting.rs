//! One shard against a small server: whatever ends a run, every iteration that was planned is accounted for, every request sent has
//! ended in one way, and every socket is closed.

mod transport_subjects;

use plimsoll::engine::shard::Command;
use plimsoll::load::share::Share;
use plimsoll::measure::snapshot::Snapshot;
use plimsoll::record::summary::Counts;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;
use transport_subjects::shard::Run;

/// Answers every request after `delay`, each connection on a thread of its own.
fn server(delay: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                while stream.read(&mut bytes).is_ok_and(|count| count > 0) {
                    std::thread::sleep(delay);
                    if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                        return;
                    }
                }
            });
        }
    });
    addr
}

/// Runs `rest` (scenarios and load) on this share of a load; `words` are given after their delays.
fn carry(addr: SocketAddr, rest: &str, share: Share, words: &[(Duration, Command)]) -> Snapshot {
    let target = format!("http: \"http://{addr}\", timeout: 2s");
    Run { addr, target: &target, rest, share, words, ends_with_its_users: false }.carry().sum
}

const ONE_GET: &str = "scenarios: {read: {steps: [{get: /}]}}\n";

fn open(stages: &str, rules: &str) -> String {
    format!("{ONE_GET}load:\n  - {{name: a, run: read, executor: open, stages: {stages}, {rules}}}\n")
}

#[test]
fn an_open_load_plans_exactly_what_the_curve_says() {
    let addr = server(Duration::from_millis(1));
    for arrivals in ["uniform", "poisson"] {
        let rest =
            open("[{to: 200/s, over: 0s}, {hold: 2s}]", &format!("arrivals: {arrivals}, graceful_stop: 2s"));
        let mut planned = 0;
        for index in 0..3 {
            let share = Share::new(index, 3).expect("a third");
            let sum = carry(addr, &rest, share, &[]);
            assert_eq!(sum.counts.completed, sum.counts.planned);
            planned += sum.counts.planned;
        }
        if arrivals == "uniform" {
            assert_eq!(planned, 400, "200/s for 2 s");
        } else {
            assert!((300..500).contains(&planned), "{planned} of about 400");
        }
    }
}

#[test]
fn a_slow_target_drops_or_queues_and_neither_is_lost_nor_the_generators_fault() {
    let addr = server(Duration::from_millis(200));
    let stages = "[{to: 100/s, over: 0s}, {hold: 2s}]";
    let dropping =
        carry(addr, &open(stages, "late: drop, max_in_flight: 4, graceful_stop: 1s"), Share::WHOLE, &[]);
    assert_eq!(dropping.counts.planned, 200);
    assert!(dropping.counts.dropped > 100, "{:?}", dropping.counts);

    let queueing =
        carry(addr, &open(stages, "late: queue, max_in_flight: 4, graceful_stop: 1s"), Share::WHOLE, &[]);
    assert_eq!(queueing.counts.planned, 200);
    assert!(
        queueing.counts.dropped > 100,
        "what was still queued at the end of the drain: {:?}",
        queueing.counts
    );
    let response = &queueing.windows[0].as_ref().expect("used").response;
    assert!(response.max_ns() > 1_000_000_000, "a queued arrival is timed from its instant");
    assert!(
        queueing.dispatch_lag.quantile_ns(0.5) < 100_000_000,
        "waiting for a slot is not lag: {} ns",
        queueing.dispatch_lag.quantile_ns(0.5)
    );
}

#[test]
fn a_drain_an_abort_and_no_grace_at_all_lose_nothing() {
    let addr = server(Duration::from_millis(100));
    let stages = "[{to: 300/s, over: 0s}, {hold: 30s}]";
    let after = Duration::from_millis;
    for (rules, words) in [
        ("graceful_stop: 2s", vec![(after(700), Command::Drain)]),
        ("graceful_stop: 20s", vec![(after(700), Command::Drain), (after(50), Command::Abort)]),
        ("graceful_stop: 0s", vec![(after(700), Command::Drain)]),
        ("graceful_stop: 5s", vec![(after(700), Command::Abort)]),
    ] {
        let sum = carry(addr, &open(stages, rules), Share::WHOLE, &words);
        assert!(sum.counts.planned > 100, "{:?}", sum.counts);
        assert_eq!(sum.counts.interrupted > 0, rules != "graceful_stop: 2s", "{rules}: {:?}", sum.counts);
        assert_eq!(sum.interrupted_age.count(), sum.counts.interrupted);
    }
    let none =
        carry(addr, &open("[{to: 50/s, over: 0s}, {hold: 1s}]", "graceful_stop: 0s"), Share::WHOLE, &[]);
    assert_eq!(none.counts.planned, 50);
}

#[test]
fn closed_users_come_and_go_with_the_curve() {
    let addr = server(Duration::from_millis(2));
    let rest = "scenarios: {read: {steps: [{get: /}, {think: 20ms}]}}\nload:\n  - {name: a, run: read, executor: closed, stages: [{to: 40, over: 1s}, {hold: 500ms}, {to: 0, over: 500ms}], graceful_stop: 1s}\n";
    let sum = carry(addr, rest, Share::WHOLE, &[]);
    assert_eq!(sum.counts.interrupted, 0);
    assert_eq!(sum.requests.connections_opened, 40, "one connection a user");
    assert!(sum.counts.completed > 500, "{:?}", sum.counts);
}

#[test]
fn a_part_that_has_not_begun_obeys_a_drain() {
    let addr = server(Duration::from_millis(1));
    for executor in ["closed", "open"] {
        let to = if executor == "closed" { "5" } else { "5/s" };
        let rest = format!(
            "{ONE_GET}load:\n  - {{name: a, run: read, executor: {executor}, start: 10m, stages: [{{to: {to}, over: 0s}}, {{hold: 1s}}]}}\n"
        );
        let sum = carry(addr, &rest, Share::WHOLE, &[(Duration::from_millis(100), Command::Drain)]);
        assert_eq!(sum.counts.planned, 0);
    }
}

#[test]
fn a_journey_that_never_waits_does_not_keep_the_shard_to_itself() {
    let addr = server(Duration::from_millis(1));
    let rest = "scenarios: {idle: {steps: [{set: {x: \"1\"}}, {if: \"${x} == \\\"2\\\"\", then: [{get: /}]}]}}\nload:\n  - {name: a, run: idle, executor: closed, stages: [{to: 3, over: 0s}, {hold: 1s}], graceful_stop: 500ms}\n";
    let sum = carry(addr, rest, Share::WHOLE, &[]);
    assert!(sum.counts.completed > 0 && sum.counts.completed < 100, "{:?}", sum.counts);
}

#[test]
fn thinking_before_the_first_request_is_not_its_latency() {
    let addr = server(Duration::from_millis(1));
    let rest = "scenarios: {late: {steps: [{think: 300ms}, {get: /}]}}\nload:\n  - {name: a, run: late, executor: open, stages: [{to: 20/s, over: 0s}, {hold: 1s}], graceful_stop: 2s}\n";
    let sum = carry(addr, rest, Share::WHOLE, &[]);
    let response = &sum.windows[0].as_ref().expect("used").response;
    assert_eq!(response.count(), 20);
    assert!(response.quantile_ns(0.5) < 150_000_000, "{} ns", response.quantile_ns(0.5));
}

/// Twenty beats in two seconds, of which a target of 350 ms lets eight or nine be kept: each later than the one before, the last after the
/// load has ended, none forgotten.
#[test]
fn beats_a_paced_user_is_late_for_are_kept_late_or_counted() {
    let addr = server(Duration::from_millis(350));
    let rest = "scenarios: {paced: {pacing: {every: 100ms}, steps: [{get: /}]}}\nload:\n  - {name: a, run: paced, executor: closed, stages: [{to: 1, over: 0s}, {hold: 2s}], graceful_stop: 1s}\n";
    // Who follows one that lives for a single iteration owes what the place owes, and not once more.
    let once = carry(addr, &rest.replace("pacing:", "lifetime: once, pacing:"), Share::WHOLE, &[]).counts;
    assert!((19..=21).contains(&once.planned), "{once:?}");
    assert_eq!(once.planned, once.completed + once.dropped + once.interrupted, "{once:?}");
    let sum = carry(addr, rest, Share::WHOLE, &[]);
    let counts = sum.counts;
    assert!((19..=21).contains(&counts.planned), "{counts:?}");
    assert!(counts.completed >= 3 && counts.dropped >= 8, "{counts:?}");
    assert_eq!(counts.planned, counts.completed + counts.dropped + counts.interrupted, "{counts:?}");
    let response = &sum.windows[0].as_ref().expect("used").response;
    let late_ns = (counts.completed - 1) * 250_000_000;
    assert!(response.max_ns() >= late_ns + 340_000_000, "counted from its beat: {} ns", response.max_ns());
}

#[test]
fn beats_that_a_hung_target_swallowed_are_dropped_though_their_user_is_cut_off() {
    let addr = server(Duration::from_secs(60));
    let load = |lifetime: &str| {
        format!(
            "scenarios: {{paced: {{{lifetime}pacing: {{every: 100ms}}, steps: [{{get: /}}]}}}}\nload:\n  - {{name: a, run: paced, executor: closed, stages: [{{to: 3, over: 0s}}, {{hold: 1500ms}}], graceful_stop: 200ms}}\n"
        )
    };
    let sum = carry(addr, &load(""), Share::WHOLE, &[]);
    assert_eq!((sum.counts.completed, sum.counts.interrupted), (0, 3));
    // They were there for a second and a half of load and a fifth of one of grace.
    let age_ns = sum.interrupted_age.hdr().min();
    assert!(age_ns >= 1_300_000_000, "a user that hung all the time was cut off at {age_ns} ns");
    // Each of them was to ask at the 1st to the 15th tenth of a second after its first.
    assert!((42..=45).contains(&sum.counts.dropped), "{:?}", sum.counts);
    // Who follows one that lives for a single iteration would have kept its place, and its pace.
    let once = carry(addr, &load("lifetime: once, "), Share::WHOLE, &[]);
    assert_eq!((once.counts.completed, once.counts.interrupted), (0, 3));
    assert!((42..=45).contains(&once.counts.dropped), "{:?}", once.counts);
}

#[test]
fn requests_that_hang_are_seen_in_the_percentiles() {
    let addr = server(Duration::from_secs(600));
    let rest = "scenarios: {read: {steps: [{get: /}]}}\nload:\n  - {name: a, run: read, executor: open, stages: [{to: 20/s, over: 0s}, {hold: 1s}], graceful_stop: 500ms}\n";
    let sum = carry(addr, rest, Share::WHOLE, &[]);
    assert_eq!((sum.counts.interrupted, sum.requests.interrupted), (20, 20));
    let window = sum.windows[0].as_ref().expect("used");
    assert!(window.all_responses().quantile_ns(0.5) > 400_000_000);
    // From the last arrival to the end of the grace, and from the first.
    let (ages, late_ns) = (&sum.interrupted_age, sum.dispatch_lag.max_ns());
    assert!(ages.hdr().min() + late_ns >= 490_000_000, "the youngest: {} ns", ages.hdr().min());
    assert!(ages.max_ns() + late_ns >= 1_400_000_000, "the oldest: {} ns", ages.max_ns());
}

#[test]
fn data_that_runs_out_is_not_completed_work() {
    let addr = server(Duration::from_millis(1));
    let rest = "data: {who: {rows: [{name: a}, {name: b}, {name: c}], take: unique, at_end: stop_user}}\nscenarios: {read: {steps: [{get: \"/${data.who.name}\", name: who}]}}\nload:\n  - {name: a, run: read, executor: open, stages: [{to: 10/s, over: 0s}, {hold: 1s}]}\n";
    let sum = carry(addr, rest, Share::WHOLE, &[]);
    assert_eq!((sum.counts.planned, sum.counts.completed, sum.counts.dropped), (10, 3, 7));
}

#[test]
fn a_user_of_one_iteration_is_followed_by_a_fresh_one_at_once() {
    let addr = server(Duration::from_millis(2));
    let rest = "scenarios: {once: {lifetime: once, steps: [{get: /}]}}\nload:\n  - {name: a, run: once, executor: closed, stages: [{to: 2, over: 0s}, {hold: 1s}], graceful_stop: 1s}\n";
    let sum = carry(addr, rest, Share::WHOLE, &[]);
    assert!(sum.counts.completed > 50, "{:?}", sum.counts);
    assert_eq!(sum.requests.connections_opened, sum.counts.completed, "a new person on a new connection");
}

/// Journeys that end with each iteration and such that go on must keep their shares, however often the former begin anew.
#[test]
fn a_mix_keeps_its_shares_of_the_users() {
    let addr = server(Duration::from_millis(1));
    let rest = "scenarios:\n  once: {lifetime: once, steps: [{get: /, name: once}, {think: 20ms}]}\n  loop: {steps: [{get: /, name: loop}, {think: 20ms}]}\nload:\n  - {name: a, run: {once: 1, loop: 1}, executor: closed, stages: [{to: 20, over: 0s}, {hold: 2s}], graceful_stop: 1s}\n";
    let sum = carry(addr, rest, Share::WHOLE, &[]);
    let completed = |index: usize| sum.windows[index].as_ref().expect("used").completed;
    let (once, again) = (completed(0), completed(1));
    assert!(once > again / 2 && once < again * 2, "{once} of those who go, {again} of those who stay");
}

#[test]
fn who_takes_the_place_of_a_user_keeps_its_pace() {
    let addr = server(Duration::from_millis(1));
    let rest = "scenarios: {once: {lifetime: once, pacing: {every: 200ms}, steps: [{get: /}]}}\nload:\n  - {name: a, run: once, executor: closed, stages: [{to: 10, over: 0s}, {hold: 2s}], graceful_stop: 1s}\n";
    let sum = carry(addr, rest, Share::WHOLE, &[]);
    assert!((90..=110).contains(&sum.counts.planned), "{:?}", sum.counts);
    assert_eq!(sum.requests.connections_opened, sum.counts.completed, "a new person on a new connection");
}

#[test]
fn an_open_part_ends_one_graceful_stop_after_its_load() {
    let addr = server(Duration::from_secs(60));
    let rest = "scenarios: {read: {steps: [{get: /}]}}\nload:\n  - {name: a, run: read, executor: open, max_in_flight: 1, late: queue, stages: [{to: 10/s, over: 0s}, {hold: 1s}], graceful_stop: 500ms}\n";
    let sum = carry(addr, rest, Share::WHOLE, &[]);
    assert_eq!((sum.counts.interrupted, sum.counts.dropped), (1, 9), "{:?}", sum.counts);
    let age_ns = sum.interrupted_age.max_ns();
    assert!(age_ns < 1_900_000_000, "a second of load and half of one of grace, not {age_ns} ns");
    // The first arrival is due within a tenth of a second; by how much it was late is told.
    let since_due_ns = age_ns + sum.dispatch_lag.max_ns();
    assert!(since_due_ns >= 1_400_000_000, "what began first lasted until the end, not {age_ns} ns");
}

/// Three of four agents have no slot: all arrivals are the first one's, and there is one request at a time.
#[test]
fn slots_are_kept_to_however_many_share_them() {
    let rest = "scenarios: {read: {steps: [{get: /}]}}\nload:\n  - {name: a, run: read, executor: open, max_in_flight: 1, late: queue, stages: [{to: 10/s, over: 0s}, {hold: 1s}], graceful_stop: 5s}\n";
    let carried: Vec<_> = (0..4)
        .map(|index| {
            let addr = server(Duration::from_millis(20));
            carry(addr, rest, Share::new(index, 4).expect("a share"), &[])
        })
        .collect();
    let completed: Vec<u64> = carried.iter().map(|sum| sum.counts.completed).collect();
    assert_eq!(completed, [10, 0, 0, 0]);
    assert_eq!(carried[0].counts.planned, 10);
}

/// A search judges the level that follows: what those whom it sends away owe to the one before is told at once, and not done.
#[test]
fn what_users_of_a_search_owe_is_told_when_they_are_sent_away() {
    let addr = server(Duration::from_secs(4));
    let target = format!("http: \"http://{addr}\", timeout: 8s");
    let rest = "scenarios: {paced: {pacing: {every: 200ms}, steps: [{get: /}]}}\nload:\n  - {run: paced, executor: breakpoint, of: users, from: 4, to: 8, grow: 2x, window: 2s, windows: 1, fail_when: [\"p99(http) > 100ms\"], graceful_stop: 8s}\n";
    let steer = |at_s: u64, value| Command::Steer { part: 0, at_ns: at_s * 1_000_000_000, value, over_ns: 0 };
    let words = [
        (Duration::ZERO, steer(0, 4.0)),
        (Duration::from_secs(1), steer(1, 0.0)),
        (Duration::from_secs(5), Command::Drain),
    ];
    let (target, words) = (&target, &words);
    let ran = Run { addr, target, rest, share: Share::WHOLE, words, ends_with_its_users: false }.carry();
    assert_eq!(
        (ran.sum.counts.completed, ran.sum.requests.ok),
        (4, 4),
        "nobody goes on: {:?}",
        ran.sum.counts
    );
    let when = |count: fn(&Counts) -> u64| -> Vec<u64> {
        ran.seconds.iter().filter(|(_, counts)| count(counts) > 0).map(|(end_s, _)| *end_s).collect()
    };
    let (dropped, completed) = (when(|counts| counts.dropped), when(|counts| counts.completed));
    assert!(ran.sum.counts.dropped >= 4, "{:?}", ran.sum.counts);
    assert!(
        dropped.iter().max() < completed.iter().min(),
        "dropped in {dropped:?}, completed in {completed:?}"
    );
}

#[test]
fn a_part_that_panics_leaves_nobody_uncounted() {
    let addr = server(Duration::from_millis(300));
    let scenarios = "scenarios: {read: {steps: [{get: /}]}, other: {steps: [{get: /}]}}\n";
    for (others, executor) in [
        (400, "executor: closed, stages: [{to: 800, over: 2s}, {hold: 20s}]"),
        // Most arrivals wait for a slot by then.
        (30, "executor: open, max_in_flight: 4, late: queue, stages: [{to: 1000/s, over: 0s}, {hold: 20s}]"),
    ] {
        let rest = format!(
            "{scenarios}load:\n  - {{name: a, run: {{read: {others}, other: 1}}, {executor}, graceful_stop: 20s}}\n"
        );
        let target = format!("http: \"http://{addr}\", timeout: 2s");
        let run = Run {
            addr,
            target: &target,
            rest: &rest,
            share: Share::WHOLE,
            words: &[],
            ends_with_its_users: false,
        };
        // The part meets a journey that there is not while others are on their way.
        let (ran, failure) = run.carry_altered(|plan| plan.load[0].mix[1].0 = 99);
        assert!(failure.is_some_and(|text| text.contains("panic")));
        let counts = ran.sum.counts;
        assert!(counts.interrupted > if others == 30 { 0 } else { 100 }, "{counts:?}");
        assert_eq!(counts.dropped > 100, others == 30, "{counts:?}");
    }
}

#[test]
fn a_word_that_comes_late_changes_nothing_that_has_happened() {
    let addr = server(Duration::from_millis(1));
    let rest = format!(
        "{ONE_GET}load:\n  - {{name: a, run: read, executor: step, of: rate, from: 1000/s, by: 1000/s, levels: 1, hold: 1s, graceful_stop: 5s}}\n"
    );
    let (ms, second) = (Duration::from_millis, 1_000_000_000);
    let steer = |at_ns, value| Command::Steer { part: 0, at_ns, value, over_ns: 0 };
    // From the first half second on there should have been 10/s. Heard in the middle of a second, of which nothing has been counted yet.
    let words = [(ms(0), steer(0, 1000.0)), (ms(1500), steer(second / 2, 10.0)), (ms(1000), Command::Drain)];
    let sum = carry(addr, &rest, Share::WHOLE, &words);
    assert!((1300..2900).contains(&sum.counts.planned), "{:?}", sum.counts);
    assert_eq!(sum.counts.completed, sum.counts.planned);
}
