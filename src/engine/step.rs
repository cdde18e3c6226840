//! One request of a user: render, connect if need be, exchange, check, capture, record.

use super::render::Prepared;
use super::shard::{Link, Shard};
use super::user::User;
use crate::clock::Nanos;
use crate::limits;
use crate::measure::sample::{Outcome, Sample};
use crate::scenario::extract::{BodyCache, CheckFailure, Condition, ResponseView};
use crate::scenario::plan::{Connections, EndpointId, Method, SlotId};
use crate::scenario::template::{RenderError, Template, Value};
use crate::transport::cookies::Jar;
use crate::transport::{Exchange, ExchangeError, Keep};
use std::time::Duration;

/// What the rest of the iteration makes of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StepEnd {
    Next,
    /// The iteration counts as failed and goes on: what follows may not depend on it.
    Failed,
    /// The iteration cannot go on: a variable it needs has no value, or its data ran out.
    GiveUp,
}

/// Why an exchange has no answer, with what is known of its timing.
struct NoAnswer {
    outcome: Outcome,
    text: String,
    sent_ns: Option<Nanos>,
}

impl User {
    pub(super) async fn request(&mut self, shard: &Shard, prepared: &Prepared) -> StepEnd {
        let endpoint = prepared.request.endpoint;
        let ready_ns = shard.clock.now();
        let intended_ns = self.intended_ns.take().unwrap_or(ready_ns);
        let has_cookies = self.jar.as_ref().is_some_and(|jar| !jar.is_empty());
        let mut rented = None;
        let bytes = match prepared.literal() {
            Some(literal) if !has_cookies => literal,
            _ => {
                let buffer = rented.insert(shard.rent());
                match self.render(shard, prepared, buffer) {
                    Ok(()) => buffer,
                    Err(error) => {
                        let end = self.unbound(shard, endpoint, &error);
                        shard.give_back(rented);
                        return end;
                    }
                }
            }
        };
        let answer = self.send(shard, prepared, bytes).await;
        self.control.on_wire.set(None);
        shard.give_back(rented);
        match answer {
            Ok(exchange) => self.judge(shard, prepared, intended_ns, exchange),
            Err(no_answer) => {
                let refused = no_answer.outcome == Outcome::Connect;
                fail(shard, endpoint, intended_ns, no_answer);
                if refused {
                    // Without a pause a user that does not think would spin on a target that is down.
                    let until_ns = shard.clock.now() + nanos(limits::RECONNECT_PAUSE);
                    self.timer.until(shard.clock.instant(until_ns)).await;
                }
                StepEnd::Failed
            }
        }
    }

    fn render(&mut self, shard: &Shard, prepared: &Prepared, out: &mut Vec<u8>) -> Result<(), RenderError> {
        let mut body = shard.scratch.take();
        let cookies = match &self.jar {
            Some(jar) if !jar.is_empty() => jar.header("/", false, shard.clock.now()).unwrap_or_default(),
            _ => String::new(),
        };
        let done = prepared.render(&mut self.session.view(&shard.plan), &cookies, &mut body, out);
        shard.scratch.replace(body);
        done
    }

    /// One exchange, repeated once on a fresh connection where the server had closed the idle one and repeating is safe.
    async fn send(&mut self, shard: &Shard, prepared: &Prepared, bytes: &[u8]) -> Result<Exchange, NoAnswer> {
        let request = &prepared.request;
        let keep = Keep { head: request.keeps_head, body: request.keeps_body, cookies: true };
        let idempotent = matches!(request.method, Method::Get | Method::Head | Method::Put | Method::Delete);
        let mut counted = false;
        loop {
            let mut link = match self.connection.take() {
                Some(link) if shard.plan.target.connections == Connections::PerUser => link,
                _ => self.connect(shard).await?,
            };
            let reused = link.connection.is_used();
            if !counted {
                shard.recorder.borrow_mut().sent(request.endpoint);
                counted = true;
            }
            self.control.on_wire.set(Some(request.endpoint));
            let started_ns = shard.clock.now();
            let deadline = shard.clock.instant(started_ns + nanos(request.timeout));
            let head_only = request.method == Method::Head;
            let exchanging = link.connection.exchange(bytes, head_only, keep, &shard.buffers, &shard.clock);
            match self.timer.within(deadline, exchanging).await {
                Ok(Ok(exchange)) => {
                    if exchange.reusable && shard.plan.target.connections == Connections::PerUser {
                        self.connection = Some(link);
                    }
                    return Ok(exchange);
                }
                Ok(Err(error)) if reused && (error.sent_nothing() || idempotent && error.answered_nothing()) => {}
                Ok(Err(error)) => {
                    return Err(NoAnswer {
                        outcome: outcome_of(error),
                        text: error.to_string(),
                        sent_ns: Some(started_ns),
                    });
                }
                Err(_elapsed) => {
                    return Err(NoAnswer {
                        outcome: Outcome::Timeout,
                        text: format!("no complete answer within {}", crate::units::duration(request.timeout)),
                        sent_ns: Some(started_ns),
                    });
                }
            }
        }
    }

    async fn connect(&mut self, shard: &Shard) -> Result<Link, NoAnswer> {
        let deadline = shard.clock.instant(shard.clock.now() + nanos(shard.plan.target.connect_timeout));
        match self.timer.within(deadline, shard.connect()).await {
            Ok(Ok(link)) => Ok(link),
            Ok(Err(error)) => Err(NoAnswer { outcome: Outcome::Connect, text: error.to_string(), sent_ns: None }),
            Err(_elapsed) => Err(NoAnswer {
                outcome: Outcome::Connect,
                text: format!("no connection within {}", crate::units::duration(shard.plan.target.connect_timeout)),
                sent_ns: None,
            }),
        }
    }

    /// Checks and captures, then records. Everything up to the last byte read is in the times; checking is not.
    fn judge(
        &mut self,
        shard: &Shard,
        prepared: &Prepared,
        intended_ns: Nanos,
        mut exchange: Exchange,
    ) -> StepEnd {
        let request = &prepared.request;
        for cookie in exchange.set_cookies.drain(..) {
            self.jar.get_or_insert_with(|| Box::new(Jar::new())).store(&cookie, "/", shard.clock.now());
        }
        let mut sample = Sample {
            endpoint: request.endpoint,
            intended_ns,
            sent_ns: exchange.sent_ns,
            done_ns: exchange.done_ns,
            outcome: Outcome::Ok,
            bytes_sent: exchange.bytes_sent,
            bytes_received: exchange.bytes_received,
        };
        let mut text = String::new();
        if request.keeps_body || request.keeps_head {
            let mut body = BodyCache::new(exchange.body.take().unwrap_or_default());
            let head = exchange.head.take().unwrap_or_default();
            if let Err((outcome, why)) = self.evaluate(shard, prepared, exchange.status, &head, &mut body) {
                (sample.outcome, text) = (outcome, why);
            }
            self.last_body = Some(Box::new(body));
        } else if let Some(failure) =
            request.checks.iter().find_map(|check| check.status(exchange.status).err())
        {
            (sample.outcome, text) = (Outcome::Status, failure.to_string());
        }
        let mut recorder = shard.recorder.borrow_mut();
        recorder.record(&sample);
        if sample.outcome == Outcome::Ok {
            return StepEnd::Next;
        }
        recorder.failure(sample.endpoint, sample.outcome, &text);
        StepEnd::Failed
    }

    fn evaluate(
        &mut self,
        shard: &Shard,
        prepared: &Prepared,
        status: u16,
        head: &[u8],
        body: &mut BodyCache,
    ) -> Result<(), (Outcome, String)> {
        let response = ResponseView { status, head };
        for check in &prepared.request.checks {
            check.verify(&response, body, &mut self.session.view(&shard.plan)).map_err(|failure| {
                let outcome =
                    if matches!(failure, CheckFailure::Status { .. }) { Outcome::Status } else { Outcome::Check };
                (outcome, failure.to_string())
            })?;
        }
        for extract in &prepared.request.extracts {
            let value = extract
                .apply(&response, body, self.session.stream())
                .map_err(|failure| (Outcome::Extract, failure.to_string()))?;
            self.session.set(extract.slot, value);
        }
        Ok(())
    }

    pub(super) fn set(&mut self, shard: &Shard, slot: SlotId, value: &Template) -> StepEnd {
        let mut out = Vec::new();
        match value.render(&mut self.session.view(&shard.plan), &mut out) {
            Ok(()) => {
                self.session.set(slot, Value::Text(String::from_utf8_lossy(&out).into()));
                StepEnd::Next
            }
            Err(_unbound) => StepEnd::GiveUp,
        }
    }

    pub(super) fn holds(&mut self, shard: &Shard, condition: &Condition) -> Result<bool, StepEnd> {
        let mut body = self.last_body.take();
        let holds = condition.holds(body.as_deref_mut(), &mut self.session.view(&shard.plan));
        self.last_body = body;
        holds.map_err(|_unbound| StepEnd::GiveUp)
    }

    /// Nothing was sent: the request names a variable that no step has captured.
    #[cold]
    pub(super) fn unbound(&mut self, shard: &Shard, endpoint: EndpointId, error: &RenderError) -> StepEnd {
        if self.session.exhausted.is_none() {
            let now = shard.clock.now();
            let text = error.to_string();
            fail(shard, endpoint, now, NoAnswer { outcome: Outcome::Unbound, text, sent_ns: None });
        }
        StepEnd::GiveUp
    }
}

#[cold]
fn fail(shard: &Shard, endpoint: EndpointId, intended_ns: Nanos, no_answer: NoAnswer) {
    let done_ns = shard.clock.now();
    let mut recorder = shard.recorder.borrow_mut();
    recorder.record(&Sample {
        endpoint,
        intended_ns,
        sent_ns: no_answer.sent_ns.unwrap_or(done_ns),
        done_ns,
        outcome: no_answer.outcome,
        bytes_sent: 0,
        bytes_received: 0,
    });
    recorder.failure(endpoint, no_answer.outcome, &no_answer.text);
}

fn outcome_of(error: ExchangeError) -> Outcome {
    match error {
        ExchangeError::Malformed(_)
        | ExchangeError::HeadTooLarge
        | ExchangeError::BodyTooLarge { .. }
        | ExchangeError::Unsolicited => Outcome::Protocol,
        _ => Outcome::Reset,
    }
}

pub(super) fn nanos(span: Duration) -> Nanos {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
