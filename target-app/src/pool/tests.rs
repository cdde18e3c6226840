//! The pool's promises: bounded, fair, timed, exact in its holds and its counts.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Figures, Limits, Pool, PoolError};
use crate::clock;

fn figures() -> Figures {
    let histogram =
        |name: &str| prometheus::Histogram::with_opts(prometheus::HistogramOpts::new(name, "test")).unwrap();
    Figures { wait_time: histogram("wait"), use_time: histogram("use") }
}

fn pool(max: usize, timeout_ms: u64) -> Pool<u32> {
    let limits = Limits {
        max,
        min: 0,
        max_idle: Duration::from_millis(20),
        wait_queue_timeout: Duration::from_millis(timeout_ms),
    };
    Pool::new(limits, figures(), || Ok(7)).unwrap()
}

async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn waiters_are_served_in_the_order_they_came() {
    let pool = pool(1, 5_000);
    let first = pool.checkout().await.unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for i in 0..20 {
        let (pool, order) = (pool.clone(), Arc::clone(&order));
        tasks.push(tokio::spawn(async move {
            let lease = pool.checkout().await.unwrap();
            order.lock().unwrap().push(i);
            lease.finish(Duration::from_micros(100)).await;
        }));
        settle().await;
    }
    assert_eq!(pool.snapshot(clock::now()).pending, 20);
    drop(first);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
    let end = pool.snapshot(clock::now());
    assert_eq!((end.used, end.idle, end.pending, end.opened), (0, 1, 0, 1));
    assert_eq!(pool.shared.figures.wait_time.get_sample_count(), 21);
    assert_eq!(pool.shared.figures.use_time.get_sample_count(), 21);
}

#[tokio::test]
async fn a_wait_that_is_too_long_ends_in_a_named_error_and_leaves_the_line() {
    let pool = pool(2, 10);
    let held = [pool.checkout().await.unwrap(), pool.checkout().await.unwrap()];
    let error = pool.checkout().await.err().unwrap();
    assert!(matches!(error, PoolError::WaitQueueTimeout { max: 2, .. }));
    insta::assert_snapshot!(error, @"no connection became free within 10 ms: all 2 are in use");
    let full = pool.snapshot(clock::now());
    assert_eq!((full.used, full.pending, full.timeouts), (2, 0, 1));
    drop(held);
    let free = pool.snapshot(clock::now());
    assert_eq!((free.used, free.idle), (0, 2));
    pool.checkout().await.unwrap();
}

#[tokio::test]
async fn a_caller_who_goes_away_takes_no_connection_with_it() {
    let pool = pool(1, 5_000);
    let held = pool.checkout().await.unwrap();
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { drop(pool.checkout().await) })
        })
        .collect();
    settle().await;
    assert_eq!(pool.snapshot(clock::now()).pending, 3);
    waiting[0].abort();
    waiting[1].abort();
    settle().await;
    assert_eq!(pool.snapshot(clock::now()).pending, 1);
    drop(held);
    settle().await;
    let end = pool.snapshot(clock::now());
    assert_eq!((end.used, end.idle, end.pending, end.timeouts), (0, 1, 0, 0));
}

#[tokio::test]
async fn a_handover_in_the_moment_of_leaving_goes_back() {
    let pool = pool(1, 5_000);
    let held = pool.checkout().await.unwrap();
    let waiting = {
        let pool = pool.clone();
        tokio::spawn(async move { drop(pool.checkout().await) })
    };
    settle().await;
    // Handed over, but the task is gone before it can look.
    drop(held);
    waiting.abort();
    settle().await;
    let end = pool.snapshot(clock::now());
    assert_eq!((end.used, end.idle, end.pending), (0, 1, 0));
}

#[tokio::test]
async fn holds_average_what_was_asked_for_at_low_and_at_full_load() {
    for callers in [1, 40] {
        let pool = pool(4, 60_000);
        let intended = Duration::from_millis(5);
        let tasks: Vec<_> = (0..callers)
            .map(|_| {
                let pool = pool.clone();
                tokio::spawn(async move {
                    for _ in 0..400 / callers {
                        let mut lease = pool.checkout().await.unwrap();
                        // The store's own work is part of the hold.
                        lease.with(|_| std::thread::sleep(Duration::from_micros(100)));
                        lease.finish(intended).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let used = &pool.shared.figures.use_time;
        assert_eq!(used.get_sample_count(), 400);
        // Whatever the machine did meanwhile, only the error of each connection's last hold is left over.
        let left_over_s: f64 = pool.shared.state().idle.iter().map(|(slot, _)| slot.debt_s).sum();
        let intended_s = 400.0 * intended.as_secs_f64();
        let excess_s = used.get_sample_sum() - intended_s;
        assert!(
            (excess_s - left_over_s).abs() < 1e-6 * intended_s,
            "{callers} callers: {excess_s} {left_over_s}"
        );
        let end = pool.snapshot(clock::now());
        assert!(
            (end.used_s / used.get_sample_sum() - 1.0).abs() < 1e-6,
            "the integral is the sum of the holds"
        );
        let waited = pool.shared.figures.wait_time.get_sample_sum();
        assert!((end.pending_s - waited).abs() <= waited * 1e-6, "the integral is the sum of the waits");
    }
}

#[tokio::test]
async fn idle_connections_close_down_to_the_minimum() {
    let limits = Limits {
        max: 5,
        min: 2,
        max_idle: Duration::from_secs(1),
        wait_queue_timeout: Duration::from_secs(1),
    };
    let pool = Pool::new(limits, figures(), || Ok(())).unwrap();
    assert_eq!(pool.snapshot(clock::now()).idle, 2);
    let mut leases = Vec::new();
    for _ in 0..5 {
        leases.push(pool.checkout().await.unwrap());
    }
    drop(leases);
    let start = clock::now();
    pool.close_idle(start);
    assert_eq!(pool.snapshot(start).idle, 5);
    pool.close_idle(start + Duration::from_secs(2));
    let end = pool.snapshot(start);
    assert_eq!((end.idle, end.opened, end.closed), (2, 5, 3));
    assert_eq!(end.opened - end.closed, (end.used + end.idle) as u64);
}

#[tokio::test]
async fn a_connection_that_cannot_be_opened_leaves_its_place_free() {
    let limits = Limits {
        max: 1,
        min: 0,
        max_idle: Duration::from_secs(1),
        wait_queue_timeout: Duration::from_secs(1),
    };
    let pool: Pool<()> = Pool::new(limits, figures(), || Err(io::Error::other("out of files"))).unwrap();
    for _ in 0..2 {
        let error = pool.checkout().await.err().unwrap();
        assert_eq!(error.to_string(), "a connection could not be opened: out of files");
    }
    assert_eq!(pool.snapshot(clock::now()).used, 0);
}
