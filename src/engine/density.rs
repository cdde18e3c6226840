//! What one user costs by construction: the size of its task, which every connected user holds all the time; and that a shard sees itself what
//! stands in its way.

use super::control::Control;
use super::part::Part;
use super::route::Route;
use super::session::Number;
use super::shard::{Setup, Shard, watch_lag};
use super::user::User;
use crate::clock::Clock;
use crate::limits::LOOP_LAG_INTERVAL;
use crate::load::share::Share;
use crate::scenario::{self, Overrides};
use crate::transport::{Address, READ_ERROR_ONE_IN};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Everything a journey can hold: captures, data, cookies, a socket, conditions.
const SHOP: &str = include_str!("../../scenarios/shop.yaml");

/// Bytes of a user's task. A step that grows it grows every user of every load: find the local variable that lives across an `await`
/// and box it, or box the whole of a rarely taken path.
const TASK_BYTES_MAX: usize = 1280;

fn shard() -> (Rc<Shard>, Rc<Part>) {
    let env = |_: &str| None;
    let plan = scenario::load("scenarios/shop.yaml", SHOP, &Overrides::none(&env));
    let plan = plan.unwrap_or_else(|problems| panic!("{}", problems.render(false, 100)));
    let address = Address::new("127.0.0.1", 80, ([127, 0, 0, 1], 80).into(), None);
    let route = Some(Route::new(address, String::new()));
    let setup = Setup {
        plan: Arc::new(plan),
        share: Share::WHOLE,
        clock: Clock::start(),
        http: route.clone(),
        ws: route,
        read_error_one_in: READ_ERROR_ONE_IN,
    };
    let shard = Rc::new(Shard::new(setup));
    let part = Rc::clone(&shard.parts[0]);
    (shard, part)
}

#[tokio::test]
async fn the_task_of_a_user_stays_small() {
    let (shard, part) = shard();
    let control = Rc::new(Control::default());
    let user = User::new(&shard, &part, control, Number::plain(0));
    let task = size_of_val(&user.live());
    assert!(task <= TASK_BYTES_MAX, "the task of a user has grown to {task} bytes");
}

#[tokio::test]
async fn a_thread_that_stands_still_shows_in_its_loop_lag() {
    tokio::task::LocalSet::new().run_until(stands_still()).await;
}

async fn stands_still() {
    let (shard, _) = shard();
    let watching = tokio::task::spawn_local(watch_lag(Rc::clone(&shard)));
    let intervals = 10;
    tokio::time::sleep(LOOP_LAG_INTERVAL * intervals).await;
    let stood = 4 * LOOP_LAG_INTERVAL;
    std::thread::sleep(stood);
    tokio::time::sleep(LOOP_LAG_INTERVAL).await;
    watching.abort();
    let lag = shard.recorder.borrow_mut().take().loop_lag;
    assert!(lag.count() >= 12, "one each interval: {}", lag.count());
    assert!(lag.max_ns() >= (stood - LOOP_LAG_INTERVAL).as_nanos() as u64, "{} ns", lag.max_ns());
    assert!(
        lag.quantile_ns(0.5) < Duration::from_millis(40).as_nanos() as u64,
        "{} ns",
        lag.quantile_ns(0.5)
    );
}
