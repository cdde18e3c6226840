//! The table of jobs, on instants that the tests make up: that each job has one end, whoever dies, and that what is kept is bounded.

use rusqlite::{Connection, params};

use super::{Claim, Fate, Job, JobState, Jobs, TABLES, Tended, backoff_ms};
use crate::profile::Profile;
use crate::store::{NewOrder, schema};

const LEASE_MS: u64 = 1_000;
/// When the tests begin.
const T: u64 = 1_000_000;

fn jobs(dials: &[&str]) -> Jobs {
    let profile = Profile::named("queued").unwrap().with_dial("queue.lease_ms=1000").unwrap();
    let profile = profile.with_dials(dials).unwrap();
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(schema::TABLES).unwrap();
    connection.execute_batch(TABLES).unwrap();
    Jobs::over(connection, &profile.dials().queue)
}

impl Jobs {
    fn added(&self, now_ms: u64) -> u32 {
        let order = NewOrder { product_id: 7, quantity: 2, created_at_ms: now_ms, job_id: None };
        self.add(&order, now_ms).unwrap().expect("room for another")
    }

    fn taken(&self, now_ms: u64) -> Job {
        self.take(now_ms).unwrap().expect("a job that waits")
    }

    fn looks(&self, now_ms: u64) -> [usize; 2] {
        let Tended { waiting, stalled } = self.tend(now_ms, 100).unwrap();
        [waiting, stalled]
    }

    /// Waiting, delayed, active, completed, failed: as they are counted, and as they are.
    fn states(&self) -> [u32; 5] {
        let counted = self.counts().unwrap();
        let db = self.connection();
        let real = JobState::ALL.map(|state| {
            let sql = "SELECT count(*) FROM jobs WHERE state = ?1";
            db.query_row(sql, [state.name()], |row| row.get::<_, u32>(0)).unwrap()
        });
        assert_eq!(counted, real);
        counted
    }

    /// As the store does it; whether it was.
    fn placed(&self, job: u32) -> bool {
        let order = format!("{{\"job_id\": {job}}}");
        self.connection().prepare(schema::ADD_ORDER).unwrap().exists(params![job, order, 0]).unwrap()
    }

    fn told(&self, id: u32) -> String {
        self.status(id).unwrap().map_or_else(|| "unknown".to_owned(), |s| serde_json::to_string(&s).unwrap())
    }
}

#[test]
fn jobs_are_taken_in_the_order_they_came_and_told_of_at_every_step() {
    let jobs = jobs(&[]);
    let ids = [jobs.added(T), jobs.added(T), jobs.added(T + 5)];
    assert_eq!((ids, jobs.states()), ([1, 2, 3], [3, 0, 0, 0, 0]));
    let first = jobs.taken(T + 40);
    assert_eq!((first.claim.job, first.waited_ms, first.order.job_id), (1, 40, Some(1)));
    assert_eq!((first.order.product_id, first.order.quantity, first.order.created_at_ms), (7, 2, T));
    assert_eq!(jobs.taken(T + 40).claim.job, 2);
    assert_eq!((jobs.states(), jobs.looks(T + 40)), ([1, 0, 2, 0, 0], [1, 0]));
    assert!(jobs.complete(first.claim, 77, T + 60).unwrap());
    let told = [1, 2, 3, 4].map(|id| jobs.told(id));
    insta::assert_snapshot!(told.join("\n"), @r#"
    {"job_id":1,"status":"completed","attempts_made":1,"order_id":77}
    {"job_id":2,"status":"active","attempts_made":0}
    {"job_id":3,"status":"waiting","attempts_made":0}
    unknown
    "#);
    assert!(!jobs.complete(first.claim, 78, T + 61).unwrap(), "it has one end");
}

#[test]
fn a_job_that_fails_is_tried_again_after_ever_longer_and_has_failed_in_the_end() {
    let jobs = jobs(&["queue.attempts=3", "queue.backoff_ms=2000"]);
    let id = jobs.added(T);
    assert_eq!(jobs.fail(jobs.taken(T).claim, "once", false, T + 10).unwrap(), Fate::Delayed);
    assert_eq!((jobs.states(), jobs.looks(T + 2_009)), ([0, 1, 0, 0, 0], [0, 0]));
    assert!(jobs.take(T + 2_009).unwrap().is_none());
    assert_eq!(jobs.looks(T + 2_010), [1, 0]);
    let second = jobs.taken(T + 2_050);
    assert_eq!(second.waited_ms, 40, "its backoff is no wait");
    assert_eq!(jobs.fail(second.claim, "twice", false, T + 3_000).unwrap(), Fate::Delayed);
    insta::assert_snapshot!(jobs.told(id), @r#"{"job_id":1,"status":"delayed","attempts_made":2,"reason":"twice"}"#);
    assert_eq!((jobs.looks(T + 6_999), jobs.looks(T + 7_000)), ([0, 0], [1, 0]));
    assert_eq!(jobs.fail(jobs.taken(T + 7_000).claim, "thrice", false, T + 7_001).unwrap(), Fate::Failed);
    insta::assert_snapshot!(jobs.told(id), @r#"{"job_id":1,"status":"failed","attempts_made":3,"reason":"thrice"}"#);
    let hopeless = jobs.added(T + 8_000);
    assert_eq!(jobs.fail(jobs.taken(T + 8_000).claim, "no product", true, T + 8_001).unwrap(), Fate::Failed);
    insta::assert_snapshot!(jobs.told(hopeless), @r#"{"job_id":2,"status":"failed","attempts_made":1,"reason":"no product"}"#);
}

#[test]
fn a_job_that_is_put_off_has_made_no_attempt() {
    let jobs = jobs(&["queue.attempts=1"]);
    let id = jobs.added(T);
    for round in 0..5 {
        let now_ms = T + 30_000 * round;
        let claim = jobs.taken(now_ms).claim;
        assert!(jobs.put_off(claim, "not now", now_ms + 30_000).unwrap());
        assert!(!jobs.put_off(claim, "not now", now_ms).unwrap(), "nobody has it");
        assert_eq!(jobs.looks(now_ms + 29_999), [0, 0]);
        assert_eq!((jobs.looks(now_ms + 30_000), jobs.states()), ([1, 0], [1, 0, 0, 0, 0]));
    }
    insta::assert_snapshot!(jobs.told(id), @r#"{"job_id":1,"status":"waiting","attempts_made":0,"reason":"not now"}"#);
}

#[test]
fn a_job_fails_for_good_or_has_an_order_and_never_both() {
    let jobs = jobs(&["queue.attempts=1"]);
    // The operation was given up and placed the order all the same, before the job fails and after it has.
    let (early, late) = (jobs.added(T), jobs.added(T));
    assert!(jobs.placed(early));
    assert_eq!(jobs.fail(jobs.taken(T).claim, "too long", false, T).unwrap(), Fate::Placed);
    assert_eq!(jobs.fail(jobs.taken(T).claim, "too long", false, T).unwrap(), Fate::Failed);
    assert!(!jobs.placed(late));
    insta::assert_snapshot!([early, late].map(|id| jobs.told(id)).join("\n"), @r#"
    {"job_id":1,"status":"completed","attempts_made":1,"order_id":1}
    {"job_id":2,"status":"failed","attempts_made":1,"reason":"too long"}
    "#);
    assert_eq!(jobs.states(), [0, 0, 0, 1, 1]);
}

#[test]
fn a_job_has_ended_though_nothing_can_be_trimmed_then() {
    let jobs = jobs(&["queue.remove_on_complete=0", "queue.remove_on_fail=0"]);
    let refused = "CREATE TRIGGER kept BEFORE DELETE ON jobs BEGIN SELECT RAISE(ABORT, 'busy'); END";
    jobs.connection().execute_batch(refused).unwrap();
    jobs.added(T);
    jobs.added(T);
    assert!(jobs.complete(jobs.taken(T).claim, 1, T).unwrap());
    assert_eq!(jobs.fail(jobs.taken(T).claim, "x", true, T).unwrap(), Fate::Failed);
    assert_eq!(jobs.states(), [0, 0, 0, 1, 1]);
    jobs.connection().execute_batch("DROP TRIGGER kept").unwrap();
    jobs.added(T + 1);
    assert!(jobs.complete(jobs.taken(T + 1).claim, 1, T + 1).unwrap());
    assert_eq!(jobs.states(), [0, 0, 0, 0, 1], "the next one takes those away too");
}

#[test]
fn the_backoff_doubles() {
    assert_eq!([1, 2, 3, 20].map(|n| backoff_ms(2_000, n)), [2_000, 4_000, 8_000, 2_000 << 19]);
    assert_eq!(backoff_ms(u64::MAX, 200), u64::MAX);
}

#[test]
fn the_jobs_of_a_dead_worker_are_taken_up_when_its_lease_ends_and_it_comes_too_late() {
    let jobs = jobs(&[]);
    let id = jobs.added(T);
    let dead: Claim = jobs.taken(T).claim;
    assert!(jobs.renew(dead, T + 500).unwrap());
    assert_eq!(jobs.looks(T + 500 + LEASE_MS - 1), [0, 0], "renewed, so it lasts longer");
    assert_eq!(jobs.looks(T + 500 + LEASE_MS), [1, 1]);
    let heir = jobs.taken(T + 1_600);
    assert_eq!(
        (heir.claim.job, jobs.told(id).contains("\"attempts_made\":0")),
        (id, true),
        "no try has ended"
    );
    // It was only slow, and now says what nobody needs to hear.
    assert!(!jobs.renew(dead, T + 1_700).unwrap());
    assert!(!jobs.complete(dead, 5, T + 1_700).unwrap());
    assert_eq!(jobs.fail(dead, "late", false, T + 1_700).unwrap(), Fate::Lost);
    assert!(!jobs.give_back(dead, T + 1_700).unwrap());
    assert_eq!(jobs.states(), [0, 0, 1, 0, 0]);
    assert!(jobs.complete(heir.claim, 6, T + 1_800).unwrap());
    assert!(jobs.told(id).contains("\"order_id\":6"));
}

#[test]
fn what_is_given_back_is_taken_at_once() {
    let jobs = jobs(&[]);
    let (id, later) = (jobs.added(T), jobs.added(T + 10));
    assert!(jobs.give_back(jobs.taken(T + 1).claim, T + 5).unwrap());
    assert_eq!((jobs.taken(T + 6).claim.job, jobs.taken(T + 10).claim.job), (id, later));
}

#[test]
fn there_are_no_more_than_may_wait_or_be_worked_on() {
    let jobs = jobs(&["queue.max_depth=3"]);
    let ids = [jobs.added(T), jobs.added(T), jobs.added(T)];
    assert_eq!(ids, [1, 2, 3]);
    let claim = jobs.taken(T).claim;
    let order = NewOrder { product_id: 1, quantity: 1, created_at_ms: T, job_id: None };
    assert_eq!(jobs.add(&order, T).unwrap(), None, "an active one counts");
    assert_eq!(jobs.fail(claim, "x", false, T).unwrap(), Fate::Delayed);
    assert_eq!(jobs.add(&order, T).unwrap(), None, "so does one that is tried again");
    assert!(jobs.complete(jobs.taken(T).claim, 1, T).unwrap());
    assert_eq!(jobs.added(T), 4, "and an order that was refused has no number");
}

#[test]
fn the_last_ones_that_ended_are_kept_and_no_number_is_given_twice() {
    let jobs = jobs(&["queue.remove_on_complete=2", "queue.remove_on_fail=1"]);
    for n in 0..6_u32 {
        let now_ms = T + u64::from(n);
        jobs.added(now_ms);
        let claim = jobs.taken(now_ms).claim;
        if n % 2 == 0 {
            assert!(jobs.complete(claim, n, now_ms).unwrap());
        } else {
            assert_eq!(jobs.fail(claim, "x", true, now_ms).unwrap(), Fate::Failed);
        }
    }
    assert_eq!(jobs.states(), [0, 0, 0, 2, 1]);
    let known: Vec<_> = (1..=7).filter(|id| jobs.told(*id) != "unknown").collect();
    assert_eq!((known, jobs.added(T + 10)), (vec![3, 5, 6], 7));
    let nothing = jobs_keeping_nothing();
    nothing.added(T);
    assert!(nothing.complete(nothing.taken(T).claim, 1, T).unwrap());
    assert_eq!((nothing.states(), nothing.added(T)), ([0; 5], 2));
}

fn jobs_keeping_nothing() -> Jobs {
    jobs(&["queue.remove_on_complete=0", "queue.remove_on_fail=0"])
}

proptest::proptest! {
    /// Workers that die, are late, fail and give back, at random: every job comes to one end, and it is counted as what it is.
    #[test]
    fn every_job_has_one_end(steps in proptest::collection::vec((0_u8..7, 0_usize..4, 0_u64..600), 1..150)) {
        let jobs = jobs(&["queue.attempts=3", "queue.backoff_ms=100"]);
        let (mut now_ms, mut added, mut ended) = (T, 0, 0);
        let mut hands: [Option<Claim>; 4] = [None; 4];
        for (step, hand, later_ms) in steps {
            now_ms += later_ms;
            let held = hands[hand];
            match (step, held) {
                (0, _) => { jobs.added(now_ms); added += 1; }
                // Taking over a held claim forgets it: its worker died.
                (1 | 2, _) => hands[hand] = jobs.take(now_ms).unwrap().map(|job| job.claim),
                (3, Some(claim)) => ended += u32::from(jobs.complete(claim, 1, now_ms).unwrap()),
                (4, Some(claim)) => ended += u32::from(jobs.fail(claim, "x", later_ms % 2 == 0, now_ms).unwrap() == Fate::Failed),
                (5, Some(claim)) => drop(jobs.give_back(claim, now_ms).unwrap()),
                _ => drop(jobs.looks(now_ms)),
            }
            let states = jobs.states();
            proptest::prop_assert_eq!(states.iter().sum::<u32>(), added);
            proptest::prop_assert_eq!(states[3] + states[4], ended);
        }
        // With one worker that lives, all end.
        for _ in 0..4 * added {
            now_ms += 10_000;
            jobs.looks(now_ms);
            while let Some(job) = jobs.take(now_ms).unwrap() {
                proptest::prop_assert!(jobs.complete(job.claim, 1, now_ms).unwrap());
            }
        }
        let states = jobs.states();
        proptest::prop_assert_eq!(states[3] + states[4], added);
    }
}
