//! `histograms.hlog`: the interval log of the HdrHistogram project (V2, deflated), one line a second, endpoint and clock. Any tool
//! that reads such logs opens it, and percentiles over any span are computed from it exactly as the run itself would have.

use crate::measure::histogram::{Histogram, Sparse};
use crate::threshold::Which;
use hdrhistogram::serialization::interval_log::{
    IntervalLogIterator, IntervalLogWriterBuilder, LogEntry, Tag,
};
use hdrhistogram::serialization::{Deserializer, V2DeflateSerializer};
use std::time::Duration;

/// One line of the log.
#[derive(Clone, Debug)]
pub struct Interval {
    pub endpoint: String,
    pub clock: Which,
    pub start_s: f64,
    pub end_s: f64,
    pub histogram: Sparse,
}

/// Turns histograms into lines; keeps the serializer's buffers between seconds.
pub struct Encoder {
    serializer: V2DeflateSerializer,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { serializer: V2DeflateSerializer::new() }
    }
}

impl Encoder {
    /// The lines that a log starts with.
    pub fn header(started_utc: &str) -> String {
        format!(
            "#[Plimsoll run started {started_utc}; intervals in seconds from there, values in ns]\n#[Histogram log format version 1.3]\n#[BaseTime: 0.000 (seconds since epoch)]\n\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n"
        )
    }

    /// Appends one line to `out`.
    ///
    /// # Errors
    /// When the crate cannot encode the histogram; its own message.
    pub fn append(
        &mut self,
        out: &mut Vec<u8>,
        endpoint: &str,
        clock: Which,
        start_s: u64,
        end_s: u64,
        histogram: &Histogram,
    ) -> Result<(), String> {
        let tag = tag(endpoint, clock);
        let mut writer = IntervalLogWriterBuilder::new()
            .begin_log_with(out, &mut self.serializer)
            .map_err(|error| error.to_string())?;
        writer
            .write_histogram(
                histogram.hdr(),
                Duration::from_secs(start_s),
                Duration::from_secs(end_s.saturating_sub(start_s)),
                Tag::new(&tag),
            )
            .map_err(|error| error.to_string())
    }
}

/// Reads a log. A last line that was cut off by a crash is passed over: every line before it stands.
///
/// # Errors
/// The line number of a line that is not one of ours, with what is wrong.
pub fn parse(bytes: &[u8]) -> Result<Vec<Interval>, String> {
    let complete = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    let mut deserializer = Deserializer::new();
    let mut intervals = Vec::new();
    // The crate takes a column header for a broken interval; it is the one line starting with a quote.
    for (number, line) in bytes[..complete].split_inclusive(|&byte| byte == b'\n').enumerate() {
        if line.first() == Some(&b'"') || line.first() == Some(&b'#') {
            continue;
        }
        for entry in IntervalLogIterator::new(line) {
            let entry = entry.map_err(|error| format!("line {}: {error:?}", number + 1))?;
            if let LogEntry::Interval(interval) = entry {
                let encoded = decode_base64(interval.encoded_histogram())
                    .map_err(|error| format!("line {}: {error}", number + 1))?;
                let histogram = deserializer
                    .deserialize(&mut encoded.as_slice())
                    .map_err(|error| format!("line {}: {error}", number + 1))?;
                let (endpoint, clock) = interval
                    .tag()
                    .and_then(|tag| untag(tag.as_str()))
                    .ok_or_else(|| format!("line {}: no tag `endpoint:clock`", number + 1))?;
                let start_s = interval.start_timestamp().as_secs_f64();
                intervals.push(Interval {
                    endpoint,
                    clock,
                    start_s,
                    end_s: start_s + interval.duration().as_secs_f64(),
                    histogram: Sparse::from(&Histogram::from_hdr(histogram)),
                });
            }
        }
    }
    Ok(intervals)
}

fn decode_base64(text: &str) -> Result<Vec<u8>, String> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).map_err(|error| error.to_string())
}

/// `GET%20/api/products:response`: tags must not hold commas or white space.
fn tag(endpoint: &str, clock: Which) -> String {
    let mut tag = String::with_capacity(endpoint.len() + 10);
    for byte in endpoint.chars() {
        match byte {
            ' ' | ',' | '\r' | '\n' | '%' => tag.push_str(&format!("%{:02X}", byte as u32)),
            other => tag.push(other),
        }
    }
    tag.push_str(match clock {
        Which::Response => ":response",
        Which::Service => ":service",
    });
    tag
}

fn untag(tag: &str) -> Option<(String, Which)> {
    let (name, clock) = tag.rsplit_once(':')?;
    let clock = match clock {
        "response" => Which::Response,
        "service" => Which::Service,
        _ => return None,
    };
    let mut endpoint = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find('%') {
        endpoint.push_str(&rest[..at]);
        let code = u8::from_str_radix(rest.get(at + 1..at + 3)?, 16).ok()?;
        endpoint.push(char::from(code));
        rest = &rest[at + 3..];
    }
    endpoint.push_str(rest);
    Some((endpoint, clock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_bucket_by_bucket() {
        let mut histogram = Histogram::new();
        (1..5_000u64).for_each(|n| histogram.record(n * n * 31));
        let mut encoder = Encoder::default();
        let mut log = Encoder::header("2026-01-01T00:00:00Z").into_bytes();
        for (second, name) in [(0, "GET /api/products, 100%"), (1, "produit: été")] {
            encoder.append(&mut log, name, Which::Service, second, second + 1, &histogram).expect("encodes");
        }
        let whole = log.len();
        log.extend_from_slice(b"Tag=x:response,2.000,1.0");
        let read = parse(&log).expect("parses");
        assert_eq!(read.len(), 2, "a line cut off by a crash is passed over");
        assert_eq!(read[0].endpoint, "GET /api/products, 100%");
        assert_eq!((read[1].endpoint.as_str(), read[1].start_s, read[1].end_s), ("produit: été", 1.0, 2.0));
        assert_eq!(Histogram::from(&read[0].histogram).hdr(), histogram.hdr());
        assert!(parse(&log[..whole]).is_ok());
        assert!(parse(b"Tag=x:response,zero,1.0,1.0,AAAA\n").is_err());
    }
}
