//! The truth to hold the engine against: a server that keeps its own log of every request, with the kernel's stamp of its arrival, and an
//! engine run against it. The log knows nothing of what the engine measured. Shared by the tests and by `benches/accuracy`.

pub(crate) mod bare;
pub(crate) mod carried;
pub(crate) mod server;

/// The value at quantile `q` of these, by the same rule as the histograms: the smallest that `q` of them do not exceed.
pub(crate) fn quantile(sorted: &[u64], q: f64) -> u64 {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(0)
}

pub(crate) fn sorted(values: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values
}
