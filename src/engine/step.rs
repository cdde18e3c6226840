//! One request of a user: render, connect if need be, exchange, check, capture, record.

use super::line::Asked;
use super::render::{Prepared, path_of};
use super::repeats::{Repeats, STALE_WITHIN_NS};
use super::shard::{Link, NoAnswer, Shard};
use super::sharing::Carrier;
use super::tap::Event;
use super::user::User;
use crate::clock;
use crate::clock::Nanos;
use crate::endpoint::{EndpointId, NO_REQUEST};
use crate::limits;
use crate::measure::sample::{Outcome, Sample, UnderWay};
use crate::scenario::extract::{BodyCache, CheckKind, Condition, ResponseView};
use crate::scenario::plan::{AtEnd, Connections, Method, SlotId};
use crate::scenario::template::{RenderError, Template};
use crate::transport::cookies;
use crate::transport::{CodingError, Exchange, ExchangeError, Keep, TransportError};
use std::cell::Cell;
use std::time::Duration;

/// What the rest of the iteration makes of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StepEnd {
    Next,
    /// The iteration counts as failed and goes on: what follows may not depend on it.
    Failed,
    /// The iteration cannot go on: a variable it needs has no value, or its data ran out.
    GiveUp,
    /// The user was told to leave while its line was down, and has nothing to go on with: that is no failure of anybody.
    Leave,
}

/// The last answer, kept only in journeys with a condition that may ask for it.
pub(super) struct Answer {
    status: u16,
    head: Box<[u8]>,
    body: Vec<u8>,
    elapsed: Duration,
    cache: BodyCache,
    /// Why the body cannot be looked at.
    undecoded: Option<CodingError>,
}

impl Answer {
    fn view(&mut self) -> (ResponseView<'_>, &mut BodyCache) {
        let view =
            ResponseView { status: self.status, head: &self.head, body: &self.body, elapsed: self.elapsed };
        (view, &mut self.cache)
    }
}

impl User {
    /// `now` is the instant it is, where that is known.
    pub(super) async fn request(
        &mut self,
        shard: &Shard,
        prepared: &Prepared,
        now: Option<Nanos>,
    ) -> StepEnd {
        let endpoint = prepared.request.endpoint;
        let ready_ns = now.unwrap_or_else(|| shard.clock.now());
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
        if let Some(tap) = &shard.tap {
            tap.request(shard, usize::from(endpoint), bytes);
        }
        let answer = self.send(shard, prepared, bytes, (intended_ns, ready_ns)).await;
        self.control.under_way.set(None);
        if let Ok(exchange) = &answer
            && !exchange.set_cookies.is_empty()
        {
            self.store_cookies(shard, &exchange.set_cookies, prepared, bytes);
        }
        shard.give_back(rented);
        match answer {
            Ok(exchange) => {
                self.busy = true;
                self.judge(shard, prepared, intended_ns, exchange)
            }
            Err(no_answer) => {
                self.busy |= no_answer.sent || no_answer.since_ns.is_some();
                let refused =
                    no_answer.outcome.is_without_connection() || no_answer.outcome == Outcome::Generator;
                shard.failed(endpoint, intended_ns, &no_answer);
                if refused {
                    // Without a pause a user that does not think would spin on a target that is down.
                    self.pause(nanos(limits::RECONNECT_PAUSE)).await;
                }
                StepEnd::Failed
            }
        }
    }

    pub(super) fn render(
        &mut self,
        shard: &Shard,
        prepared: &Prepared,
        out: &mut Vec<u8>,
    ) -> Result<(), RenderError> {
        let mut body = shard.scratch.take();
        let jar = self.jar.as_deref().map(|jar| (jar, shard.http_host(), shard.clock.now()));
        let done = prepared.render(&mut self.session.view(&shard.plan), jar, &mut body, out);
        shard.scratch.replace(body);
        done
    }

    /// One exchange, repeated where the server had closed an idle connection or says that it has not looked at the request, and where
    /// repeating is safe. However often it is repeated, it is one request: its time counts from the first attempt and is limited from there.
    async fn send(
        &mut self,
        shard: &Shard,
        prepared: &Prepared,
        bytes: &[u8],
        (intended_ns, ready_ns): (Nanos, Nanos),
    ) -> Result<Exchange, NoAnswer> {
        let request = &prepared.request;
        let traced = shard.tap.is_some();
        let keep =
            Keep { head: request.keeps_head | traced, body: request.keeps_body | traced, cookies: true };
        let idempotent = matches!(request.method, Method::Get | Method::Head | Method::Put | Method::Delete);
        let mut sent = false;
        let mut repeats = Repeats::default();
        loop {
            let (mut carrier, attempted_ns) = match self.connection.take() {
                Some(link) if !sent => (Carrier::Own(link), ready_ns),
                Some(link) => (Carrier::Own(link), shard.clock.now()),
                None => {
                    if !sent {
                        let waiting = UnderWay { endpoint: request.endpoint, intended_ns, sent_ns: None };
                        self.control.under_way.set(Some(waiting));
                    }
                    // Boxed: a user connects rarely, and would carry room for it in every state.
                    let connected = Box::pin(self.connect(shard)).await;
                    (connected.map_err(|missed| NoAnswer { sent, ..missed })?, shard.clock.now())
                }
            };
            let started_ns = repeats.since_ns.unwrap_or(attempted_ns);
            let (reused, asked_before) = (carrier.is_used(), carrier.asked_last());
            if !sent {
                shard.recorder.borrow_mut().sent(request.endpoint);
                sent = true;
            }
            self.control.under_way.set(Some(UnderWay {
                endpoint: request.endpoint,
                intended_ns,
                sent_ns: Some(started_ns),
            }));
            let deadline = shard.clock.instant(started_ns + nanos(request.timeout));
            let head_only = request.method == Method::Head;
            let exchanging = carrier.exchange(bytes, head_only, keep, &shard.buffers, &shard.clock);
            let ended = if self.holds_nothing() {
                self.timer.within(deadline, exchanging).await
            } else {
                let asked = Asked { sent_ns: started_ns, intended_ns };
                // Boxed, so that users without lines carry no room for it.
                Box::pin(async {
                    self.ask_streams(asked).await;
                    self.reading_lines(deadline, exchanging).await
                })
                .await
            };
            let waited_for = if ended.is_err() {
                carrier.gave_up_waiting();
                carrier.waited_for()
            } else {
                None
            };
            let keeps = match &ended {
                Ok(Ok(exchange)) => exchange.reusable,
                _ => carrier.is_intact(),
            };
            self.release(shard, carrier, request.endpoint, keeps);
            let (outcome, text) = match ended {
                Ok(Ok(mut exchange)) => {
                    exchange.sent_ns = repeats.since_ns.unwrap_or(exchange.sent_ns);
                    return Ok(exchange);
                }
                Ok(Err(error)) if error.sent_nothing() || error.cannot_be_sent() => {
                    // Of an attempt before it something may have gone out.
                    let first = repeats.since_ns.is_none();
                    sent = !(first && shard.recorder.borrow_mut().unsend(request.endpoint));
                    // Ends with the last of the connections that were closed while idle.
                    if reused && error.sent_nothing() {
                        if error == ExchangeError::Unsolicited {
                            // No failure of this request, which has its answer yet to come.
                            let endpoint = asked_before.unwrap_or(request.endpoint);
                            shard.failed_message(endpoint, Outcome::Protocol, &error.to_string());
                        }
                        continue;
                    }
                    if first {
                        let (outcome, text) = (outcome_of_unsent(error), error.to_string());
                        return Err(NoAnswer { outcome, text, since_ns: None, sent });
                    }
                    (outcome_of(error), error.to_string())
                }
                Ok(Err(error)) => {
                    let stale = reused && idempotent && shard.clock.now() < attempted_ns + STALE_WITHIN_NS;
                    if repeats.allow(error, stale) {
                        repeats.since_ns = Some(started_ns);
                        shard.recorder.borrow_mut().requests.sent_again += 1;
                        continue;
                    }
                    (outcome_of(error), error.to_string())
                }
                Err(_elapsed) => {
                    let within = crate::units::show_duration(request.timeout);
                    let why = waited_for.map(|why| format!(": {why}")).unwrap_or_default();
                    (Outcome::Timeout, format!("no complete answer within {within}{why}"))
                }
            };
            return Err(NoAnswer { outcome, text, since_ns: Some(started_ns), sent });
        }
    }

    /// Puts what carried an exchange where the next one will look for it, or closes it.
    fn release(&mut self, shard: &Shard, carrier: Carrier, asked: EndpointId, keeps: bool) {
        if let Carrier::Own(link) = carrier
            && keeps
        {
            let link = Link { last: asked, ..link };
            match shard.plan.target.connections {
                Connections::PerUser => self.connection = Some(link),
                Connections::Shared => shard.keep_idle(link),
                Connections::Fresh => {}
            }
        }
    }

    async fn connect(&mut self, shard: &Shard) -> Result<Carrier, NoAnswer> {
        let begun_ns = shard.clock.now();
        let deadline = shard.clock.instant(begun_ns + nanos(shard.plan.target.connect_timeout));
        let queued = Cell::new(false);
        match self.reading_lines(deadline, shard.carrier(&queued)).await {
            Ok(Ok(carrier)) => Ok(carrier),
            Ok(Err(error)) => {
                let outcome = connect_outcome(error);
                Err(NoAnswer::unsent(outcome, error.to_string()))
            }
            Err(_elapsed) if queued.get() => Err(NoAnswer {
                outcome: Outcome::Timeout,
                text: format!(
                    "no stream free on the shared connections within {}",
                    crate::units::show_duration(shard.plan.target.connect_timeout)
                ),
                // Nothing went out, but the user stood in the target's queue: that is the least it would have taken.
                since_ns: Some(begun_ns),
                sent: false,
            }),
            Err(_elapsed) => Err(not_connected_within(shard.plan.target.connect_timeout)),
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
        if let Some(tap) = &shard.tap {
            tap.answer(shard, &exchange);
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
        let (body, undecoded) = match exchange.coding.decode(exchange.body.take().unwrap_or_default()) {
            Ok(body) => (body, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let mut answer = Answer {
            status: exchange.status,
            head: exchange.head.take().unwrap_or_default(),
            body,
            elapsed: Duration::from_nanos(exchange.done_ns.saturating_sub(exchange.sent_ns)),
            cache: BodyCache::default(),
            undecoded,
        };
        if let Some(error_ns) = exchange.read_error_ns {
            shard.recorder.borrow_mut().read_error(error_ns);
        }
        let judged = self.evaluate(shard, prepared, &mut answer);
        if shard.reads_last_answer(self.journey) {
            self.last_answer = Some(Box::new(answer));
        }
        let Err((outcome, text)) = judged else {
            shard.recorder.borrow_mut().record(&sample);
            return StepEnd::Next;
        };
        sample.outcome = outcome;
        let mut recorder = shard.recorder.borrow_mut();
        recorder.record(&sample);
        recorder.failure(sample.endpoint, outcome, &text);
        drop(recorder);
        shard.tell_failure(sample.endpoint, outcome, &text);
        StepEnd::Failed
    }

    #[cold]
    pub(super) fn store_cookies(
        &mut self,
        shard: &Shard,
        cookies: &[Box<str>],
        prepared: &Prepared,
        sent: &[u8],
    ) {
        let (host, path) = (prepared.host(shard.http_host(), sent), path_of(sent));
        let request = cookies::Request { host, path, tls: shard.http_tls(), now_ns: shard.clock.now() };
        self.keep_cookies(cookies, request);
    }

    /// Takes what the answer to a request sets.
    #[cold]
    pub(super) fn keep_cookies(&mut self, cookies: &[Box<str>], request: cookies::Request<'_>) {
        let now_s = i64::try_from(clock::unix_ms() / 1000).unwrap_or(i64::MAX);
        let jar = self.jar.get_or_insert_default();
        for cookie in cookies {
            jar.store(cookie, request, now_s);
        }
    }

    fn evaluate(
        &mut self,
        shard: &Shard,
        prepared: &Prepared,
        answer: &mut Answer,
    ) -> Result<(), (Outcome, String)> {
        let undecoded = answer.undecoded.map(|error| (Outcome::Protocol, error.to_string()));
        let refuse = |reads_body: bool| undecoded.clone().filter(|_| reads_body).map_or(Ok(()), Err);
        let (view, cache) = answer.view();
        for check in &prepared.request.checks {
            refuse(check.reads_body())?;
            let verified = check.verify(&view, cache, &mut self.session.view(&shard.plan));
            if let Some(tap) = &shard.tap {
                let failure = verified.as_ref().err().map(ToString::to_string);
                tap.tell(shard, Event::Check { what: check.to_string(), failure });
            }
            verified.map_err(|failure| {
                let outcome =
                    if failure.kind == CheckKind::Status { Outcome::Status } else { Outcome::Check };
                (outcome, failure.text)
            })?;
        }
        for extract in &prepared.request.extracts {
            refuse(extract.pick.reads_body())?;
            let value = extract
                .apply(&view, cache, self.session.stream())
                .map_err(|failure| (Outcome::Extract, failure.to_string()))?;
            if let Some(tap) = &shard.tap {
                tap.captured(shard, extract.slot, &value);
            }
            self.session.set(extract.slot, value);
        }
        Ok(())
    }

    pub(super) fn set(&mut self, shard: &Shard, slot: SlotId, value: &Template) -> StepEnd {
        match value.value(&mut self.session.view(&shard.plan)) {
            Ok(value) => {
                if let Some(tap) = &shard.tap {
                    tap.captured(shard, slot, &value);
                }
                self.session.set(slot, value);
                StepEnd::Next
            }
            Err(error) => {
                let name = shard.plan.slots.get(usize::from(slot)).map_or("?", String::as_str);
                self.unset(shard, NO_REQUEST, &format!("`set` of `{name}`: {}", error.describe(&shard.plan)))
            }
        }
    }

    /// Whether a condition holds for the last answer.
    pub(super) fn holds(&mut self, shard: &Shard, condition: &Condition) -> Result<bool, StepEnd> {
        let last = self.last_answer.as_deref_mut().map(Answer::view);
        let mut context = self.session.view(&shard.plan);
        let holds = match last {
            Some((view, cache)) => condition.holds(&mut context, Some((&view, cache))),
            None => condition.holds(&mut context, None),
        };
        if let Some(tap) = &shard.tap
            && let Ok(holds) = holds
        {
            tap.tell(shard, Event::Condition { text: condition.to_string(), holds });
        }
        holds.map_err(|why| self.unset(shard, NO_REQUEST, &format!("whether `{condition}` holds: {why}")))
    }

    /// A step that is no request cannot be done: it names a variable that no step has captured.
    #[cold]
    pub(super) fn unset(&mut self, shard: &Shard, endpoint: EndpointId, text: &str) -> StepEnd {
        if self.session.exhausted != Some(AtEnd::StopUser) {
            shard.failed_message(endpoint, Outcome::Unbound, text);
        }
        StepEnd::GiveUp
    }

    /// Nothing was sent: the request names a variable that no step has captured.
    #[cold]
    pub(super) fn unbound(&mut self, shard: &Shard, endpoint: EndpointId, error: &RenderError) -> StepEnd {
        if self.session.exhausted != Some(AtEnd::StopUser) {
            let missed = NoAnswer::unsent(Outcome::Unbound, error.describe(&shard.plan));
            shard.failed(endpoint, shard.clock.now(), &missed);
        }
        StepEnd::GiveUp
    }
}

/// No connection came about in the time for it.
pub(super) fn not_connected_within(limit: Duration) -> NoAnswer {
    let text = format!("no connection within {}", crate::units::show_duration(limit));
    NoAnswer::unsent(Outcome::ConnectTimeout, text)
}

/// A connection that this process could not even ask for is its own failure, not the target's.
pub(super) fn connect_outcome(error: TransportError) -> Outcome {
    match error {
        TransportError::TooManyFiles | TransportError::NoLocalPort | TransportError::NoSocketMemory => {
            Outcome::Generator
        }
        TransportError::ConnectTimedOut => Outcome::ConnectTimeout,
        _ => Outcome::Connect,
    }
}

/// Of a request that was never sent: nobody waited for it.
fn outcome_of_unsent(error: ExchangeError) -> Outcome {
    if error.cannot_be_sent() { Outcome::Unbound } else { Outcome::Connect }
}

pub(super) fn outcome_of(error: ExchangeError) -> Outcome {
    match error {
        ExchangeError::Malformed(_)
        | ExchangeError::HeadTooLarge
        | ExchangeError::BodyTooLarge { .. }
        | ExchangeError::Unsendable(_)
        | ExchangeError::Unsolicited => Outcome::Protocol,
        // TLS 1.3 has the client begin before the server has judged who it is.
        ExchangeError::Tls(failure) if failure.is_of_the_client() => Outcome::Connect,
        _ => Outcome::Reset,
    }
}

pub(super) const fn nanos(span: Duration) -> Nanos {
    let nanos = span.as_nanos();
    if nanos > Nanos::MAX as u128 { Nanos::MAX } else { nanos as Nanos }
}
