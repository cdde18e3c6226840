//! On a virtual clock, against a target whose latency is a function of user and iteration, one agent and n agents leave the same record,
//! bucket by bucket: nothing depends on who carries what.

use super::route::Route;
use super::shard::{Command, Report, Setup, Shard};
use crate::clock::Clock;
use crate::load::share::Share;
use crate::measure::snapshot::Snapshot;
use crate::scenario::plan::Plan;
use crate::scenario::{self, Overrides};
use crate::transport::{Address, READ_ERROR_ONE_IN};
use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc;

/// Users who think, users with a beat, arrivals by chance, and users who live for one iteration or leave and are followed by others.
const SCENARIO: &str = r#"
plimsoll: 1
name: virtual
seed: SEED
target: {http: "http://127.0.0.1:80", headers: {x-user: "${user.id}", x-iteration: "${iter}"}}
data:
  words: {values: [lamp, desk, chair], take: random}
  turns: {values: [a, bb, ccc, dddd, eeeee], take: sequential}
  own: {rows: [ROWS], take: unique, at_end: stop_user}
scenarios:
  think:
    steps:
      - get: /a?q=${data.words.value}&t=${data.turns.value}
        name: a
        expect: {status: 200}
      - think: 20ms..700ms
      - choose:
          - {weight: 1, steps: [{get: /b, name: b}]}
          - {weight: 2, steps: []}
  beat:
    pacing: {every: 150ms}
    steps: [{get: /c, name: c, expect: {status: 200}}]
  brief:
    lifetime: once
    steps: [{get: "/d?t=${data.turns.value}&q=${data.words.value}", name: d}, {think: 5ms..90ms}]
  owner:
    steps: [{get: "/e?own=${data.own.long}", name: e}, {think: 300ms}]
  hasty:
    lifetime: once
    pacing: {every: 120ms}
    steps: [{get: "/f?t=${data.turns.value}", name: f, expect: {status: 200}}]
load:
  - {name: thinkers, run: {think: 3, beat: 1}, executor: closed, stages: [{to: USERS, over: 2s}, {hold: 3s}], graceful_stop: 5s}
  - {name: comers, run: {owner: 1, beat: 1}, executor: closed, stages: [{to: USERS, over: 1s}, {to: 2, over: 1s}, {to: USERS, over: 1s}, {to: 1, over: 0s}, {hold: 500ms}, {to: 9, over: 0s}, {hold: 1s}], graceful_stop: 5s}
  - {name: passers, run: {brief: 2, think: 1, hasty: 1}, executor: closed, stages: [{to: USERS, over: 2s}, {to: 3, over: 1s}, {to: USERS, over: 1s}], graceful_stop: 5s}
  - {name: arrivals, run: think, executor: open, arrivals: poisson, max_in_flight: 10000, stages: [{to: 40/s, over: 1s}, {hold: 3s}], graceful_stop: 5s}
"#;

fn plan(seed: u64, users: u32) -> Arc<Plan> {
    let env = |_: &str| None;
    // Told apart by their length, which the target's latency depends on.
    let rows: Vec<String> = (0..90).map(|row| format!("{{long: {}}}", "x".repeat(1 + row % 40))).collect();
    let text = SCENARIO.replace("SEED", &seed.to_string()).replace("USERS", &users.to_string());
    let text = text.replace("ROWS", &rows.join(", "));
    let plan = scenario::load("virtual.yaml", &text, &Overrides::none(&env));
    Arc::new(plan.unwrap_or_else(|problems| panic!("{}", problems.render(false, 100))))
}

/// Answers each request after 1 to 180 ms, one in eleven with a status that is not expected.
fn serve(mut link: DuplexStream) {
    tokio::task::spawn_local(async move {
        let mut seen = Vec::new();
        loop {
            let mut bytes = [0; 512];
            match link.read(&mut bytes).await {
                Ok(count @ 1..) => seen.extend_from_slice(&bytes[..count]),
                _ => return,
            }
            let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let request = String::from_utf8(seen.drain(..end + 4).collect()).expect("text");
            let field = |name: &str| -> u64 {
                let line = request.lines().find_map(|line| line.strip_prefix(name)).expect("it was sent");
                line.trim().parse().expect("a number")
            };
            let mix =
                (field("x-user:") * 7919 + field("x-iteration:") * 104_729 + request.len() as u64) % 2003;
            tokio::time::sleep(std::time::Duration::from_millis(1 + mix % 180)).await;
            let status = if mix.is_multiple_of(11) { "503 Busy" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nok");
            if link.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    });
}

/// What one shard records of its share, on a clock of its own, as it arrives over a wire.
fn carried(plan: &Arc<Plan>, share: Share) -> Snapshot {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let local = tokio::task::LocalSet::new();
    runtime.expect("a runtime").block_on(local.run_until(async {
        let address = Address::new("127.0.0.1", 80, ([127, 0, 0, 1], 80).into(), None).simulated(serve);
        let clock = Clock::start_virtual();
        let http = Some(Route::new(address, String::new()));
        let setup = Setup {
            plan: Arc::clone(plan),
            share,
            clock,
            http,
            ws: None,
            read_error_one_in: READ_ERROR_ONE_IN,
        };
        let (_commands, orders) = mpsc::unbounded_channel::<Command>();
        let (report, mut reports) = mpsc::channel(8);
        tokio::task::spawn_local(Shard::run(setup, orders, report));
        let mut sum = Snapshot::default();
        while let Some(report) = reports.recv().await {
            match report {
                Report::Snapshot(second) => {
                    let sent = postcard::to_allocvec(&second).expect("encoded");
                    sum.add(&postcard::from_bytes(&sent).expect("decoded"));
                }
                Report::Ended => return sum,
                Report::Failed(text) | Report::Lost(text) => panic!("{text}"),
            }
        }
        panic!("it ended without a word")
    }))
}

/// Everything in the record that says something of the load and of the target; what says something of the generator's own process is its
/// own business.
fn record(mut sum: Snapshot) -> Snapshot {
    for own in [&mut sum.loop_lag, &mut sum.read_error] {
        *own = Default::default();
    }
    // An arrival takes over a connection that its own shard has kept, so how many there are depends on how many share them.
    sum.requests.connections_opened = 0;
    Snapshot { end_s: 0, end_ns: 0, users: 0, sockets: 0, shard_cpu_ns_max: 0, run_queue_ns_max: None, ..sum }
}

/// Nobody would end a load whose coordinator does not look: it ends by itself, and says why.
#[test]
fn a_shard_that_nobody_listens_to_ends_its_load() {
    let scenario = "plimsoll: 1\nname: unheard\ntarget: {http: \"http://127.0.0.1:80\"}\nscenarios: {ask: {steps: [{get: /, headers: {x-user: \"1\", x-iteration: \"1\"}}, {think: 1s}]}}\nload:\n  - {run: ask, executor: closed, stages: [{to: 3, over: 0s}, {hold: 1h}]}\n";
    let env = |_: &str| None;
    let plan = scenario::load("unheard.yaml", scenario, &Overrides::none(&env)).expect("a scenario");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let local = tokio::task::LocalSet::new();
    runtime.expect("a runtime").block_on(local.run_until(async {
        let address = Address::new("127.0.0.1", 80, ([127, 0, 0, 1], 80).into(), None).simulated(serve);
        let http = Some(Route::new(address, String::new()));
        let setup = Setup {
            plan: Arc::new(plan),
            share: Share::WHOLE,
            clock: Clock::start_virtual(),
            http,
            ws: None,
            read_error_one_in: READ_ERROR_ONE_IN,
        };
        let (_commands, orders) = mpsc::unbounded_channel::<Command>();
        let (report, mut reports) = mpsc::channel(4);
        tokio::task::spawn_local(Shard::run(setup, orders, report));
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        let (mut planned, mut completed, mut last_s) = (0, 0, 0);
        loop {
            match reports.recv().await.expect("a last word") {
                Report::Snapshot(second) => {
                    planned += second.counts.planned;
                    completed += second.counts.completed;
                    last_s = second.end_s;
                }
                Report::Failed(text) => {
                    assert_eq!(text, "nobody made room for the record for 10 s, so the load was ended");
                    break;
                }
                Report::Ended | Report::Lost(_) => panic!("it says why it ended"),
            }
        }
        assert!((14..=17).contains(&last_s), "four seconds in the queue, ten refused: {last_s}");
        assert_eq!(planned, completed);
        assert!(planned >= 30, "nothing measured is lost: {planned}");
    }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]
    #[test]
    fn one_agent_and_n_agents_record_the_same(seed in 0_u64..1000, users in 5_u32..60, agents in 2_u32..7, shards in 1_u32..3) {
        let plan = plan(seed, users);
        let alone = carried(&plan, Share::WHOLE);
        prop_assert_eq!(alone.counts.planned > 100 && alone.requests.failed > 0, true, "there is something to compare");
        let mut together = Snapshot::default();
        for index in 0..agents {
            for shard in 0..shards {
                let share = Share::new(index, agents).and_then(|share| share.of(shard, shards)).expect("a share");
                together.add(&carried(&plan, share));
            }
        }
        let (together, alone) = (record(together), record(alone));
        // What differs first in small, since a whole record is megabytes of empty buckets.
        prop_assert_eq!((&together.counts, &together.requests), (&alone.counts, &alone.requests));
        prop_assert!(together == alone, "the same counts, and other histograms or failures");
    }
}
