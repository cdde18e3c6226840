//! The edge cache of the gateway: what it keeps, for how long, and for whom.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::sync::{Barrier, Notify};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::front::{Front, PATIENCE, Raw, scripted};
use crate::support::{Answer, Remote, Running};

const ON: &str = "gateway.edge_max_bytes=1000000";

/// `X-Cache` of an answer.
fn cache(answer: &Answer) -> String {
    answer.headers["x-cache"].to_str().unwrap().to_owned()
}

/// An app that answers with the `Cache-Control` in the query, and counts how often it is asked.
async fn counting() -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let answer = |State(asked): State<Arc<AtomicUsize>>, request: Request| async move {
        let number = asked.fetch_add(1, Ordering::SeqCst) + 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let query = request.uri().query().unwrap_or_default().replace("%20", " ");
        let mut response: Response = format!("answer {number}").into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, query.parse().unwrap());
        match request.uri().path() {
            "/cookie" => drop(headers.insert(header::SET_COOKIE, "a=b".parse().unwrap())),
            "/vary" => drop(headers.insert(header::VARY, "accept-language".parse().unwrap())),
            "/etag" => {
                headers.insert(header::ETAG, "\"one\"".parse().unwrap());
                if request.headers().get(header::IF_NONE_MATCH).is_some_and(|tag| tag == "\"one\"") {
                    *response.status_mut() = StatusCode::NOT_MODIFIED;
                    *response.body_mut() = axum::body::Body::empty();
                }
            }
            "/missing" => *response.status_mut() = StatusCode::NOT_FOUND,
            "/odd" => {
                // Says of another file that it has not changed.
                let known = request.headers().contains_key(header::IF_NONE_MATCH);
                headers.insert(header::ETAG, format!("\"{number}\"").parse().unwrap());
                if known {
                    *response.status_mut() = StatusCode::NOT_MODIFIED;
                    *response.body_mut() = axum::body::Body::empty();
                }
            }
            "/fails" => *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE,
            _ => {}
        }
        response
    };
    let (address, _) = scripted(Router::new().fallback(answer).with_state(Arc::clone(&asked))).await;
    (address, asked)
}

#[tokio::test]
async fn static_files_are_asked_of_the_app_once() {
    let app = Running::quick().await;
    let front = Front::of(&[ON], app.remote.address).await;
    let first = front.remote.get("/static/app.css").await;
    assert_eq!(cache(&first), "MISS");
    let second = front.remote.get("/static/app.css").await;
    assert_eq!((cache(&second).as_str(), &second.text), ("HIT", &first.text));
    assert_eq!(second.headers["age"], "0");
    assert_eq!(second.headers["cache-control"], "public, s-maxage=3600, max-age=600");
    assert_eq!(second.headers.get_all("date").iter().count(), 1);
    assert!(second.headers["date"].to_str().unwrap().ends_with(" GMT"), "as HTTP has it");
    let head = front.remote.send(Method::HEAD, "/static/app.css", &[], "").await;
    assert_eq!((cache(&head).as_str(), head.text.as_str()), ("HIT", ""));
    assert_eq!(head.headers["content-length"], first.text.len().to_string());
    let product = front.remote.get("/api/products/1").await;
    assert_eq!(cache(&product), "BYPASS", "the app says nothing about keeping it");
    assert_eq!(app.remote.scrape().await.sum("http_requests_total", &["/static"]), 1.0);
    front.until("edge_cache_hits_total", 2.0).await;
    let figures = front.figures().await;
    let counted = ["edge_cache_misses_total", "edge_cache_bypassed_total", "edge_cache_max_bytes"];
    assert_eq!(counted.map(|name| figures.sum(name, &[])), [1.0, 1.0, 1e6]);
    for _ in 0..2_000 {
        if front.figure("edge_cache_bytes").await > first.text.len() as f64 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("nothing is said to be kept");
}

#[tokio::test]
async fn what_many_miss_at_once_is_fetched_once() {
    let (app, asked) = counting().await;
    let front = Front::of(&[ON], app).await;
    let all = (0..50).map(|_| front.remote.get("/page?max-age=60"));
    for answer in futures_util::future::join_all(all).await {
        assert_eq!(answer.text, "answer 1");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(front.figure("edge_cache_misses_total").await, 1.0);
    // What may not be kept makes nobody wait for more than the first answer, and each has one of its own.
    let all = (0..50).map(|_| front.remote.get("/mine?no-store"));
    let mut answers: Vec<_> = futures_util::future::join_all(all).await.into_iter().map(|a| a.text).collect();
    answers.sort_unstable();
    answers.dedup();
    assert_eq!(answers.len(), 50);
}

#[tokio::test]
async fn cache_control_says_what_is_kept() {
    let (app, _) = counting().await;
    let front = Front::of(&[ON], app).await;
    for (path, kept) in [
        ("/a?max-age=60", true),
        ("/a?public,%20max-age=60", true),
        ("/a?s-maxage=60,%20max-age=0", true),
        ("/a?max-age=60,%20s-maxage=0", false),
        ("/a?private,%20max-age=60", false),
        ("/a?no-store", false),
        ("/a?no-cache", false),
        ("/a?max-age=0", false),
        ("/cookie?max-age=60", false),
        ("/fails?no-store", false),
    ] {
        let first = front.remote.get(path).await;
        let second = front.remote.get(path).await;
        assert_eq!((cache(&second) == "HIT", first.text == second.text), (kept, kept), "{path}");
        if !kept {
            assert_eq!((cache(&first).as_str(), cache(&second).as_str()), ("BYPASS", "BYPASS"), "{path}");
        }
    }
}

#[tokio::test]
async fn who_shows_who_they_are_gets_only_what_is_public() {
    let (app, _) = counting().await;
    let front = Front::of(&[ON], app).await;
    let known = [("authorization", "Bearer me")];
    let get = async |path: &str| cache(&front.remote.send(Method::GET, path, &known, "").await);
    assert_eq!(cache(&front.remote.get("/a?max-age=60").await), "MISS");
    assert_eq!(get("/a?max-age=60").await, "BYPASS");
    assert_eq!(cache(&front.remote.get("/a?max-age=60").await), "HIT", "and it stays for the others");
    assert_eq!(get("/b?public,%20max-age=60").await, "MISS");
    assert_eq!(get("/b?public,%20max-age=60").await, "HIT");
    assert_eq!(cache(&front.remote.get("/b?public,%20max-age=60").await), "HIT");
}

#[tokio::test]
async fn conditions_are_judged_at_the_edge() {
    let (app, asked) = counting().await;
    let front = Front::of(&[ON], app).await;
    let with = async |headers: &[(&str, &str)]| {
        front.remote.send(Method::GET, "/etag?max-age=60", headers, "").await
    };
    // The whole answer is fetched even for who has it already, or there would be nothing to keep.
    let first = with(&[("if-none-match", "W/\"zero\", \"one\"")]).await;
    assert_eq!((first.status, cache(&first).as_str()), (StatusCode::NOT_MODIFIED, "MISS"));
    let whole = with(&[("if-none-match", "\"two\"")]).await;
    assert_eq!(
        (whole.status, whole.text.as_str(), cache(&whole).as_str()),
        (StatusCode::OK, "answer 1", "HIT")
    );
    assert_eq!(with(&[("if-none-match", "*")]).await.status, StatusCode::NOT_MODIFIED);
    assert_eq!(cache(&with(&[("range", "bytes=0-1")]).await), "BYPASS", "a part is the app's affair");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_has_expired_is_renewed_by_its_tag() {
    let (app, asked) = counting().await;
    let front = Front::of(&[ON], app).await;
    let path = "/etag?max-age=1";
    assert_eq!(front.remote.get(path).await.text, "answer 1");
    // How long is the cache's to say; only the order is checked.
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last| last != "REVALIDATED") {
        let answer = front.remote.get(path).await;
        assert_eq!(answer.text, "answer 1", "the app sent it once");
        seen.push(cache(&answer));
        assert!(seen.len() < 2_000, "it never expired");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(seen[..seen.len() - 1].iter().all(|word| word == "HIT"), "{seen:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    let answer = front.remote.get(path).await;
    assert!(cache(&answer) == "HIT" || asked.load(Ordering::SeqCst) > 2);
}

#[tokio::test]
async fn that_there_is_nothing_is_kept_as_well() {
    let (app, asked) = counting().await;
    let front = Front::of(&[ON], app).await;
    for word in ["MISS", "HIT"] {
        let answer = front.remote.get("/missing?max-age=60").await;
        assert_eq!((answer.status, cache(&answer).as_str()), (StatusCode::NOT_FOUND, word));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_app_that_renews_what_is_not_kept_is_asked_for_all_of_it() {
    let (app, _) = counting().await;
    let front = Front::of(&[ON], app).await;
    let path = "/odd?max-age=1";
    assert_eq!(front.remote.get(path).await.text, "answer 1");
    for _ in 0..2_000 {
        let answer = front.remote.get(path).await;
        assert_eq!(answer.status, StatusCode::OK);
        match answer.text.as_str() {
            "answer 1" => assert_eq!(cache(&answer), "HIT"),
            // The second answer was the odd one.
            text => return assert_eq!((text, cache(&answer).as_str()), ("answer 3", "MISS")),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never expired");
}

#[tokio::test]
async fn a_write_forgets_what_is_kept_and_vary_says_for_whom_it_is() {
    let (app, _) = counting().await;
    let front = Front::of(&[ON], app).await;
    let path = "/a?max-age=60";
    assert_eq!(front.remote.get(path).await.text, "answer 1");
    assert_eq!(cache(&front.remote.send(Method::POST, path, &[], "").await), "BYPASS");
    assert_eq!(front.remote.get(path).await.text, "answer 3");
    let speaking = async |language: &str| {
        let headers = [("accept-language", language)];
        cache(&front.remote.send(Method::GET, "/vary?max-age=60", &headers, "").await)
    };
    assert_eq!(
        [speaking("de").await, speaking("de").await, speaking("en").await, speaking("en").await],
        ["MISS", "HIT", "MISS", "HIT"]
    );
}

#[tokio::test]
async fn what_may_be_kept_after_all_is_and_conditions_on_what_may_not_are_the_apps() {
    let asked = Arc::new(AtomicUsize::new(0));
    let answer = |State(asked): State<Arc<AtomicUsize>>, request: Request| async move {
        let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
        let policy = if first || request.uri().path() == "/never" { "no-store" } else { "max-age=60" };
        let known = request.headers().contains_key(header::IF_NONE_MATCH);
        let status = if known { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
        (status, [(header::CACHE_CONTROL, policy)])
    };
    let (app, _) = scripted(Router::new().fallback(answer).with_state(Arc::clone(&asked))).await;
    let front = Front::of(&[ON], app).await;
    let mut words = Vec::new();
    for _ in 0..3 {
        words.push(cache(&front.remote.get("/later").await));
    }
    assert_eq!(words, ["BYPASS", "MISS", "HIT"]);
    assert_eq!(cache(&front.remote.get("/never").await), "BYPASS");
    let known = [("if-none-match", "\"x\"")];
    let answer = front.remote.send(Method::GET, "/never", &known, "").await;
    assert_eq!((answer.status, cache(&answer).as_str()), (StatusCode::NOT_MODIFIED, "BYPASS"));
}

#[tokio::test]
async fn it_keeps_no_more_bytes_than_it_may() {
    let (app, _) = counting().await;
    let front = Front::of(&["gateway.edge_max_bytes=4000"], app).await;
    for n in 0..200 {
        assert_eq!(front.remote.get(&format!("/{n}?max-age=60")).await.status, StatusCode::OK);
    }
    for _ in 0..2_000 {
        let figures = front.figures().await;
        let bytes = figures.sum("edge_cache_bytes", &[]);
        if figures.sum("edge_cache_evicted_total", &[]) > 0.0 && bytes > 0.0 && bytes <= 4_000.0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{}", front.figures().await.0);
}

#[tokio::test]
async fn of_an_app_that_fails_nobody_waits_for_more_than_one_other() {
    const CLIENTS: usize = 20;
    // The first fails when it is told to, the others when all of them are there at once.
    let (asked, first) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (all_others, told) = (Arc::new(Barrier::new(CLIENTS - 1)), Arc::clone(&first));
    let fails = || async move {
        if asked.fetch_add(1, Ordering::SeqCst) == 0 {
            told.notified().await;
        } else {
            all_others.wait().await;
        }
        StatusCode::SERVICE_UNAVAILABLE
    };
    let (app, _) = scripted(Router::new().fallback(fails)).await;
    let front = Front::of(&[ON], app).await;
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let remote = Remote::at(front.remote.address);
        clients.spawn(async move { remote.get("/page").await.status });
    }
    front.until("nginx_connections_writing", CLIENTS as f64).await;
    assert_eq!(front.figure("nginx_upstream_connections").await, 1.0, "they wait for the first");
    first.notify_one();
    let statuses = timeout(PATIENCE, clients.join_all()).await.expect("all are let through at once");
    assert_eq!(statuses, [StatusCode::SERVICE_UNAVAILABLE; CLIENTS]);
}

#[tokio::test]
async fn an_answer_that_stops_half_way_is_waited_for_so_long() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut begun = Vec::new();
        loop {
            let mut raw = Raw(listener.accept().await.unwrap().0);
            raw.0.peek(&mut [0]).await.unwrap();
            raw.say("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 9\r\n\r\nhalf").await;
            begun.push(raw);
        }
    });
    let front = Front::of(&[ON, "gateway.upstream_timeout_ms=200"], address).await;
    let answers = (0..5).map(|_| front.remote.get("/page"));
    for answer in timeout(PATIENCE, futures_util::future::join_all(answers)).await.unwrap() {
        assert_eq!(
            (answer.status, answer.error().as_str()),
            (StatusCode::GATEWAY_TIMEOUT, "gateway_timeout")
        );
    }
    assert_eq!(front.figures().await.sum("nginx_upstream_failures_total", &["timeout"]), 5.0);
}
