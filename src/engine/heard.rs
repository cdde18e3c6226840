//! Messages that came on a line, in the record: one that a step waited for, and one that was pushed while a step listened.

use super::line::Asked;
use super::shard::Shard;
use super::step::StepEnd;
use super::user::User;
use crate::clock::{self, Nanos};
use crate::endpoint::EndpointId;
use crate::measure::sample::{Outcome, Sample};
use crate::scenario::extract::{BodyCache, Extract, ExtractFailure, ResponseView};
use crate::scenario::plan::Pushed;

/// A message that is as a step wants it.
pub(super) struct Fitting<M> {
    pub(super) message: M,
    /// What it answers.
    pub(super) asked: Asked,
    pub(super) cache: BodyCache,
}

/// A message that a step waited for, from when it was asked for to its receipt.
pub(super) struct Awaited<'m> {
    pub(super) body: &'m [u8],
    pub(super) asked: Asked,
    pub(super) received_ns: Nanos,
    pub(super) bytes_received: u64,
}

/// A message as a listening step sees it.
pub(super) struct Heard<'m> {
    pub(super) body: &'m [u8],
    pub(super) received_ns: Nanos,
    pub(super) bytes_received: u64,
}

/// Records the lag of a pushed message and the gaps in its sequence, `last` being the number before it.
pub(super) fn heard(
    shard: &Shard,
    pushed: &Pushed,
    last: &mut Option<f64>,
    endpoint: EndpointId,
    message: &Heard<'_>,
    cache: &mut BodyCache,
) {
    let view = ResponseView::message(message.body);
    if let Some((endpoint, sent_at)) = &pushed.lag {
        match sent_at.number(&view, cache) {
            Ok(sent_ms) => lag(shard, *endpoint, sent_ms, message),
            Err(failure) => {
                shard.failed_message(*endpoint, Outcome::Extract, &failure.to_string());
            }
        }
    }
    let Some(sequence) = &pushed.sequence else { return };
    let number = match sequence.number(&view, cache) {
        Ok(number) => number,
        Err(failure) => {
            shard.failed_message(endpoint, Outcome::Extract, &failure.to_string());
            return;
        }
    };
    let before = last.replace(number);
    let text = match before {
        Some(before) if number <= before => {
            shard.recorder.borrow_mut().requests.streams.repeated += 1;
            "a pushed message came twice or out of order"
        }
        Some(before) if number > before + 1.0 => {
            // Saturating, as casts from floating point are: a number may be as large as JSON's are.
            let missing = &mut shard.recorder.borrow_mut().requests.streams.missing;
            *missing = missing.saturating_add((number - before - 1.0).round() as u64);
            "pushed messages are missing from the sequence"
        }
        _ => return,
    };
    shard.failed_message(endpoint, Outcome::Check, text);
}

/// Two clocks meet here: the server's and ours. On one machine they are one. Where they are not, the lag is off by their difference; what
/// would be below zero is recorded as zero and counted, which shows that they differ.
fn lag(shard: &Shard, endpoint: EndpointId, sent_ms: f64, message: &Heard<'_>) {
    let waited_ms = shard.clock.now().saturating_sub(message.received_ns) as f64 / 1e6;
    let lag_ms = clock::unix_ms_fine() - waited_ms - sent_ms;
    let mut recorder = shard.recorder.borrow_mut();
    recorder.requests.streams.early += u64::from(lag_ms < 0.0);
    // Saturating, as casts from floating point are.
    let lag_ns = (lag_ms * 1e6) as i64;
    let least = recorder.requests.streams.lag_ns_min.get_or_insert(lag_ns);
    *least = lag_ns.min(*least);
    recorder.record_message(&Sample {
        endpoint,
        // What was sent before the run began has no instant on its clock: only the difference counts.
        intended_ns: 0,
        sent_ns: 0,
        done_ns: lag_ns.max(0).cast_unsigned(),
        outcome: Outcome::Ok,
        bytes_sent: 0,
        bytes_received: message.bytes_received,
    });
}

impl User {
    /// A message that a step waited for: what it captures, and its time on both clocks.
    pub(super) fn answered(
        &mut self,
        shard: &Shard,
        endpoint: EndpointId,
        extracts: &[Extract],
        awaited: &Awaited<'_>,
        cache: &mut BodyCache,
    ) -> StepEnd {
        self.busy = true;
        self.intended_ns = None;
        let view = ResponseView::message(awaited.body);
        let captured = extracts.iter().try_for_each(|extract| {
            let value = extract.apply(&view, cache, self.session.stream())?;
            if let Some(tap) = &shard.tap {
                tap.captured(shard, extract.slot, &value);
            }
            self.session.set(extract.slot, value);
            Ok::<_, ExtractFailure>(())
        });
        let mut recorder = shard.recorder.borrow_mut();
        recorder.record_message(&Sample {
            endpoint,
            intended_ns: awaited.asked.intended_ns,
            sent_ns: awaited.asked.sent_ns,
            done_ns: awaited.received_ns,
            outcome: if captured.is_ok() { Outcome::Ok } else { Outcome::Extract },
            bytes_sent: 0,
            bytes_received: awaited.bytes_received,
        });
        let Err(failure) = captured else { return StepEnd::Next };
        recorder.failure(endpoint, Outcome::Extract, &failure.to_string());
        drop(recorder);
        shard.tell_failure(endpoint, Outcome::Extract, &failure.to_string());
        StepEnd::Failed
    }
}
