//! Orders that are taken now and placed later: what their callers are told, that no more wait than may, that what was taken is placed once
//! whatever dies, and that workers are all that bounds how fast.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::faults::Breakable;
use crate::support::{Answer, Remote, Running, Scrape};

const QUICK: [&str; 2] = ["queue.job_ms=1", "mongodb.service_time_ms=1"];

async fn queued(dials: &[&str]) -> Running {
    Running::of("queued", &[&QUICK, dials].concat()).await
}

async fn order(remote: &Remote, product: u32) -> Answer {
    remote.post("/api/orders", &json!({"product_id": product, "quantity": 2})).await
}

/// The number of the job that an order got.
async fn job_of(remote: &Remote, product: u32) -> u64 {
    let taken = order(remote, product).await;
    assert_eq!(taken.status.as_u16(), 202, "{}", taken.text);
    let job = taken.json()["job_id"].as_u64().unwrap();
    assert_eq!(taken.headers["location"], format!("/api/jobs/{job}"));
    assert_eq!(taken.json()["status"], "waiting");
    job
}

/// The job, once the condition holds.
async fn once(remote: &Remote, job: u64, condition: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..4_000 {
        let answer = remote.get(&format!("/api/jobs/{job}")).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
        if condition(&answer.json()) {
            return answer.json();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never came about");
}

fn counted(scrape: &Scrape, state: &str) -> f64 {
    scrape.sum("bullmq_job_count", &["queue=\"orders\"", &format!("state=\"{state}\"")])
}

#[tokio::test]
async fn an_order_is_taken_at_once_and_placed_by_a_job_that_tells_of_it() {
    let app = queued(&[]).await;
    let job = job_of(&app.remote, 5).await;
    let done = once(&app.remote, job, |job| job["status"] == "completed").await;
    assert_eq!(done["attempts_made"], 1);
    let placed = app.remote.get(&format!("/api/orders/{}", done["order_id"])).await.json();
    assert_eq!(
        (&placed["product_id"], &placed["quantity"], &placed["job_id"]),
        (&json!(5), &json!(2), &json!(job))
    );
    let unknown = app.remote.get("/api/jobs/4000").await;
    assert_eq!((unknown.status.as_u16(), unknown.error().as_str()), (404, "not_found"));
    let scrape = app.remote.scrape().await;
    let total = |name: &str| scrape.sum(name, &["queue=\"orders\""]);
    assert_eq!(total("bullmq_jobs_added_total"), 1.0);
    assert_eq!(total("bullmq_jobs_completed_total"), 1.0);
    assert_eq!(total("bullmq_job_duration_seconds_count"), 1.0);
    assert_eq!((counted(&scrape, "completed"), counted(&scrape, "waiting")), (1.0, 0.0));
    assert_eq!(total("bullmq_worker_concurrency"), 50.0);
    app.stop().await.unwrap();
}

#[tokio::test]
async fn without_a_queue_there_are_no_jobs() {
    let app = Running::quick().await;
    assert_eq!(order(&app.remote, 1).await.status.as_u16(), 201);
    assert_eq!(app.remote.get("/api/jobs/1").await.error(), "not_found");
    app.stop().await.unwrap();
}

#[tokio::test]
async fn taking_an_order_needs_no_connection_and_no_more_wait_than_may() {
    // The one worker waits for the one connection, which is held for a minute.
    let dials = [
        "mongodb.max_pool_size=1",
        "mongodb.service_time_ms=60000",
        "queue.concurrency=1",
        "queue.max_depth=3",
        "app.drain_ms=0",
    ];
    let app = queued(&dials).await;
    for product in 1..=3 {
        job_of(&app.remote, product).await;
    }
    let full = order(&app.remote, 4).await;
    assert_eq!((full.status.as_u16(), full.error().as_str()), (503, "queue_full"));
    assert_eq!(full.headers["retry-after"], "1");
    let scrape = app.remote.scrape_until(|scrape| counted(scrape, "active") == 1.0).await;
    assert_eq!(counted(&scrape, "waiting"), 2.0);
    assert_eq!(scrape.sum("bullmq_jobs_rejected_total", &[]), 1.0);
    assert_eq!(scrape.sum("bullmq_worker_active", &[]), 1.0);
    app.stop().await.unwrap();
}

#[tokio::test]
async fn a_job_that_cannot_be_done_says_why() {
    let app = queued(&[]).await;
    let job = job_of(&app.remote, 4_000).await;
    let failed = once(&app.remote, job, |job| job["status"] == "failed").await;
    assert_eq!(
        (&failed["reason"], &failed["attempts_made"]),
        (&json!("there is no product 4000"), &json!(1))
    );
    app.stop().await.unwrap();
}

#[tokio::test]
async fn a_job_that_finds_no_connection_is_tried_again_until_it_does_or_has_failed() {
    let dials = [
        "mongodb.max_pool_size=1",
        "mongodb.service_time_ms=10",
        "mongodb.service_time_factor.product_by_id=1000",
        "mongodb.wait_queue_timeout_ms=20",
        "queue.backoff_ms=30",
        "app.drain_ms=0",
    ];
    let app = queued(&dials).await;
    let remote = app.remote.clone();
    // Ten seconds with the only connection: longer than 20 + 30 + 20 + 60 + 20 ms.
    tokio::spawn(async move { remote.get("/api/products/1").await });
    app.remote.scrape_until(|scrape| scrape.sum("db_client_connection_count", &["used"]) == 1.0).await;
    let job = job_of(&app.remote, 1).await;
    let failed = once(&app.remote, job, |job| job["status"] == "failed").await;
    assert_eq!(failed["attempts_made"], 3);
    assert!(failed["reason"].as_str().unwrap().starts_with("no connection became free"), "{failed}");
    let scrape = app.remote.scrape().await;
    assert_eq!(scrape.sum("bullmq_jobs_retried_total", &[]), 2.0);
    assert_eq!(scrape.sum("bullmq_jobs_failed_total", &[]), 1.0);
    app.stop().await.unwrap();
}

#[tokio::test]
async fn no_order_is_given_up_over_an_open_breaker() {
    // Retries are over within 30 ms, and the breaker is open for twenty times as long.
    let dials = [
        "queue.concurrency=2",
        "queue.backoff_ms=10",
        "breaker.timeout_ms=300",
        "breaker.reset_timeout_ms=600",
        "breaker.volume_threshold=3",
        "mongodb.service_time_ms=10",
    ];
    let arguments: Vec<_> = dials.iter().flat_map(|dial| ["--dial", dial]).collect();
    let shop = Breakable::serving(&arguments);
    shop.order(json!({"fault": "slow", "resource": "mongodb", "factor": 100, "for_ms": 3_600_000})).await;
    let mut jobs = Vec::new();
    for product in 1..=12 {
        jobs.push(job_of(&shop.app, product).await);
    }
    shop.app.scrape_until(|scrape| scrape.sum("bullmq_jobs_put_off_total", &[]) >= 30.0).await;
    shop.order(json!({"fault": "none"})).await;
    let mut orders = BTreeSet::new();
    for job in jobs {
        let done =
            once(&shop.app, job, |job| job["status"] == "completed" || job["status"] == "failed").await;
        assert_eq!(done["status"], "completed", "{done}");
        assert!(orders.insert(done["order_id"].as_u64().unwrap()), "{done} has another job's order");
    }
    let scrape = shop.app.scrape().await;
    assert_eq!(scrape.sum("bullmq_jobs_failed_total", &[]), 0.0);
    assert_eq!(scrape.sum("bullmq_jobs_completed_total", &[]), 12.0);
}

#[tokio::test]
async fn what_is_kept_of_jobs_that_ended_is_bounded() {
    let app = queued(&["queue.remove_on_complete=2"]).await;
    let mut jobs = Vec::new();
    for product in 1..=5 {
        jobs.push(job_of(&app.remote, product).await);
        app.remote.scrape_until(|s| s.sum("bullmq_jobs_completed_total", &[]) == f64::from(product)).await;
    }
    let mut known = Vec::new();
    for job in &jobs {
        known.push(app.remote.get(&format!("/api/jobs/{job}")).await.status.as_u16());
    }
    assert_eq!(known, [404, 404, 404, 200, 200]);
    app.stop().await.unwrap();
}

#[tokio::test]
async fn no_more_are_worked_on_at_a_time_than_there_are_workers_and_each_takes_its_time() {
    let app = queued(&["queue.concurrency=3", "queue.job_ms=20", "mongodb.service_time_ms=5"]).await;
    for product in 1..=60 {
        job_of(&app.remote, product).await;
    }
    let mut most = 0.0_f64;
    let scrape = loop {
        let scrape = app.remote.scrape().await;
        most = most.max(scrape.sum("bullmq_worker_active", &[]));
        if scrape.sum("bullmq_jobs_completed_total", &[]) == 60.0 {
            break scrape;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!((1.0..=3.0).contains(&most), "{most} at a time");
    let busy_s = scrape.sum("bullmq_job_duration_seconds_sum", &[]);
    // What a late timer adds to one job is taken off the worker's next, so they last 25 ms each on the whole, however busy the machine.
    assert!(busy_s >= 60.0 * 0.025 - 0.1, "60 jobs of 25 ms took {busy_s} s");
    app.stop().await.unwrap();
}

/// A fleet with a queue whose leases are short.
struct Fleet {
    child: Child,
    remote: Remote,
}

impl Fleet {
    fn of(replicas: &str, dials: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_target-app"));
        command.args([
            "serve",
            "queued",
            "--listen",
            "127.0.0.1:0",
            "--exit-with-stdin",
            "--replicas",
            replicas,
        ]);
        for dial in dials {
            command.args(["--dial", dial]);
        }
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening http://").expect(&line).parse().unwrap();
        Self { child, remote: Remote::at(address) }
    }

    fn replicas(&self) -> Vec<Pid> {
        let pid = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        children.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap()).unwrap()).collect()
    }

    /// A client of its own is a connection of its own, which the kernel gives to any replica.
    fn fresh(&self) -> Remote {
        Remote::at(self.remote.address)
    }

    /// A job as some replica tells of it; a replica that was killed may answer nothing.
    async fn asked(&self, job: u64) -> Option<Value> {
        let remote = self.fresh();
        let asked = tokio::spawn(async move { remote.get(&format!("/api/jobs/{job}")).await });
        asked.await.ok().filter(|answer| answer.status.as_u16() == 200).map(|answer| answer.json())
    }

    async fn end_of(&self, job: u64) -> Value {
        for _ in 0..2_000 {
            if let Some(job) = self.asked(job).await
                && (job["status"] == "completed" || job["status"] == "failed")
            {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("job {job} never came to an end");
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn replicas_that_are_killed_in_the_middle_lose_no_order_and_double_none() {
    // An order is in the store for half a second before its worker can say so: who dies then leaves the order and an unfinished job.
    let dials = [
        "queue.concurrency=4",
        "queue.job_ms=20",
        "queue.lease_ms=500",
        "mongodb.service_time_factor.order_insert=25",
        "mongodb.service_time_factor.order_by_id=0",
        "app.drain_ms=500",
    ];
    let fleet = Fleet::of("3", &dials);
    let mut jobs = Vec::new();
    for round in 0..3 {
        for product in 1..=24 {
            jobs.push(job_of(&fleet.fresh(), product).await);
        }
        // Whichever replica it is, its workers have jobs in their hands.
        let scrape = fleet.fresh().scrape().await;
        assert!(
            counted(&scrape, "active") + counted(&scrape, "waiting") > 0.0,
            "round {round}: all done already"
        );
        let victims = fleet.replicas();
        kill_process(victims[round % victims.len()], Signal::KILL).unwrap();
        // The kernel may still give connections to the socket of the dead for a moment.
        fleet.fresh_until_all_serve(round + 1).await;
    }
    let mut orders = BTreeSet::new();
    for job in &jobs {
        let end = fleet.end_of(*job).await;
        assert_eq!(end["status"], "completed", "{end}");
        assert!(orders.insert(end["order_id"].as_u64().unwrap()), "{end} has another job's order");
    }
    assert_eq!(jobs.iter().collect::<BTreeSet<_>>().len(), 72, "no number was given twice");
    // There are as many as jobs, and no more. A number may be left out, that of an order whose replica died or that was there already.
    let remote = fleet.fresh();
    for number in 1..=300 {
        let status = remote.get(&format!("/api/orders/{number}")).await.status.as_u16();
        assert_eq!(status == 200, orders.contains(&number), "order {number}: {status}");
    }
    let scrape = fleet.fresh().scrape().await;
    assert_eq!(
        (counted(&scrape, "completed"), counted(&scrape, "active")),
        (72.0, 0.0),
        "a shared figure is no sum"
    );
    assert_eq!(scrape.sum("bullmq_worker_concurrency", &[]), 12.0);
    assert!(scrape.sum("bullmq_jobs_stalled_total", &[]) >= 1.0, "somebody died with a job in hand");
}

impl Fleet {
    async fn fresh_until_all_serve(&self, restarts: usize) {
        for _ in 0..1_000 {
            let remote = self.fresh();
            let asked = tokio::spawn(async move { remote.scrape().await }).await;
            if let Ok(scrape) = asked
                && scrape.sum("target_replica_restarts_total", &[]) == restarts as f64
                && scrape.sum("target_replicas", &[]) == 3.0
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it never came about");
    }
}

#[tokio::test]
async fn a_replica_that_is_told_to_stop_leaves_its_jobs_to_the_others_at_once() {
    // Jobs of 3 s, a lease of an hour and a drain of 200 ms: what is not given back is not done.
    let dials = ["queue.concurrency=1", "queue.job_ms=3000", "queue.lease_ms=3600000", "app.drain_ms=200"];
    let fleet = Fleet::of("2", &dials);
    let jobs = [job_of(&fleet.fresh(), 1).await, job_of(&fleet.fresh(), 2).await];
    fleet.fresh().scrape_until(|scrape| counted(scrape, "active") == 2.0).await;
    kill_process(fleet.replicas()[0], Signal::TERM).unwrap();
    for job in jobs {
        assert_eq!(fleet.end_of(job).await["status"], "completed");
    }
}
