//! Progress as lines on standard error: one that is rewritten every second on a terminal, one every few seconds in a log.

use crate::record::rows::{Event, SaturationRow};
use crate::run::{Tick, Watcher};
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};

/// Seconds between lines where they are not rewritten.
const LOG_INTERVAL_S: u64 = 5;

/// Lines under way to a terminal or log that is slow to take them; past it they are dropped.
const LINES_UNDER_WAY_MAX: usize = 64;

/// A writer that never waits: what is written up to a flush goes out as one piece, or not at all while the other end is stuck.
pub struct Courtesy {
    pending: Vec<u8>,
    pieces: SyncSender<Vec<u8>>,
}

impl Courtesy {
    /// Lends `body` a writer onto `out`, which a thread of its own writes to. A terminal that is held (ctrl-S) or a log whose reader sleeps
    /// then holds up nothing in `body`; only the return waits until what is under way has gone out.
    pub fn onto<T>(out: &mut (dyn Write + Send), body: impl FnOnce(Self) -> T) -> T {
        std::thread::scope(|scope| {
            let (pieces, under_way) = sync_channel::<Vec<u8>>(LINES_UNDER_WAY_MAX);
            scope.spawn(move || {
                for piece in under_way {
                    // Progress is a courtesy: a terminal that has gone away must not end a run.
                    let _ = out.write_all(&piece).and_then(|()| out.flush());
                }
            });
            body(Self { pending: Vec::new(), pieces })
        })
    }
}

impl Write for Courtesy {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let _dropped_when_full = self.pieces.try_send(std::mem::take(&mut self.pending));
        Ok(())
    }
}

pub struct Lines<W: Write> {
    out: W,
    /// Rewrite the line in place.
    terminal: bool,
    quiet: bool,
    /// Columns of the line on the screen that a shorter one has to blank.
    shown: usize,
}

impl<W: Write> Lines<W> {
    pub fn new(out: W, terminal: bool, quiet: bool) -> Self {
        Self { out, terminal, quiet, shown: 0 }
    }

    /// Leaves the line that was being rewritten.
    pub fn end(&mut self) {
        if self.shown > 0 {
            let _ = writeln!(self.out);
            let _ = self.out.flush();
            self.shown = 0;
        }
    }

    /// Progress is a courtesy: a terminal that has gone away must not end a run.
    fn say(&mut self, text: &str) {
        let blank = " ".repeat(self.shown.saturating_sub(text.chars().count()));
        let _ =
            if self.terminal { write!(self.out, "\r{text}{blank}\n") } else { writeln!(self.out, "{text}") };
        self.shown = 0;
        let _ = self.out.flush();
    }
}

impl<W: Write> Watcher for Lines<W> {
    fn started(&mut self, target: &str, dir: &Path) {
        if !self.quiet {
            self.say(&format!("target  {target}"));
            self.say(&format!("record  {}", dir.display()));
        }
    }

    fn second(&mut self, tick: &Tick<'_>) {
        if self.quiet {
            return;
        }
        let line = progress(tick);
        if self.terminal {
            let width = line.chars().count();
            let blank = " ".repeat(self.shown.saturating_sub(width));
            let _ = write!(self.out, "\r{line}{blank}");
            let _ = self.out.flush();
            self.shown = width;
        } else if tick.t_s.is_multiple_of(LOG_INTERVAL_S) {
            self.say(&line);
        }
    }

    fn event(&mut self, event: &Event) {
        let told = matches!(event.kind.as_str(), "search" | "abort" | "target" | "probe");
        if told && !self.quiet {
            self.say(&format!("{}  {}", clock(event.t_s as u64), event.text));
        }
    }
}

/// `02:31  level 512 judging   512 users   497/s   p50 21 ms   p99 64 ms   mongodb.pool 10/10, 3 waiting`
fn progress(tick: &Tick<'_>) -> String {
    let mut line = clock(tick.t_s);
    if let Some(end_s) = tick.end_s {
        line.push_str(&format!(" of {}", clock(end_s)));
    }
    match tick.level {
        Some((level, true)) => line.push_str(&format!("  level {level} judging ")),
        Some((level, false)) => line.push_str(&format!("  level {level} settling")),
        None => {}
    }
    line.push_str(&format!("  {} users  {:.0}/s", tick.users, tick.completed_per_s));
    line.push_str(&format!("  p50 {}  p99 {}", ms(tick.p50_ms), ms(tick.p99_ms)));
    if tick.failed_per_s > 0.0 {
        line.push_str(&format!("  {:.0} failed/s", tick.failed_per_s));
    }
    if tick.counts.dropped > 0 {
        line.push_str(&format!("  {} dropped", tick.counts.dropped));
    }
    for reading in tick.readings.iter().filter(|reading| reading.limit.is_some()) {
        line.push_str(&format!("  {}", resource(reading)));
    }
    line
}

fn resource(reading: &SaturationRow) -> String {
    let limit = reading.limit.unwrap_or(0.0);
    if reading.kind == "pool" {
        let waiting = reading.waiting.unwrap_or(0.0);
        format!("{} {:.0}/{limit:.0}, {waiting:.0} waiting", reading.resource, reading.used)
    } else {
        format!("{} {:.0} %", reading.resource, reading.utilization.unwrap_or(0.0) * 100.0)
    }
}

fn ms(value: f64) -> String {
    if value >= 9.95 { format!("{value:.0} ms") } else { format!("{value:.1} ms") }
}

fn clock(seconds: u64) -> String {
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::summary::Counts;

    #[test]
    fn a_second_is_one_plain_line() {
        let pool = SaturationRow {
            t_s: 151.0,
            resource: "mongodb.pool".into(),
            kind: "pool".into(),
            used: 9.96,
            limit: Some(10.0),
            waiting: Some(3.2),
            utilization: Some(0.996),
            errors: None,
            visits: None,
            wait_s: None,
            hold_s: None,
        };
        let tick = Tick {
            t_s: 151,
            end_s: None,
            level: Some((512.0, true)),
            users: 512,
            completed_per_s: 497.2,
            failed_per_s: 0.0,
            p50_ms: 21.3,
            p99_ms: 64.4,
            counts: &Counts::default(),
            readings: std::slice::from_ref(&pool),
        };
        insta::assert_snapshot!(progress(&tick), @"02:31  level 512 judging   512 users  497/s  p50 21 ms  p99 64 ms  mongodb.pool 10/10, 3 waiting");
    }

    /// A log whose reader sleeps until the test lets it go on.
    struct Stuck {
        go_on: std::sync::mpsc::Receiver<()>,
        written: Vec<u8>,
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            // An error means that the test has let everything go on.
            let _ = self.go_on.recv();
            self.written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_terminal_holds_up_nothing_and_loses_only_lines() {
        let (let_go, go_on) = std::sync::mpsc::channel();
        let mut stuck = Stuck { go_on, written: Vec::new() };
        Courtesy::onto(&mut stuck, |out| {
            let mut lines = Lines::new(out, false, false);
            for t_s in 0..10 * LINES_UNDER_WAY_MAX {
                lines.say(&format!("{t_s}"));
            }
            // Only now does the other end take anything: had a line waited for it, the test would not get here.
            drop(let_go);
        });
        let written = String::from_utf8(stuck.written).expect("text");
        let count = written.lines().count();
        assert!((LINES_UNDER_WAY_MAX..=LINES_UNDER_WAY_MAX + 1).contains(&count), "{count} lines");
        assert!(written.starts_with("0\n1\n2\n"), "whole lines in their order");
    }
}
