//! The limiter's promises, on instants that the tests make up: its windows, its blocks, its bounds, and that it is exact.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use futures_util::FutureExt;
use prometheus::IntCounter;
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use super::{Accounts, Figures, Limiter, Peer, Terms, User};
use crate::clock;
use crate::profile::Profile;
use crate::session::Tokens;

const SECOND: Duration = Duration::from_secs(1);
const ADA: User = User::Known(1);
const BOB: User = User::Known(2);

fn limiter(points: u32, window_ms: u64, block_ms: u64, users_max: usize) -> Limiter {
    let dials = [
        format!("rate_limiter.points={points}"),
        format!("rate_limiter.window_ms={window_ms}"),
        format!("rate_limiter.block_ms={block_ms}"),
        format!("rate_limiter.max_users={users_max}"),
    ];
    let profile = Profile::named("baseline").unwrap().with_dials(&dials).unwrap();
    let counter = |name| IntCounter::new(name, "x").unwrap();
    let figures = Figures {
        allowed: counter("allowed"),
        rejected: counter("rejected"),
        forgotten: counter("forgotten"),
        unjudged: counter("unjudged"),
    };
    Limiter::new(&profile.dials().rate_limiter, None, figures)
}

impl Limiter {
    fn ask(&self, user: User, now: Instant) -> Option<Duration> {
        // In the process nothing is waited for.
        self.rejects(user, now).now_or_never().unwrap()
    }

    fn counted(&self) -> [u64; 3] {
        [self.figures.allowed.get(), self.figures.rejected.get(), self.figures.forgotten.get()]
    }
}

#[test]
fn a_window_begins_with_the_first_request_and_gives_all_points_back_at_its_end() {
    let limiter = limiter(3, 10_000, 10_000, 10);
    let start = clock::now();
    for round in 0..5 {
        let first = start + 17 * round * SECOND;
        for second in [0, 4, 9] {
            assert_eq!(limiter.ask(ADA, first + second * SECOND), None, "round {round}, second {second}");
        }
    }
    // The sixth window begins as the fifth ends, in that very instant.
    let end = start + 17 * 4 * SECOND + 10 * SECOND;
    assert_eq!(limiter.ask(ADA, end), None);
    assert_eq!(limiter.counted(), [16, 0, 0]);
}

#[test]
fn who_asks_for_more_is_blocked_from_then_on_and_asking_does_not_lengthen_it() {
    let limiter = limiter(2, 10_000, 60_000, 10);
    let start = clock::now();
    assert_eq!(limiter.ask(ADA, start), None);
    assert_eq!(limiter.ask(ADA, start + SECOND), None);
    assert_eq!(limiter.ask(ADA, start + 5 * SECOND), Some(60 * SECOND));
    assert_eq!(
        limiter.ask(ADA, start + 12 * SECOND),
        Some(53 * SECOND),
        "the window's end is no end of the block"
    );
    let nearly = start + 65 * SECOND - Duration::from_millis(1);
    assert_eq!(limiter.ask(ADA, nearly), Some(Duration::from_millis(1)));
    for _ in 0..2 {
        assert_eq!(limiter.ask(ADA, start + 65 * SECOND), None);
    }
    assert_eq!(limiter.ask(ADA, start + 65 * SECOND), Some(60 * SECOND));
    assert_eq!(limiter.counted(), [4, 4, 0]);
}

#[test]
fn without_a_block_the_next_window_is_what_to_wait_for() {
    let limiter = limiter(1, 10_000, 0, 10);
    let start = clock::now();
    assert_eq!(limiter.ask(ADA, start), None);
    assert_eq!(limiter.ask(ADA, start + 3 * SECOND), Some(7 * SECOND));
    assert_eq!(limiter.ask(ADA, start + 9 * SECOND), Some(SECOND));
    assert_eq!(limiter.ask(ADA, start + 10 * SECOND), None);
}

#[test]
fn a_block_shorter_than_the_rest_of_the_window_ends_it() {
    let limiter = limiter(1, 10_000, 2_000, 10);
    let start = clock::now();
    assert_eq!(limiter.ask(ADA, start), None);
    assert_eq!(limiter.ask(ADA, start + SECOND), Some(2 * SECOND));
    assert_eq!(limiter.ask(ADA, start + 3 * SECOND), None);
}

#[test]
fn one_user_s_points_are_nobody_else_s() {
    let limiter = limiter(1, 10_000, 10_000, 10);
    let now = clock::now();
    let address = |last| User::Address(Ipv4Addr::new(10, 0, 0, last).into());
    for user in [ADA, BOB, address(1), address(2)] {
        assert_eq!(limiter.ask(user, now), None, "{user:?}");
        assert!(limiter.ask(user, now).is_some(), "{user:?}");
    }
    assert_eq!(limiter.counted(), [4, 4, 0]);
}

#[test]
fn with_no_points_dialled_nobody_is_rejected_and_nothing_is_counted() {
    let limiter = limiter(0, 10_000, 10_000, 10);
    for _ in 0..5 {
        assert_eq!(limiter.ask(ADA, clock::now()), None);
    }
    assert!(!limiter.is_on());
    assert_eq!((limiter.counted(), limiter.users()), ([0, 0, 0], 0));
}

#[test]
fn it_remembers_no_more_users_than_it_may_and_forgets_whose_account_ends_first() {
    let limiter = limiter(1, 10_000, 60_000, 3);
    let start = clock::now();
    let user = User::Known;
    for n in 1..=3 {
        assert_eq!(limiter.ask(user(n), start + n * SECOND), None);
    }
    // The first one's window would have ended before the others'; its block ends after them.
    assert!(limiter.ask(user(1), start + 4 * SECOND).is_some());
    assert_eq!(limiter.ask(user(4), start + 5 * SECOND), None);
    assert_eq!((limiter.users(), limiter.counted()), (3, [4, 1, 1]));
    assert!(limiter.ask(user(1), start + 6 * SECOND).is_some(), "the blocked one is still remembered");
    assert_eq!(limiter.ask(user(2), start + 6 * SECOND), None, "the second one was forgotten");
    assert_eq!(limiter.users(), 3);
}

#[test]
fn accounts_that_have_ended_go_as_requests_come() {
    let limiter = limiter(5, 1_000, 1_000, 1_000_000);
    let start = clock::now();
    for n in 0..1_000 {
        limiter.ask(User::Known(n), start);
    }
    assert_eq!(limiter.users(), 1_000);
    // Faster than others come.
    for n in 0..600 {
        limiter.ask(User::Known(2_000 + n), start + 2 * SECOND);
    }
    assert_eq!(limiter.users(), 600);
    assert_eq!(limiter.counted()[2], 0, "none of them before its time");
}

#[test]
fn a_user_is_whose_token_it_is_or_else_where_the_connection_comes_from() {
    const NOW_MS: u64 = 1_700_000_000_000;
    let seeded = |seed| Tokens::seeded(seed, Duration::from_secs(60));
    let tokens = seeded(1);
    let user = |peer: &str, headers: &[(&str, &str)]| {
        let request =
            headers.iter().fold(Request::builder(), |request, (name, value)| request.header(*name, *value));
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(Peer(peer.parse().unwrap()));
        User::of(&request, &tokens, NOW_MS)
    };
    let address = |text: &str| User::Address(text.parse::<IpAddr>().unwrap());
    let bearer = |token: String| format!("Bearer {token}");
    let (ours, other) = (bearer(tokens.issue(7, NOW_MS)), bearer(seeded(2).issue(7, NOW_MS)));
    let expired = bearer(tokens.issue(7, NOW_MS - 60_000));
    assert_eq!(user("10.0.0.1", &[("authorization", &ours)]), User::Known(7));
    assert_eq!(user("10.0.0.1", &[("authorization", &other)]), address("10.0.0.1"), "not a token of ours");
    assert_eq!(user("10.0.0.1", &[("authorization", &expired)]), address("10.0.0.1"), "no longer one");
    assert_eq!(
        user("10.0.0.1", &[("x-forwarded-for", "1.2.3.4"), ("forwarded", "for=1.2.3.4")]),
        address("10.0.0.1")
    );
    assert_eq!(user("::ffff:10.0.0.1", &[]), address("10.0.0.1"), "the same host by another name");
    assert_eq!(user("2001:db8::1", &[]), address("2001:db8::1"));
}

/// The rules said once more, without a bound and without a thought for cost.
#[derive(Default)]
struct Plain(HashMap<User, (u32, Instant, bool)>);

impl Plain {
    fn take(&mut self, terms: Terms, user: User, now: Instant) -> Option<Duration> {
        let account = self.0.entry(user).or_insert((0, now, false));
        if now >= account.1 {
            *account = (terms.points, now + terms.window, false);
        }
        if account.0 > 0 {
            account.0 -= 1;
            return None;
        }
        if !account.2 && !terms.block.is_zero() {
            (account.1, account.2) = (now + terms.block, true);
        }
        Some(account.1 - now)
    }
}

proptest! {
    #[test]
    fn with_room_for_all_it_is_exact_and_without_it_keeps_its_bound(
        points in 1_u32..5, window_ms in 1_u64..50, block_ms in 0_u64..80, users_max in 1_usize..6,
        asked in proptest::collection::vec((0_u32..8, 0_u64..20), 1..200),
    ) {
        let (window, block) = (Duration::from_millis(window_ms), Duration::from_millis(block_ms));
        let roomy = Terms { points, window, block, users_max: 8 };
        let tight = Terms { users_max, ..roomy };
        let (mut exact, mut bounded, mut plain) = (Accounts::under(roomy), Accounts::under(tight), Plain::default());
        let mut now = clock::now();
        for (user, later_ms) in asked {
            let user = User::Known(user);
            now += Duration::from_millis(later_ms);
            let taken = exact.take(user, now);
            prop_assert_eq!(taken.wait, plain.take(roomy, user, now));
            prop_assert!(!taken.forgot_another);
            bounded.take(user, now);
            prop_assert!(bounded.by_user.len() <= users_max);
            for accounts in [&exact, &bounded] {
                prop_assert_eq!(accounts.by_end.len(), accounts.by_user.len());
                prop_assert!(accounts.by_user.iter().all(|(user, a)| accounts.by_end.contains(&(a.ends, *user))));
            }
        }
    }
}
