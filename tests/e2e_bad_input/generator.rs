//! Generators that really fall behind, each in its own way: the verdict is INVALID, and the words name the limit, its value, when, and what
//! to do. And a closed load that hides a stall, which is no fault of the generator but must be said.

use super::e2e::folder::{Folder, sound};
use super::e2e::invocation::{Invocation, run_at};
use super::e2e::{scratch, servers};
use plimsoll::record::summary::{Verdict, Warning};
use std::process::{Child, Command};
use std::time::Duration;

fn busy() -> Invocation {
    run_at("busy.yaml", servers::slow(Duration::ZERO)).arg("--shards").arg("1")
}

fn warning<'a>(folder: &'a Folder, code: &str) -> &'a Warning {
    let found = folder.summary.warnings.iter().find(|warning| warning.code == code);
    found.unwrap_or_else(|| panic!("no {code} in {:?}", folder.summary.warnings))
}

#[test]
fn a_thread_above_its_limits_is_named_with_the_value_and_when() {
    let dir = scratch();
    let done = busy()
        .set("safety.generator.cpu", "2%")
        .set("safety.generator.read_error_p99", "1us")
        .out(dir.path())
        .run()
        .exits(3);
    done.says("INVALID");
    done.says("read error p50");
    let folder = sound(dir.path());
    assert_eq!(folder.summary.verdict, Verdict::Invalid);
    let generator = &folder.summary.generator;
    let read = generator.read_error_ms.expect("this kernel stamps what it receives");
    let sent = folder.summary.requests.sent;
    assert!((sent / 110..=sent / 95).contains(&read.count), "about 1 % of {sent}: {}", read.count);
    assert!(read.p50 > 0.0 && read.p50 <= read.p99 && read.p99 <= read.max, "{read:?}");
    for (code, limit) in
        [("generator_cpu", "`safety.generator.cpu` (2 %)"), ("generator_read_error", "(0.001 ms), worst at ")]
    {
        let warning = warning(&folder, code);
        assert!(warning.text.contains(limit), "{}", warning.text);
        assert!(!warning.remedy.is_empty());
    }
    assert!(warning(&folder, "generator_cpu").text.contains(" s to "), "it says when");
    assert!(generator.pss_bytes_max > 1_000_000 && generator.cores >= generator.cpu_ratio, "{generator:?}");
}

/// A process that keeps a core busy until the value is dropped.
struct Burner(Child);

impl Burner {
    fn on(core: &str) -> Self {
        let spin = ["-c", core, "sh", "-c", "while :; do :; done"];
        Self(Command::new("taskset").args(spin).spawn().expect("taskset of util-linux"))
    }
}

impl Drop for Burner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_thread_that_others_keep_from_its_core_is_told() {
    let dir = scratch();
    let _others: Vec<Burner> = (0..4).map(|_| Burner::on("0")).collect();
    let done = busy()
        .set("safety.generator.run_queue", "30%")
        .out(dir.path())
        .under("taskset", &["-c", "0"])
        .run()
        .exits(3);
    done.says("without a core");
    let folder = sound(dir.path());
    let warning = warning(&folder, "generator_run_queue");
    assert!(warning.text.contains("`safety.generator.run_queue` (30 %)"), "{}", warning.text);
    let ratio = folder.summary.generator.run_queue_ratio.expect("this kernel tells");
    assert!(ratio > 0.3, "four others were on its core: {ratio}");
}

#[test]
fn a_process_without_descriptors_blames_itself() {
    let dir = scratch();
    let run = || {
        let run = busy().set("load.0.stages.0.to", "400").out(dir.path());
        run.under("sh", &["-c", "ulimit -n 100; exec \"$@\"", "sh"])
    };
    let refused = run().run().exits(2);
    refused.says("descriptors of a process: 536 needed, 100 there");
    let done = run().arg("--force").run().exits(3);
    sound(dir.path());
    done.says("no descriptor, port or socket memory left");
    let folder = sound(dir.path());
    assert!(folder.summary.generator.socket_errors > 100, "{:?}", folder.summary.generator);
    assert!(warning(&folder, "generator_sockets").remedy.contains("ulimit -n"));
}

#[test]
fn a_closed_load_that_hides_a_stall_says_so() {
    let dir = scratch();
    run_at("busy.yaml", servers::freezing(3_000, Duration::from_millis(1500))).out(dir.path()).run().exits(0);
    let folder = sound(dir.path());
    let hidden = warning(&folder, "stall_hidden");
    assert!(
        hidden.text.contains("of the users' time") && hidden.text.contains("requests/s"),
        "{}",
        hidden.text
    );
    assert!(hidden.remedy.contains("pacing"));
    let service = folder.endpoint("x").service_ms;
    assert!(service.p99 < 500.0 && service.max > 1_400.0, "what the warning is about: {service:?}");

    let dir = scratch();
    let steady = run_at("busy.yaml", servers::slow(Duration::from_millis(2))).out(dir.path()).run().exits(0);
    drop(steady);
    let folder = sound(dir.path());
    assert!(folder.summary.warnings.iter().all(|warning| warning.code != "stall_hidden"));
    let told = warning(&folder, "closed_loop");
    assert!(
        told.text.contains("requests/s achieved") && told.text.contains("waited for answers"),
        "{}",
        told.text
    );
}
