//! Plain runs, without levels: six endpoints of two protocols, the same with names that attack, and one whose target went away.

use super::{Record, endpoint, event, manifest, summary};
use plimsoll::record::rows::{End, Ended, PhaseMark, SaturationRow, TimelineRow};
use plimsoll::record::summary::{
    ClockOffset, Counts, EndpointResult, Failure, Lag, Latency, RequestCounts, ThresholdResult, Verdict,
    Warning,
};

const DURATION_S: u32 = 120;
const RAMP_S: f64 = 40.0;
const QUANTILES: [f64; 12] = [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 1.0];

/// (name, protocol, route, requests per second at the peak, median ms, failures in all)
type Kind = (&'static str, &'static str, &'static str, f64, f64, u64);
const ENDPOINTS: [Kind; 6] = [
    ("home", "http", "GET /", 210.0, 1.9, 0),
    ("product list", "http", "GET /api/products", 180.0, 6.2, 0),
    ("product", "http", "GET /api/products/{id}", 320.0, 3.4, 4),
    ("order", "http", "POST /api/orders", 42.0, 18.5, 31),
    ("stock", "ws", "GET /ws", 12.0, 2.2, 0),
    ("stock.lag", "ws.lag", "GET /ws", 600.0, 0.8, 0),
];

pub(crate) fn mixed() -> Record {
    let mut manifest = manifest("shop", "run", f64::from(DURATION_S));
    manifest.endpoints = ENDPOINTS.iter().map(|e| endpoint(e.0, e.1, e.2)).collect();
    let phase = |name: &str, from_s, to_s| PhaseMark { name: name.into(), from_s, to_s };
    manifest.phases =
        vec![phase("ramp", 0.0, RAMP_S), phase("peak", RAMP_S, 100.0), phase("cooldown", 100.0, 120.0)];
    manifest.thresholds = vec!["p99(http) < 100ms".into(), "error_rate < 0.01%".into()];
    let mut record = Record {
        summary: summary("shop", Verdict::Fail, 1, "error_rate < 0.01% failed: it was 0.04 %"),
        manifest,
        timeline: vec![],
        saturation: vec![],
        events: vec![
            event(0.0, "phase", "ramp"),
            event(RAMP_S, "phase", "peak"),
            event(100.0, "phase", "cooldown"),
        ],
    };
    for second in 0..DURATION_S {
        add_second(&mut record, f64::from(second) + 1.0);
    }
    conclude(&mut record);
    record
}

fn share_of_peak(t_s: f64) -> f64 {
    match t_s {
        t if t < RAMP_S => t / RAMP_S,
        t if t < 100.0 => 1.0,
        t => (1.0 - (t - 100.0) / 25.0).max(0.2),
    }
}

fn add_second(record: &mut Record, t_s: f64) {
    let load = share_of_peak(t_s) * (1.0 + 0.02 * (t_s * 1.3).sin());
    for (name, _, _, per_s, median, failed) in ENDPOINTS {
        let sent = (per_s * load).round() as u64;
        let at =
            |factor: f64| median * factor * (0.8 + 0.3 * load) * (1.0 + 0.05 * (t_s * 2.1 + median).sin());
        record.timeline.push(TimelineRow {
            t_s,
            endpoint: name.into(),
            users: (800.0 * load).round() as u64,
            offered: (95.0 * load).round() as u64,
            sent,
            completed: sent,
            failed: u64::from(failed > 0 && (t_s as u64).is_multiple_of(23)),
            dropped: u64::from((60.0..62.0).contains(&t_s)) * 7,
            p50: at(1.0),
            p90: at(1.9),
            p99: at(4.6),
            p99_9: at(9.0),
            max: at(14.0),
            service_p50: at(0.97),
            service_p99: at(4.1),
            service_max: at(12.0),
            bytes_received: sent * 900,
            bytes_sent: sent * 150,
        });
    }
    let reading = |resource: &str, kind: &str, used: f64, limit: f64, waiting| SaturationRow {
        t_s,
        resource: resource.into(),
        kind: kind.into(),
        used,
        limit: Some(limit),
        waiting,
        utilization: Some(used / limit),
        errors: None,
        visits: None,
        wait_s: None,
        hold_s: None,
    };
    record.saturation.push(reading("mongodb.pool", "pool", 6.1 * load, 10.0, Some(0.0)));
    record.saturation.push(reading("app.cpu", "cpu", 1.3 * load, 2.0, None));
}

fn conclude(record: &mut Record) {
    let summary = &mut record.summary;
    for (name, protocol, _, _, median, failed) in ENDPOINTS {
        let count: u64 = record.timeline.iter().filter(|row| row.endpoint == name).map(|row| row.sent).sum();
        // A tail that grows with every nine, as tails do.
        let at =
            |q: f64, wait: f64| median * (0.6 + 0.25 * (1.0 / (1.0 - q.min(0.99999))).ln()).powf(1.6) * wait;
        let latency = |wait: f64| Latency {
            p50: at(0.5, wait),
            p90: at(0.9, wait),
            p95: at(0.95, wait),
            p99: at(0.99, wait),
            p99_9: at(0.999, wait),
            max: at(1.0, wait),
            mean: at(0.6, wait),
        };
        summary.endpoints.push(EndpointResult {
            name: name.into(),
            protocol: protocol.into(),
            count,
            failed,
            response_ms: latency(1.08),
            service_ms: latency(1.0),
            curve: QUANTILES.iter().map(|&q| [q, at(q, 1.0 + 0.08 * q), at(q, 1.0)]).collect(),
        });
    }
    let sent: u64 = summary.endpoints.iter().filter(|e| e.protocol != "ws.lag").map(|e| e.count).sum();
    summary.counts =
        Counts { planned: 10_204, completed: 10_140, failed: 35, dropped: 14, interrupted: 15, lost: 0 };
    summary.clock_offset_ms = Some(ClockOffset { low: -0.412, high: 0.288 });
    summary.interrupted_age_ms = Some(Lag { p50: 2_140.0, p99: 9_870.0, max: 10_020.0 });
    summary.requests = RequestCounts {
        sent,
        ok: sent - 35 - 12,
        failed: 35,
        interrupted: 12,
        bytes_sent: sent * 150,
        bytes_received: sent * 900,
        connections_opened: 812,
        ..RequestCounts::default()
    };
    let threshold = |text: &str, value, result: &str, note: Option<&str>| ThresholdResult {
        text: text.into(),
        value,
        samples: if value.is_some() { sent } else { 0 },
        result: result.into(),
        note: note.map(Into::into),
    };
    summary.thresholds = vec![
        threshold("p99(http) < 100ms", Some(57.3), "pass", None),
        threshold("error_rate < 0.01%", Some(0.000_41), "fail", None),
        threshold("p99(ws.login) < 50ms", None, "not_evaluated", Some("no sample of ws.login in the run")),
    ];
    let failure = |endpoint: &str, kind: &str, text: &str, count| Failure {
        endpoint: endpoint.into(),
        kind: kind.into(),
        text: text.into(),
        count,
    };
    summary.failures = vec![
        failure("order", "status", "409 where 201 was expected", 31),
        failure("product", "timeout", "no answer within 10 s", 4),
    ];
    summary.warnings = vec![Warning {
        code: "few_samples".into(),
        text: "p99.9 of stock rests on 1 sample".into(),
        remedy: "run for longer, or judge p99".into(),
    }];
}

/// The same run against a target, and from a scenario, that wish the reader ill.
pub(crate) fn hostile() -> Record {
    let mut record = mixed();
    let script = "<script>alert('x')</script>\"&";
    let long = "very-long-name-".repeat(40);
    let renames: [(&str, &str); 4] = [
        ("home", script),
        ("product list", &long),
        ("product", "Übergröße ✨ 商品一覧 \u{202e}desrever"),
        ("order", "| a `b` @everyone \u{1b}[31mred\r\n\u{0}"),
    ];
    for (old, new) in renames {
        record
            .timeline
            .iter_mut()
            .filter(|row| row.endpoint == old)
            .for_each(|row| row.endpoint = new.into());
        record.summary.endpoints.iter_mut().filter(|e| e.name == old).for_each(|e| e.name = new.into());
        record.manifest.endpoints.iter_mut().filter(|e| e.name == old).for_each(|e| e.name = new.into());
        record
            .summary
            .failures
            .iter_mut()
            .filter(|f| f.endpoint == old)
            .for_each(|f| f.endpoint = new.into());
    }
    record.saturation.iter_mut().filter(|r| r.resource == "app.cpu").for_each(|r| r.resource = script.into());
    record.saturation[0].utilization = Some(f64::NAN);
    record.timeline[0].p99 = f64::INFINITY;
    record.summary.scenario = script.into();
    record.summary.reason = format!("{script} </style></svg> {long}");
    record.summary.failures[0].text =
        "\u{1b}]0;owned\u{7} ]]> </testcase> <img src=x onerror=alert(1)>".into();
    record.summary.warnings[0].text = "[click](javascript:alert(1)) <b>".into();
    record.summary.thresholds[2].note = Some("<!-- --> |".into());
    record.manifest.scenario_text = format!("name: {script}\n# </pre></details> \u{1b}[2J\n");
    record.manifest.host.cpu = script.into();
    record.manifest.phases[0].name = script.into();
    record.events.push(event(50.0, "target", script));
    record
}

pub(crate) fn target_lost() -> Record {
    let mut record = mixed();
    record.timeline.retain(|row| row.t_s <= 47.0);
    record.saturation.retain(|row| row.t_s <= 45.0);
    record.manifest.duration_s = 47.0;
    record.manifest.phases.truncate(2);
    record.manifest.phases[1].to_s = 47.0;
    record.manifest.ended =
        Some(Ended { how: End::TargetLost, reason: "connection refused for 10 s".into() });
    record.events.push(event(44.0, "target", "connection refused by 127.0.0.1:40211"));
    record.summary.verdict = Verdict::TargetLost;
    record.summary.exit_code = 6;
    record.summary.reason = "connection refused by 127.0.0.1:40211 for 10 s".into();
    record.summary.endpoints.truncate(3);
    record.summary.endpoints[2].count = 0;
    record.summary.endpoints[2].curve.clear();
    record
}
