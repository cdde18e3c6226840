//! Fixed records that every format is rendered from: a search whose numbers follow from a queueing model, a plain run, and the
//! unhappy ones. No number here was measured; each follows from the dials below, so a snapshot never changes by itself.

pub(crate) mod closed_system;
pub(crate) mod find;
pub(crate) mod find_otherwise;
pub(crate) mod run;

use plimsoll::record::rows::{
    End, Ended, EndpointEntry, Event, Host, Manifest, Progress, SaturationRow, TimelineRow,
};
use plimsoll::record::summary::{
    Counts, Generator, Lag, Latency, ReadError, RequestCounts, Summary, Verdict,
};
use plimsoll::report::Report;

/// An owned record, from which a [`Report`] borrows.
#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) manifest: Manifest,
    pub(crate) summary: Summary,
    pub(crate) timeline: Vec<TimelineRow>,
    pub(crate) saturation: Vec<SaturationRow>,
    pub(crate) events: Vec<Event>,
}

impl Record {
    pub(crate) fn report(&self) -> Report<'_> {
        Report {
            manifest: &self.manifest,
            summary: &self.summary,
            timeline: &self.timeline,
            saturation: &self.saturation,
            events: &self.events,
        }
    }
}

/// Every record by its name.
pub(crate) fn all() -> Vec<(&'static str, Record)> {
    vec![
        ("find", find::found()),
        ("find_guaranteed", find_otherwise::guaranteed()),
        ("find_predicted", find_otherwise::predicted()),
        ("find_confirmed", find_otherwise::confirmed()),
        ("find_uninstrumented", find_otherwise::uninstrumented()),
        ("find_no_good_level", find_otherwise::no_good_level()),
        ("find_never_bad", find_otherwise::never_bad()),
        ("find_undecided", find_otherwise::undecided()),
        ("find_invalid", find_otherwise::invalid()),
        ("find_interrupted", find_otherwise::interrupted()),
        ("run", run::mixed()),
        ("run_hostile", run::hostile()),
        ("run_target_lost", run::target_lost()),
        ("nothing", nothing()),
    ]
}

/// A run stopped before its first second: no level, no sample, no reading.
pub(crate) fn nothing() -> Record {
    let mut manifest = manifest("smoke", "run", 0.0);
    manifest.finished = false;
    manifest.ended = Some(Ended { how: End::Interrupted, reason: "stopped by ctrl-C".into() });
    let mut summary = summary("smoke", Verdict::Interrupted, 8, "stopped by ctrl-C before the first second");
    summary.generator.valid = true;
    Record { manifest, summary, timeline: vec![], saturation: vec![], events: vec![] }
}

pub(crate) fn manifest(scenario: &str, command: &str, duration_s: f64) -> Manifest {
    Manifest {
        schema: 1,
        tool_version: "0.1.0".into(),
        scenario: scenario.into(),
        scenario_path: format!("scenarios/{scenario}.yaml"),
        scenario_text: format!("name: {scenario}\ntarget: {{bundled: baseline}}\n"),
        scenario_sha256: "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4".into(),
        seed: 42,
        command: command.into(),
        started_utc: "2026-03-14T09:26:53Z".into(),
        duration_s,
        finished: true,
        host: Host {
            os: "Linux 6.8".into(),
            cpu: "AMD EPYC 7763".into(),
            cores: 2,
            memory_bytes: 8 * 1024 * 1024 * 1024,
        },
        target: "http://127.0.0.1:40211".into(),
        endpoints: vec![],
        phases: vec![],
        levels: vec![],
        think_s: Some(1.0),
        think_variation: None,
        requests_per_iteration: 1.0,
        self_timed: true,
        level_unit: None,
        thresholds: vec![],
        goals: vec![],
        search: None,
        signal_windows_s: Default::default(),
        progress: Progress::default(),
        ended: Some(Ended { how: End::Completed, reason: "the load came to its end".into() }),
        what_if: None,
    }
}

pub(crate) fn summary(scenario: &str, verdict: Verdict, exit_code: u8, reason: &str) -> Summary {
    Summary {
        schema: 1,
        scenario: scenario.into(),
        verdict,
        exit_code,
        reason: reason.into(),
        counts: Counts::default(),
        requests: RequestCounts::default(),
        interrupted_age_ms: None,
        clock_offset_ms: None,
        load_line: None,
        bottleneck: None,
        ladder: vec![],
        checks: vec![],
        what_if: None,
        levels: vec![],
        endpoints: vec![],
        thresholds: vec![],
        generator: Generator {
            valid: true,
            agents: 1,
            shards: 2,
            cpu_ratio: 0.18,
            cores: 0.21,
            run_queue_ratio: Some(0.012),
            steal_ratio: Some(0.002),
            dispatch_lag_ms: Lag { p50: 0.03, p99: 0.41, max: 2.1 },
            loop_lag_ms: Lag { p50: 0.05, p99: 0.62, max: 2.4 },
            read_error_ms: Some(ReadError { count: 1_312, p50: 0.012, p99: 0.19, max: 1.4 }),
            socket_errors: 0,
            pss_bytes_max: 48 * 1024 * 1024,
            sockets_max: 806,
        },
        failures: vec![],
        warnings: vec![],
    }
}

pub(crate) fn endpoint(name: &str, protocol: &str, route: &str) -> EndpointEntry {
    EndpointEntry { name: name.into(), protocol: protocol.into(), route: route.into(), key: None }
}

pub(crate) fn event(t_s: f64, kind: &str, text: &str) -> Event {
    Event { t_s, kind: kind.into(), text: text.into(), fields: serde_json::Map::new() }
}

/// Puts one odd number wherever the record holds a measured one.
pub(crate) fn make_odd(record: &mut Record, odd: f64) {
    let latency = Latency { p50: odd, p90: odd, p95: odd, p99: odd, p99_9: odd, max: odd, mean: odd };
    let summary = &mut record.summary;
    for level in &mut summary.levels {
        (level.level, level.users, level.throughput_per_s, level.error_ratio) = (odd, odd, odd, odd);
        (level.response_ms, level.service_ms, level.residual_ratio) = (latency, latency, Some(odd));
        for r in level.resources.values_mut() {
            (r.used, r.limit, r.waiting, r.utilization, r.full_ratio) =
                (odd, Some(odd), Some(odd), Some(odd), odd);
        }
    }
    for endpoint in &mut summary.endpoints {
        (endpoint.response_ms, endpoint.service_ms) = (latency, latency);
        endpoint.curve.iter_mut().for_each(|point| *point = [odd; 3]);
    }
    summary.thresholds.iter_mut().for_each(|threshold| threshold.value = Some(odd));
    if let Some(line) = &mut summary.load_line {
        (line.typical, line.interval) = (Some(odd), [Some(odd); 2]);
    }
    if let Some(b) = &mut summary.bottleneck {
        (b.used, b.limit, b.waiting, b.onset, b.onset_interval) =
            (Some(odd), Some(odd), Some(odd), Some(odd), Some([odd; 2]));
        (b.latency_knee, b.latency_knee_interval) = (Some(odd), Some([odd; 2]));
        (b.share_of_added_latency, b.probability) = (Some(odd), Some(odd));
        b.next.iter_mut().for_each(|wall| (wall.at, wall.extrapolated) = (odd, odd));
    }
    for rung in &mut summary.ladder {
        (rung.at, rung.interval, rung.factor) = (Some(odd), Some([odd; 2]), Some(odd));
    }
    for check in &mut summary.checks {
        (check.level, check.residual, check.bound) = (Some(odd), odd, odd);
    }
    if let Some(what_if) = &mut summary.what_if {
        let line = &mut what_if.load_line;
        (line.typical, line.interval, line.confidence) = (odd, [odd; 2], odd);
        (what_if.gain, what_if.factor, what_if.calibration) = (odd, odd, odd);
        what_if.changes.iter_mut().for_each(|change| (change.from, change.to) = (odd, odd));
        what_if.next.iter_mut().for_each(|next| next.at = odd);
        if let Some(confirmed) = &mut what_if.confirmed {
            (confirmed.typical, confirmed.interval) = (odd, [Some(odd); 2]);
            confirmed.observed_over_predicted = odd;
        }
    }
    let manifest = &mut record.manifest;
    manifest.duration_s = odd;
    manifest.phases.iter_mut().for_each(|phase| (phase.from_s, phase.to_s) = (odd, odd));
    manifest.levels.iter_mut().for_each(|level| (level.level, level.from_s, level.to_s) = (odd, odd, odd));
    record.timeline.iter_mut().for_each(|row| (row.t_s, row.p50, row.p99) = (odd, odd, odd));
    for row in &mut record.saturation {
        (row.t_s, row.used, row.utilization) = (odd, odd, Some(odd));
    }
    record.events.iter_mut().for_each(|event| event.t_s = odd);
}
