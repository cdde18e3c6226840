//! Disaster and recovery: a store that was named stays, a backup that was taken under load brings all back that was acknowledged
//! before it, and what is no backup is refused.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::Remote;

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_target-app"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A served store; stopped when the test ends.
pub(crate) struct Shop {
    child: Child,
    pub(crate) remote: Remote,
}

impl Shop {
    pub(crate) fn of(arguments: &[&str]) -> Self {
        let mut child = command(&["serve", "baseline", "--listen", "127.0.0.1:0", "--exit-with-stdin"])
            .args(["--dial", "mongodb.service_time_ms=1", "--dial", "app.drain_ms=500"])
            .args(arguments)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let Some(address) = line.trim_end().strip_prefix("listening http://") else {
            let mut words = String::new();
            child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
            panic!("{words}");
        };
        let remote = Remote::at(address.parse().unwrap());
        child.stdout = Some(out.into_inner());
        Self { child, remote }
    }

    pub(crate) fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn ended(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = command(arguments).stdin(Stdio::null()).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Places orders until told to stop; each that was acknowledged is kept as it was told.
async fn order_on(
    remote: Remote,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<std::sync::Mutex<BTreeMap<u64, Value>>>,
) {
    for n in 0_u32.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let order =
            remote.post("/api/orders", &json!({"product_id": n % 1_000 + 1, "quantity": n % 9 + 1})).await;
        assert_eq!(order.status.as_u16(), 201, "{}", order.text);
        let order = order.json();
        acknowledged.lock().unwrap().insert(order["id"].as_u64().unwrap(), order);
    }
}

#[tokio::test]
async fn what_was_acknowledged_before_a_backup_under_load_comes_back() {
    let place = tempfile::tempdir().unwrap();
    let [shop, again, backup] = ["shop", "again", "backup.gz"].map(|name| place.path().join(name));
    let fleet = Shop::of(&["--replicas", "2", "--store", text(&shop)]);
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let remote = Remote::at(fleet.remote.address);
            tokio::spawn(order_on(remote, Arc::clone(&stop), Arc::clone(&acknowledged)))
        })
        .collect();
    let at_least = async |count| {
        for _ in 0..2_000 {
            if acknowledged.lock().unwrap().len() >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the load does not get on");
    };
    at_least(300).await;
    let before = acknowledged.lock().unwrap().clone();
    let written = tokio::task::spawn_blocking({
        let (from, to) = (text(&shop).to_owned(), text(&backup).to_owned());
        move || command(&["backup", "--from", &from, "--to", &to]).output().unwrap()
    });
    let written = written.await.unwrap();
    let words = String::from_utf8(written.stdout).unwrap();
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    assert!(words.contains(": 1000 products, 200 users, 0 leads, "), "{words}");
    let meanwhile = acknowledged.lock().unwrap().len();
    at_least(meanwhile + 100).await;
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    fleet.end();
    std::fs::remove_dir_all(&shop).unwrap();

    let restored = Shop::of(&["--store", text(&again), "--restore", text(&backup)]);
    for (id, order) in &before {
        assert_eq!(restored.remote.get(&format!("/api/orders/{id}")).await.json(), *order);
    }
    let database = Connection::open(again.join("shop.sqlite")).unwrap();
    let ask = |sql: &str| database.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(ask("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check != 'ok'"), 0);
    let whole = "doc ->> '$.id' = id AND doc ->> '$.status' = 'placed' AND doc ->> '$.total' > 0 AND doc ->> '$.product_id' > 0";
    assert_eq!(
        ask(&format!("SELECT count(*) FROM orders WHERE NOT ({whole})")),
        0,
        "an order is there whole or not at all"
    );
    let (orders, highest) = (ask("SELECT count(*) FROM orders"), ask("SELECT max(id) FROM orders"));
    assert!(
        orders >= i64::try_from(before.len()).unwrap() && highest >= orders,
        "{orders} of {}",
        before.len()
    );
    drop(database);
    let next = restored.remote.post("/api/orders", &json!({"product_id": 1})).await.json();
    // An id that was given to an order under way at that instant is not given again.
    assert!(next["id"].as_i64().unwrap() > highest);
    let user = json!({"email": "ada@shop.example", "password": "x"});
    assert_eq!(restored.remote.post("/api/users", &user).await.json()["id"], 201);
    restored.end();

    let kept = Shop::of(&["--store", text(&again)]);
    assert_eq!(
        kept.remote.get(&format!("/api/orders/{}", next["id"])).await.json(),
        next,
        "what was named stays"
    );
    kept.end();
    let passing = Shop::of(&["--replicas", "2", "--restore", text(&backup)]);
    assert_eq!(passing.remote.get("/api/orders/1").await.json(), before[&1]);
    passing.end();
}

/// A gzip file of this content.
fn packed(path: &Path, content: &[u8]) {
    let mut encoder = GzEncoder::new(std::fs::File::create(path).unwrap(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap();
}

#[test]
fn what_cannot_be_restored_or_backed_up_is_refused_with_the_reason() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    let name = |name: &str| text(&path(name)).to_owned();
    let shop = Shop::of(&["--store", &name("shop")]);
    let refused = |arguments: &[&str], code, reason: &str| {
        let (status, words) = ended(arguments);
        assert_eq!(status, Some(code), "{words}");
        assert!(words.starts_with("error: ") && words.contains(reason), "{reason:?} is not in {words:?}");
    };
    let serve = ["serve", "baseline", "--listen", "127.0.0.1:0"];
    let unserved = |arguments: &[&str], reason: &str| refused(&[&serve[..], arguments].concat(), 9, reason);
    for replicas in ["1", "2"] {
        unserved(&["--replicas", replicas, "--store", &name("shop")], "is served by another process");
    }
    unserved(&["--store", &name("shop")], "is served by another process");

    std::fs::create_dir(path("bare")).unwrap();
    let backup = |from: &str, to: &str| {
        let (from, to) = (name(from), name(to));
        move |code, reason: &str| refused(&["backup", "--from", &from, "--to", &to], code, reason)
    };
    backup("bare", "a.gz")(9, "holds no store");
    backup("nowhere", "a.gz")(9, "holds no store");
    backup("shop", "nowhere/a.gz")(9, "No such file or directory");
    assert_eq!(ended(&["backup", "--from", &name("shop"), "--to", &name("good.gz")]).0, Some(0));
    backup("shop", "good.gz")(9, "is there already");
    refused(&["backup", "--from", "mongodb://ada:geheim@host/shop", "--to", &name("a.gz")], 2, "mongodump");
    shop.end();

    std::fs::write(path("text.gz"), "not packed").unwrap();
    packed(&path("letter.gz"), b"Dear Sir or Madam");
    let good = std::fs::read(path("good.gz")).unwrap();
    std::fs::write(path("short.gz"), &good[..good.len() / 2]).unwrap();
    for (file, marks) in [
        ("newer", "PRAGMA application_id = 0x53686f70; PRAGMA user_version = 99"),
        ("other", "PRAGMA user_version = 1"),
    ] {
        let database = Connection::open(path(file)).unwrap();
        database.execute_batch(&format!("{marks}; CREATE TABLE t (a)")).unwrap();
        drop(database);
        packed(&path(&format!("{file}.gz")), &std::fs::read(path(file)).unwrap());
    }
    for (file, reason) in [
        ("text.gz", "is not a backup"),
        ("letter.gz", "is not a backup"),
        ("other.gz", "is not a backup"),
        ("short.gz", "is damaged: it is cut short"),
        ("newer.gz", "is a store of version 99, and this build reads version 3"),
        ("none.gz", "No such file or directory"),
    ] {
        for store in [&[][..], &["--store", &name("fresh")], &["--replicas", "2"]] {
            unserved(&[&["--restore", &name(file)], store].concat(), reason);
        }
        assert!(!path("fresh").join("shop.sqlite").exists(), "nothing is left of {file}");
    }
    unserved(&["--store", &name("shop"), "--restore", &name("good.gz")], "holds a store already");
    std::fs::write(path("bare").join("shop.sqlite"), "Dear Sir or Madam, ".repeat(100)).unwrap();
    unserved(&["--store", &name("bare")], "is not the file of a store");
}

/// Ids and how many they are.
fn ids(store: &Path, table: &str) -> (u32, Option<u32>, Option<u32>) {
    let sql = format!("SELECT count(*), min(id), max(id) FROM {table}");
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    Connection::open(store.join("shop.sqlite")).unwrap().query_row(&sql, [], row).unwrap()
}

#[tokio::test]
async fn of_what_comes_the_newest_is_kept_and_who_was_there_from_the_start_is_too() {
    let place = tempfile::tempdir().unwrap();
    let store = place.path().join("shop");
    for indexes in ["on", "off"] {
        let shop = Shop::of(&["--store", text(&store), "--dial", &format!("mongodb.indexes={indexes}")]);
        // As if so many had come by and by, the first of them since the start.
        let (_, _, last) = ids(&store, "users");
        let until = last.unwrap() + 150_000;
        let database = Connection::open(store.join("shop.sqlite")).unwrap();
        for table in ["leads", "orders", "users"] {
            let (columns, values) = if table == "users" { (", password_hash", ", ''") } else { ("", "") };
            let doc = "json_object('id', n, 'email', 'soak' || n || '@shop.example')";
            let sql = format!(
                "WITH RECURSIVE ids (n) AS (SELECT (SELECT coalesce(max(id), 0) + 1 FROM {table})
                    UNION ALL SELECT n + 1 FROM ids WHERE n < {until})
                 INSERT INTO {table} (id, doc, written_ms{columns}) SELECT n, {doc}, 1{values} FROM ids;
                 UPDATE sequences SET last = {until} WHERE collection = '{table}'"
            );
            database.execute_batch(&format!("PRAGMA busy_timeout = 10000; {sql}")).unwrap();
        }
        let new = json!({"email": format!("{indexes}@shop.example"), "password": "x", "message": "hello"});
        for path in ["/api/users", "/api/leads"] {
            assert_eq!(shop.remote.post(path, &new).await.status.as_u16(), 201, "{path}");
        }
        shop.remote.post("/api/orders", &json!({"product_id": 1})).await;
        for table in ["leads", "orders"] {
            assert_eq!(ids(&store, table), (100_000, Some(until - 99_998), Some(until + 1)), "{table}");
        }
        assert_eq!(ids(&store, "users"), (100_200, Some(1), Some(until + 1)));
        let seeded = json!({"email": "user200@shop.example", "password": "correct-horse"});
        assert_eq!(shop.remote.post("/api/login", &seeded).await.json()["user_id"], 200);
        assert_eq!(shop.remote.post("/api/login", &new).await.json()["user_id"], until + 1);
        shop.end();
    }
}
