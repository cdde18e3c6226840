//! Sources that are given their scrapes, and servers that answer as told: what they say, how often, and of which time.

use super::scrapes::Scrapes;
use super::*;
use crate::probe::preset;
use crate::probe::prometheus::Scrape;
use crate::probe::resource::{Figure, Resource};
use crate::promql::Query;
use crate::scenario::{keys, presets};
use std::collections::BTreeMap;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn query(text: &str) -> Query {
    Query::of_scrapes(text).expect("a query")
}

/// A source that is given its scrapes, and what it says of them.
struct Given {
    scrapes: Scrapes,
    heard: mpsc::Receiver<Observed>,
}

impl Given {
    fn with(roles: &[(&str, &str)], signals: &[(&str, &str)]) -> Self {
        let roles: BTreeMap<_, _> =
            roles.iter().map(|(role, text)| ((*role).to_owned(), query(text))).collect();
        let source = ObserveSource {
            name: "given".into(),
            whence: Whence::Scrape("http://127.0.0.1:1/metrics".into()),
            every: Duration::from_secs(1),
            preset: None,
            resources: if roles.is_empty() { BTreeMap::new() } else { [("a.pool".to_owned(), roles)].into() },
            signals: signals.iter().map(|(name, text)| ((*name).to_owned(), query(text))).collect(),
        };
        Self::of(source.clone(), &Names::of(&[source]))
    }

    fn of(source: ObserveSource, names: &Names) -> Self {
        let (out, heard) = mpsc::channel(READINGS_QUEUE_MAX);
        let voice = Voice::of(&source, names, out);
        Self { scrapes: Scrapes::of(source, "http://127.0.0.1:1/metrics".into(), voice), heard }
    }

    /// What is said of one scrape: readings as `name value`, losses and sentences.
    async fn say(&mut self, text: Result<&str, &str>, now_s: f64) -> Vec<String> {
        let fetched = text.map_err(ToOwned::to_owned).and_then(Scrape::parse);
        assert!(self.scrapes.take(fetched, now_s).await.is_ok());
        let mut said = Vec::new();
        while let Ok(heard) = self.heard.try_recv() {
            match heard {
                Observed::Readings { rows, .. } => {
                    said.extend(rows.iter().map(|row| format!("{} {:.3}", row.resource, row.used)));
                }
                Observed::Said(text) => said.push(text),
                Observed::Lost(loss) => said.push(format!("{loss:?}")),
            }
        }
        said
    }
}

#[test]
fn the_words_of_the_language_are_those_of_the_probes() {
    assert_eq!(preset::names().collect::<Vec<_>>(), presets::names());
    for role in keys::ROLES {
        let roles = [(role.to_owned(), query("x"))].into();
        assert!(Resource::from_roles("a.pool", &roles, Figure::scraped).is_ok(), "{role}");
    }
}

#[test]
fn what_a_preset_finds_has_one_of_the_names_that_a_threshold_may_ask_for() {
    let pages = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/probe/preset/scrapes"))
        .expect("a folder");
    let mut count = 0;
    for page in pages {
        let text = std::fs::read_to_string(page.expect("an entry").path()).expect("text");
        let (_, now) = text.split_once("--- two seconds later\n").expect("two scrapes");
        let scrape = Scrape::parse(now).expect("parses");
        for preset in presets::names() {
            for resource in preset::discover(preset, &scrape).expect("a preset") {
                assert!(presets::may_find(preset, &resource.name), "{preset}: {}", resource.name);
                count += 1;
            }
        }
    }
    assert!(count > 40, "{count}");
    assert!(
        presets::may_find("redis", "redis-2.main_thread")
            && !presets::may_find("redis", "redis-.main_thread")
    );
    assert!(!presets::may_find("node-exporter", "app.cpu") && presets::may_find("auto", "app.cpu"));
}

#[tokio::test]
async fn a_scrape_that_fails_and_a_counter_that_resets_are_told_once_and_counted() {
    let mut given = Given::with(&[("used_seconds", "busy_total"), ("limit", "limit")], &[]);
    assert!(given.say(Ok("busy_total 10\nlimit 4\n"), 1.0).await.is_empty(), "one look is no reading");
    assert_eq!(given.say(Ok("busy_total 12\nlimit 4\n"), 2.0).await, ["a.pool 2.000"]);
    let said = given.say(Err("connection refused"), 3.0).await;
    assert_eq!((said.len(), said[1].as_str()), (2, "Look"), "{said:?}");
    assert!(said[0].contains("readings are missing until it answers"), "{said:?}");
    assert_eq!(given.say(Err("connection refused"), 4.0).await, ["Look"], "not again");
    // The next reading is of all the time since the last.
    let said = given.say(Ok("busy_total 15\nlimit 4\n"), 5.0).await;
    assert_eq!(said, ["http://127.0.0.1:1/metrics answers again", "a.pool 1.000"]);
    let said = given.say(Ok("busy_total 1\nlimit 4\n"), 6.0).await;
    assert!(said[0].contains("counters of a.pool") && said[1] == "Reset" && said.len() == 2, "{said:?}");
    assert_eq!(given.say(Ok("busy_total 3\nlimit 4\n"), 7.0).await, ["a.pool 2.000"]);
    assert_eq!(given.say(Ok("busy_total 0\nlimit 4\n"), 8.0).await, ["Reset"], "counted, not told again");
    let said = given.say(Ok("busy_total 1\nlimit 4\nbroken line"), 9.0).await;
    assert!(said[0].contains("line 3 is no sample"), "{said:?}");
}

/// A page whose series carry these times, seconds after `began_s`; not a number where one carries none.
fn stamped(lines: &[(&str, f64)], began_s: f64) -> String {
    let told = |(series, at_s): &(&str, f64)| {
        if at_s.is_nan() {
            format!("{series}\n")
        } else {
            format!("{series} {}\n", ((began_s + at_s) * 1e3).round())
        }
    };
    lines.iter().map(told).collect()
}

#[tokio::test]
async fn what_carries_no_time_grows_while_what_does_stands_still() {
    let mut given = Given::with(&[("used_seconds", "busy_total"), ("visits", "jobs_total")], &[]);
    let began_s = now_s() - 20.0;
    let mut visits = Vec::new();
    for t_s in 0..16_u32 {
        let told_s = f64::from(t_s / 3 * 3);
        let (busy, jobs) = (format!("busy_total {}", 2.0 * told_s), format!("jobs_total {}", 10 * t_s));
        let page = stamped(&[(&busy, told_s), (&jobs, f64::NAN)], began_s);
        let scrape = Scrape::parse(&page);
        assert!(given.scrapes.take(scrape, f64::from(t_s) + 30.0).await.is_ok());
        while let Ok(heard) = given.heard.try_recv() {
            let Observed::Readings { rows, stands_for } = heard else { continue };
            // Fresh until the next is overdue, which is three seconds on and as old then.
            assert!(rows.is_empty() || stands_for > Duration::from_secs(3 + 3), "{stands_for:?}");
            visits.extend(rows.into_iter().map(|row| (row.used, row.visits)));
        }
    }
    assert_eq!(visits.len(), 5);
    for (used, visits) in visits {
        assert!((used - 2.0).abs() < 1e-3 && (visits.expect("told") - 30.0).abs() < 0.1, "{used} {visits:?}");
    }
}

#[tokio::test]
async fn a_page_whose_times_stand_still_has_no_readings_and_that_is_told() {
    let mut given = Given::with(
        &[("used_seconds", "sum(busy_total)"), ("limit", "limit")],
        &[("r", "rate(busy_total[3s])"), ("held", "held * 1")],
    );
    let began_s = now_s() - 40.0;
    let mut said = Vec::new();
    for t_s in 0..30_u32 {
        let at_s = f64::from(t_s.min(8));
        let busy = format!("busy_total {}", 2.0 * at_s);
        let page = stamped(&[(&busy, at_s), ("held 1", at_s), ("limit 9", f64::NAN)], began_s);
        said.push(given.say(Ok(&page), f64::from(t_s) + 60.0).await);
    }
    for name in ["a.pool", "r", "held"] {
        let of = |said: &[Vec<String>]| {
            said.iter().flatten().filter(|text| text.starts_with(&format!("{name} "))).count()
        };
        assert!(of(&said[..9]) >= 6 && of(&said[9..]) == 0, "{name}: {said:?}");
        let told = format!("has told the same time of {name} for 6 s");
        assert_eq!(said.iter().flatten().filter(|text| text.contains(&told)).count(), 1, "{said:?}");
    }
    let page = stamped(&[("busy_total 90", 30.0), ("held 1", 30.0)], began_s);
    let again = given.say(Ok(&page), 91.0).await;
    assert_eq!(again.iter().filter(|text| text.contains("again")).count(), 2, "a rate needs two: {again:?}");
}

#[tokio::test]
async fn losses_are_a_warning_of_the_record() {
    let mut losses = Losses::default();
    assert_eq!(losses.warning(), None);
    [Loss::Look, Loss::Look, Loss::Reset].into_iter().for_each(|loss| losses.count(loss));
    let text = losses.warning().expect("a warning").text;
    assert!(text.contains("read 2 times") && text.contains("anew 1 times"), "{text}");
}

#[tokio::test]
async fn signals_are_reckoned_of_scrapes_and_say_why_they_have_no_value() {
    let mut given = Given::with(
        &[("used", "sum(free) / sum(total)"), ("limit", "total")],
        &[("errors", "sum(rate(e_total[2s])) / sum(rate(r_total[2s]))"), ("free", "free")],
    );
    let at = |errors: u32, requests: u32| {
        format!("free{{n=\"0\"}} 1\nfree{{n=\"1\"}} 2\ntotal 6\ne_total {errors}\nr_total {requests}\n")
    };
    let said = given.say(Ok(&at(0, 0)), 1.0).await;
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("`free`: 2 series come out, and one is needed"), "{said:?}");
    let said = given.say(Ok(&at(5, 50)), 2.0).await;
    assert_eq!(said, ["a.pool 0.500", "errors 0.100"], "the limit is the sum of its series");
    // Nothing is asked of the target any more: 0/0.
    let mut said = Vec::new();
    for t_s in 0..8 {
        said.extend(given.say(Ok(&at(5, 50)), 70.0 + f64::from(t_s)).await);
    }
    let told: Vec<_> = said.iter().filter(|text| text.contains("0/0")).collect();
    assert_eq!((told.len(), said.len()), (1, 9), "{said:?}");
}

/// A source with a preset.
fn preset_of(name: &str, preset: &str, resources: &[&str]) -> ObserveSource {
    let roles = |name: &&str| ((*name).to_owned(), [("used".to_owned(), query("own_gauge"))].into());
    ObserveSource {
        name: name.into(),
        whence: Whence::Scrape("http://127.0.0.1:1/metrics".into()),
        every: Duration::from_secs(1),
        preset: Some(preset.into()),
        resources: resources.iter().map(roles).collect(),
        signals: BTreeMap::new(),
    }
}

const MACHINE: &str = "node_memory_MemTotal_bytes 8\nnode_memory_MemAvailable_bytes 2\nown_gauge 1\n";

#[tokio::test]
async fn what_several_presets_find_is_called_by_its_source() {
    let sources = ["shop", "db"].map(|name| preset_of(name, "node-exporter", &[]));
    let names = Names::of(&sources);
    for source in sources {
        let name = source.name.clone();
        let mut given = Given::of(source, &names);
        given.say(Ok(MACHINE), 1.0).await;
        assert_eq!(given.say(Ok(MACHINE), 2.0).await, [format!("{name}.node.memory 6.000")]);
    }
}

#[tokio::test]
async fn a_name_that_another_source_tells_of_is_dropped_and_told() {
    let finds = preset_of("finds", "node-exporter", &[]);
    let defines = ObserveSource { preset: None, ..preset_of("defines", "auto", &["node.memory"]) };
    let names = Names::of(&[finds.clone(), defines.clone()]);
    let mut found = Given::of(finds, &names);
    let said = found.say(Ok(MACHINE), 1.0).await;
    assert!(
        said.len() == 1 && said[0].contains("node.memory, which is told by `defines` already"),
        "{said:?}"
    );
    assert!(found.say(Ok(MACHINE), 2.0).await.is_empty(), "once");
    let mut defined = Given::of(defines, &names);
    defined.say(Ok(MACHINE), 1.0).await;
    assert_eq!(defined.say(Ok(MACHINE), 2.0).await, ["node.memory 1.000"]);
    let both = preset_of("both", "node-exporter", &["node.memory"]);
    let mut both = Given::of(both.clone(), &Names::of(&[both]));
    let said = both.say(Ok(MACHINE), 1.0).await;
    assert!(said[0].contains("is told by `both` already"), "{said:?}");
    assert_eq!(both.say(Ok(MACHINE), 2.0).await, ["node.memory 1.000"], "what is defined comes first");
}

#[tokio::test]
async fn what_is_not_there_is_told_figure_by_figure() {
    let mut given =
        Given::with(&[("used", "busy"), ("limit", "limmit")], &[("a", "sum(aa)"), ("b", "sum(bb)")]);
    let mut said = Vec::new();
    for t_s in 1..12 {
        said.extend(given.say(Ok("busy 1\nlimit 4\n"), f64::from(t_s)).await);
    }
    said.retain(|text| !text.starts_with("a.pool "));
    assert_eq!(said.len(), 3, "{said:?}");
    for words in
        ["`limmit`, the `limit` of a.pool, is not at", "`sum(aa)` has no value", "`sum(bb)` has no value"]
    {
        assert!(said.iter().any(|text| text.contains(words)), "{words}: {said:?}");
    }
    let said = given.say(Ok("busy 1\nlimmit 4\naa 1\n"), 13.0).await;
    assert_eq!(said.iter().filter(|text| text.contains("again")).count(), 2, "{said:?}");
    let source = preset_of("given", "jvm", &[]);
    let mut given = Given::of(source.clone(), &Names::of(&[source]));
    let mut said = Vec::new();
    for t_s in 1..12 {
        said.extend(given.say(Ok(MACHINE), f64::from(t_s)).await);
    }
    assert!(said.len() == 1 && said[0].contains("the preset `jvm` finds nothing"), "{said:?}");
}

#[tokio::test]
async fn a_limit_that_has_moved_is_none_while_it_rests_either() {
    let source = preset_of("db", "mongodb", &[]);
    let mut given = Given::of(source.clone(), &Names::of(&[source]));
    let mut limits = Vec::new();
    for (t_s, total) in [7, 7, 9, 9, 9].into_iter().enumerate() {
        let page = format!(
            "mongodb_ss_queues_execution_read_out 7\nmongodb_ss_queues_execution_read_totalTickets {total}\n"
        );
        assert!(given.scrapes.take(Scrape::parse(&page), t_s as f64).await.is_ok());
        while let Ok(Observed::Readings { rows, .. }) = given.heard.try_recv() {
            limits.extend(rows.into_iter().map(|row| row.limit));
        }
    }
    assert_eq!(limits, [Some(7.0), None, None, None]);
}

#[tokio::test]
async fn a_series_that_is_back_is_no_growth_of_the_span() {
    let mut given = Given::with(&[("used_seconds", "busy_total")], &[]);
    given.say(Ok("busy_total{i=\"0\"} 500\nbusy_total{i=\"1\"} 1\n"), 1.0).await;
    let gone = given.say(Ok("busy_total{i=\"1\"} 1\n"), 2.0).await;
    assert_eq!(gone.last().map(String::as_str), Some("Reset"));
    assert_eq!(
        given.say(Ok("busy_total{i=\"1\"} 2\n"), 3.0).await,
        ["a.pool 1.000"],
        "it is gone for longer"
    );
    let back = given.say(Ok("busy_total{i=\"0\"} 501\nbusy_total{i=\"1\"} 2\n"), 4.0).await;
    assert_eq!(back, ["Reset"], "not 501 in use");
    let again = given.say(Ok("busy_total{i=\"0\"} 502\nbusy_total{i=\"1\"} 3\n"), 5.0).await;
    assert_eq!(again, ["a.pool 2.000"]);
}

/// A server that answers queries as told, and its URL.
async fn server(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(socket.read_u8().await.expect("a request"));
            }
            let head = String::from_utf8(head).expect("text");
            let path = head.split(' ').nth(1).expect("a path");
            let url = reqwest::Url::parse(&format!("http://x{path}")).expect("a URL");
            let query = url.query_pairs().find(|(key, _)| key == "query").expect("a query").1;
            let body = answer(&query);
            let text = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            socket.write_all(text.as_bytes()).await.expect("an answer");
        }
    });
    format!("http://{addr}")
}

fn vector(values: &[f64]) -> String {
    let one = |value: &f64| format!("{{\"metric\":{{}},\"value\":[1,\"{value}\"]}}");
    let all: Vec<String> = values.iter().map(one).collect();
    format!(
        "{{\"status\":\"success\",\"data\":{{\"resultType\":\"vector\",\"result\":[{}]}}}}",
        all.join(",")
    )
}

fn now_s() -> f64 {
    crate::clock::unix_ns() as f64 / 1e9
}

/// What is heard of a server, until it has said this much.
async fn heard_of(url: String, signals: &[(&str, &str)], count: usize) -> (Vec<SaturationRow>, Vec<String>) {
    let (out, mut heard) = mpsc::channel(READINGS_QUEUE_MAX);
    let of_server = |text: &str| Query::of_server(text).expect("a query");
    let roles = [("used", "busy{a=\"b\"}"), ("limit", "limit"), ("visits", "visits_total")]
        .map(|(role, text)| (role.to_owned(), of_server(text)));
    let source = ObserveSource {
        name: "given".into(),
        whence: Whence::Prometheus(url.clone()),
        every: Duration::from_millis(20),
        preset: None,
        resources: [("a.pool".to_owned(), roles.into())].into(),
        signals: signals.iter().map(|(name, text)| ((*name).to_owned(), of_server(text))).collect(),
    };
    let voice = Voice::of(&source, &Names::of(std::slice::from_ref(&source)), out);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    // The run began a minute ago, so that what is old is still of it.
    let clock = Clock::with_zero_at(((now_s() - 60.0) * 1e9) as u64);
    tokio::spawn(queries::watch(source, url, client, clock, voice));
    let (mut rows, mut said) = (Vec::new(), Vec::new());
    while rows.len() + said.len() < count {
        match heard.recv().await.expect("it goes on") {
            Observed::Readings { rows: read, .. } => rows.extend(read),
            Observed::Said(text) => said.push(text),
            Observed::Lost(loss) => said.push(format!("{loss:?}")),
        }
    }
    (rows, said)
}

#[test]
fn a_clock_that_was_set_is_noticed() {
    let ahead = |by_s: f64, give_or_take_s: f64| crate::probe::server::Ahead { by_s, give_or_take_s };
    assert!(ahead(30.0, 0.2).stepped_from(ahead(0.0, 0.001)));
    assert!(!ahead(0.9, 0.5).stepped_from(ahead(0.0, 0.001)), "a slow answer says little");
}

#[tokio::test]
async fn counters_of_a_server_are_held_against_resets_one_by_one() {
    let (asked, began_s) = (std::sync::atomic::AtomicU32::new(0), now_s() - 50.0);
    let url = server(move |query| match query {
        "time()" => vector(&[now_s()]),
        // A second newer at each look.
        "max(timestamp(busy{a=\"b\"}))" => {
            vector(&[began_s + f64::from(asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed))])
        }
        "visits_total" => {
            let look = asked.load(std::sync::atomic::Ordering::Relaxed) - 1;
            // One grows by a hundred each time, and the other begins anew once: the sum only grows.
            let (one, other) = (100 * look, if look < 2 { 50 + look } else { look });
            let series =
                |i: u32, value: u32| format!("{{\"metric\":{{\"i\":\"{i}\"}},\"value\":[1,\"{value}\"]}}");
            format!(
                "{{\"status\":\"success\",\"data\":{{\"resultType\":\"vector\",\"result\":[{},{}]}}}}",
                series(0, one),
                series(1, other)
            )
        }
        timestamp if timestamp.contains("timestamp(") => vector(&[]),
        _ => vector(&[1.0]),
    })
    .await;
    let (rows, said) = heard_of(url, &[], 8).await;
    assert_eq!(said.iter().filter(|text| *text == "Reset").count(), 1, "{said:?}");
    let all = rows.iter().all(|row| row.visits.is_some_and(|visits| (visits - 101.0).abs() < 1.0));
    assert!(all, "{rows:?}");
}

#[tokio::test]
async fn without_a_sample_there_is_no_reading_and_the_newest_of_all_series_counts() {
    let began_s = now_s();
    let url = server(move |query| match query {
        "time()" => vector(&[now_s()]),
        "max(timestamp(old))" => vector(&[began_s - 40.0]),
        "max(timestamp(new))" => vector(&[now_s()]),
        timestamp if timestamp.contains("timestamp(") => vector(&[]),
        _ => vector(&[1.0]),
    })
    .await;
    let (rows, said) = heard_of(url, &[("both", "old + new"), ("none", "none / 2")], 6).await;
    assert!(rows.iter().all(|row| row.resource == "both" && row.t_s > 55.0), "{rows:?}");
    for name in ["a.pool", "none"] {
        let told =
            said.iter().filter(|text| text.contains(&format!("no sample of what {name} asks for"))).count();
        assert_eq!(told, 1, "{said:?}");
    }
}

#[tokio::test]
async fn a_reading_of_a_server_has_the_time_of_its_newest_sample_on_our_clock() {
    let began_s = now_s();
    // Its clock is 100 s ahead, and its newest sample 12 s old, until others come, each 3 s newer.
    let url = server(move |query| match query {
        "time()" => vector(&[now_s() + 100.0]),
        "max(timestamp(busy{a=\"b\"}))" | "min(timestamp(busy{a=\"b\"}))" => {
            vector(&[began_s + 88.0 + 3.0 * ((now_s() - began_s) / 0.3).floor()])
        }
        "sum(busy{a=\"b\"})" => vector(&[7.0]),
        "sum(limit)" => vector(&[10.0]),
        "visits_total" | "timestamp(visits_total)" => vector(&[]),
        other => panic!("{other} was asked"),
    })
    .await;
    let (rows, said) = heard_of(url, &[], 5).await;
    let [first, second, ..] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((first.used, first.limit, first.utilization), (7.0, Some(10.0), Some(0.7)));
    // Seconds before the minute that the run is old, and as far from each other as the samples: by threes, one of which a busy machine may miss.
    let threes = (second.t_s - first.t_s) / 3.0;
    assert!(threes > 0.5 && (threes - threes.round()).abs() < 0.1, "{rows:?}");
    assert!((46.0..59.0).contains(&first.t_s), "{rows:?}");
    assert!(said.iter().any(|text| text.contains("s ahead of ours")), "{said:?}");
    assert!(said.iter().any(|text| text.contains("a.pool is") && text.contains("s old")), "{said:?}");
}

#[tokio::test]
async fn what_a_server_refuses_or_cannot_tell_apart_is_told_once_and_counted() {
    let url = server(|query| match query {
        "time()" => vector(&[now_s()]),
        timestamp if timestamp.contains("timestamp(") => vector(&[now_s()]),
        "several" => vector(&[1.0, 2.0]),
        "refused" => "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"parse error\"}".into(),
        "nothing" => vector(&[]),
        _ => vector(&[1.0]),
    })
    .await;
    let signals = [("several", "several"), ("refused", "refused"), ("nothing", "nothing")];
    let (rows, said) = heard_of(url, &signals, 30).await;
    assert!(rows.iter().all(|row| row.resource == "a.pool") && !rows.is_empty(), "{rows:?}");
    let count = |words: &str| said.iter().filter(|text| text.contains(words)).count();
    assert_eq!(count("yields 2 series, and one is needed"), 1, "{said:?}");
    assert_eq!(count("Prometheus refuses `refused`: parse error"), 1, "{said:?}");
    assert_eq!(count("no figure of nothing"), 1, "{said:?}");
    assert!(count("Look") >= 4, "{said:?}");
}
