//! The autoscaler: replicas come while the CPU of those there are is used too much, and go when it is not, and whoever asks meanwhile is served.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{Fleet, Remote, Scrape};

fn replicas(scrape: &Scrape) -> f64 {
    scrape.sum("target_replicas", &[])
}

/// Looks now and then, for a minute at most: a look costs the replicas a good part of what little CPU they have.
async fn until(fleet: &Fleet, there: f64) -> Scrape {
    for _ in 0..150 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let scrape = fleet.remote.scrape_until(|_| true).await;
        if replicas(&scrape) == there {
            return scrape;
        }
    }
    panic!("there are never {there} replicas");
}

#[tokio::test]
async fn replicas_come_with_the_load_and_go_with_it() {
    // Five hundredths of a core each, of which a request takes two milliseconds: 25 requests a second and replica.
    let dials = [
        "app.cores=0.05",
        "app.cpu_us_per_request.read=2000",
        "mongodb.service_time_ms=1",
        "autoscaler.max_replicas=3",
        "autoscaler.period_ms=1000",
        "autoscaler.out_cooldown_ms=1000",
        "autoscaler.in_cooldown_ms=2000",
        "app.drain_ms=500",
    ];
    let fleet = Fleet::serving("autoscaled", &dials, &[]);
    // Without a load there is one, whatever its start has used.
    for _ in 0..6 {
        let scrape = fleet.remote.scrape().await;
        assert_eq!((replicas(&scrape), scrape.sum("target_replicas_desired", &[])), (1.0, 1.0));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let (over, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let unanswered = Arc::new(AtomicUsize::new(0));
    let mut customers = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let (address, over, served) = (fleet.remote.address, Arc::clone(&over), Arc::clone(&served));
        let unanswered = Arc::clone(&unanswered);
        customers.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                // On a connection of its own, so that it may reach any replica.
                match Remote::at(address).try_get("/api/products/1").await {
                    Some(answer) => {
                        assert_eq!(answer.status, 200);
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                    None => drop(unanswered.fetch_add(1, Ordering::Relaxed)),
                }
            }
        });
    }
    let scrape = until(&fleet, 3.0).await;
    assert_eq!(scrape.sum("target_replicas_desired", &[]), 3.0);
    assert!(scrape.sum("target_scale_out_total", &[]) >= 1.0);
    over.store(true, Ordering::Relaxed);
    customers.join_all().await;
    // A connection that is being made while a replica comes may be reset: the kernel has dealt it to another one meanwhile.
    let (served, unanswered) = (served.load(Ordering::Relaxed), unanswered.load(Ordering::Relaxed));
    assert!(unanswered <= 3 + served / 50, "{unanswered} of {served}");
    let scrape = until(&fleet, 1.0).await;
    assert!(scrape.sum("target_scale_in_total", &[]) >= 1.0);
    assert_eq!(scrape.sum("target_replica_restarts_total", &[]), 0.0, "to be let go is no death");
    assert!(scrape.sum("http_requests_total", &["/api/products/{id}"]) >= served as f64);
}
