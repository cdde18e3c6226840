//! The autoscaler: replicas come while the CPU of those there are is used too much, and go when it is not, without a request that fails.

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
    let first = fleet.remote.scrape().await;
    assert_eq!((replicas(&first), first.sum("target_replicas_desired", &[])), (1.0, 1.0));
    let (over, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut customers = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let (address, over, served) = (fleet.remote.address, Arc::clone(&over), Arc::clone(&served));
        customers.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                // On a connection of its own, so that it may reach any replica. One that is closed as it is made gets no answer.
                if let Some(answer) = Remote::at(address).try_get("/api/products/1").await {
                    assert_eq!(answer.status, 200);
                    served.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    let scrape = until(&fleet, 3.0).await;
    assert_eq!(scrape.sum("target_replicas_desired", &[]), 3.0);
    assert!(scrape.sum("target_scale_out_total", &[]) >= 1.0);
    over.store(true, Ordering::Relaxed);
    customers.join_all().await;
    let scrape = until(&fleet, 1.0).await;
    assert!(scrape.sum("target_scale_in_total", &[]) >= 1.0);
    assert_eq!(scrape.sum("target_replica_restarts_total", &[]), 0.0, "to be let go is no death");
    assert!(
        scrape.sum("http_requests_total", &["/api/products/{id}"]) >= served.load(Ordering::Relaxed) as f64
    );
}
