//! What an outage costs: a user who waits to connect again sleeps until it is time, or until it is told to leave.

use super::control::Control;
use super::route::Route;
use super::session::Number;
use super::shard::{Setup, Shard};
use super::user::User;
use crate::clock::Clock;
use crate::load::share::Share;
use crate::scenario::{self, Overrides};
use crate::transport::{Address, READ_ERROR_ONE_IN};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

const SCENARIO: &str = r#"
plimsoll: 1
name: outage
target: {http: "http://127.0.0.1:80"}
scenarios: {a: {steps: [{sse_open: /events, reconnect: {max: 3, backoff: 60s..60s}}, {sse_listen: 1h}]}}
load: [{run: a, executor: closed, stages: [{to: 1, over: 0s}, {hold: 1h}]}]
"#;

/// Opens a stream and ends it at once.
fn serve(mut link: DuplexStream) {
    tokio::task::spawn_local(async move {
        let _ = link.read(&mut [0; 512]).await;
        let _ = link.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").await;
    });
}

fn shard() -> Rc<Shard> {
    let env = |_: &str| None;
    let plan = scenario::load("outage.yaml", SCENARIO, &Overrides::none(&env));
    let plan = plan.unwrap_or_else(|problems| panic!("{}", problems.render(false, 100)));
    let address = Address::new("127.0.0.1", 80, ([127, 0, 0, 1], 80).into(), None).simulated(serve);
    let http = Some(Route::new(address, String::new()));
    let clock = Clock::start_virtual();
    Rc::new(Shard::new(Setup {
        plan: Arc::new(plan),
        share: Share::WHOLE,
        clock,
        http,
        ws: None,
        read_error_one_in: READ_ERROR_ONE_IN,
    }))
}

#[test]
fn who_waits_to_connect_again_sleeps_until_then_and_wakes_to_leave() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let local = tokio::task::LocalSet::new();
    runtime.expect("a runtime").block_on(local.run_until(async {
        let shard = shard();
        let control = Rc::new(Control::default());
        let user = User::new(&shard, &shard.parts[0], Rc::clone(&control), Number::plain(0));
        let (mut living, mut turns) = (pin!(user.live()), 0);
        let living = std::future::poll_fn(|context| {
            turns += 1;
            living.as_mut().poll(context)
        });
        let dismissing = async {
            tokio::time::sleep(Duration::from_secs(20)).await;
            control.retire_at(shard.clock.now());
            control.wake();
        };
        tokio::join!(living, dismissing);
        assert_eq!(shard.clock.now() / 1_000_000_000, 20, "it left when it was told to");
        assert_eq!(shard.recorder.borrow().requests.streams.reconnects, 0);
        // One that does not sleep has thousands.
        assert!(turns < 100, "{turns} turns in 20 seconds");
    }));
}
