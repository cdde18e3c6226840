//! What the generator says of itself, in words: how busy it was, how late, and by how much its own reading of responses is off.

use super::numbers::{count, ms, percent};
use crate::record::summary::{ClockOffset, Generator, Lag, ReadError};

/// One line for the terminal and the pull request.
pub fn line(generator: &Generator) -> String {
    let without_core = generator
        .run_queue_ratio
        .map_or_else(String::new, |ratio| format!(", {} without a core", percent(ratio)));
    let stolen = stolen(generator)
        .map_or_else(String::new, |ratio| format!(", {} of all cores' time stolen", percent(ratio)));
    format!(
        "busiest shard {} busy{without_core}{stolen}; dispatch lag p99 {}, max {}; {}",
        percent(generator.cpu_ratio),
        ms(generator.dispatch_lag_ms.p99),
        ms(generator.dispatch_lag_ms.max),
        read_error(generator.read_error_ms.as_ref())
    )
}

/// What a hypervisor took, where it took any worth telling: a tenth of a percent.
pub fn stolen(generator: &Generator) -> Option<f64> {
    generator.steal_ratio.filter(|&ratio| ratio >= 0.001)
}

/// What stands where there is no read error.
pub const NO_STAMPS: &str = "kernel timestamps not available";

fn read_error(error: Option<&ReadError>) -> String {
    match error {
        None => format!("read error unknown ({NO_STAMPS})"),
        Some(error) => format!(
            "read error p50 {}, p99 {}, max {} ({} reads)",
            ms(error.p50),
            ms(error.p99),
            ms(error.max),
            count(error.count)
        ),
    }
}

/// `interrupted at an age of 31 s at p50, 40.2 s at most`; nothing when nothing was.
pub fn interrupted_age(age: Option<&Lag>) -> Option<String> {
    let age = age?;
    Some(format!(
        "interrupted iterations had reached an age of {} at p50, {} at most",
        ms(age.p50),
        ms(age.max)
    ))
}

/// What lags are taken with, where there are any: `Our clock is ahead of the target's by −0.3 ms to 0.2 ms`.
pub fn clocks(offset: Option<&ClockOffset>) -> Option<String> {
    let ClockOffset { low, high } = offset?;
    Some(format!(
        "Our clock is ahead of the target's by {} to {}, and lags hold that much of it",
        ms(*low),
        ms(*high)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_said() {
        let mut generator = Generator { cpu_ratio: 0.314, ..Generator::default() };
        insta::assert_snapshot!(line(&generator), @"busiest shard 31 % busy; dispatch lag p99 0 ms, max 0 ms; read error unknown (kernel timestamps not available)");
        (generator.run_queue_ratio, generator.steal_ratio) = (Some(0.02), Some(0.054));
        generator.read_error_ms = Some(ReadError { count: 1234, p50: 0.012, p99: 0.3, max: 1.25 });
        insta::assert_snapshot!(line(&generator), @"busiest shard 31 % busy, 2 % without a core, 5.4 % of all cores' time stolen; dispatch lag p99 0 ms, max 0 ms; read error p50 0.012 ms, p99 0.3 ms, max 1.25 ms (1,234 reads)");
        assert_eq!(interrupted_age(None), None);
        insta::assert_snapshot!(clocks(Some(&ClockOffset { low: -0.31, high: 0.2 })).expect("words"), @"Our clock is ahead of the target's by −0.31 ms to 0.2 ms, and lags hold that much of it");
    }
}
