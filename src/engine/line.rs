//! A connection that stays open and brings messages by itself: a WebSocket or an event stream. It is read whenever its user waits,
//! so that a message is timed when it came and not when somebody asked for it, a ping is answered, and an end is noticed.

use super::shard::{NoAnswer, OpenSocket, Shard};
use super::step::{StepEnd, nanos, not_connected_within};
use super::user::User;
use crate::clock::Nanos;
use crate::endpoint::EndpointId;
use crate::limits::{INBOX_BYTES_MAX, INBOX_MESSAGES_MAX, RECONNECT_PAUSE};
use crate::measure::sample::{Outcome, Sample, UnderWay};
use crate::scenario::plan::Reconnect;
use crate::seed::Stream;
use crate::transport::Handshake;
use rand::RngExt as _;
use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt::Display;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// The wire side of it.
pub(super) trait Push {
    type Message;
    type End;
    /// Why it does not open.
    type Refusal: Display;
    /// The next message. An error is the end: the connection is of no use afterwards.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Self::Message, Self::End>>;
    fn opened_ns(&self) -> Nanos;
    /// What a message takes in memory, but for its frame.
    fn bytes_of(message: &Self::Message) -> usize;
    /// How it opened, told once.
    fn opened(&mut self) -> Opened;
    fn outcome_of(refusal: &Self::Refusal) -> Outcome;
    /// The server, or the request itself, leaves no hope that another attempt goes better.
    fn is_for_good(refusal: &Self::Refusal) -> bool;
}

/// An opening as the record has it.
pub(super) struct Opened {
    pub(super) handshake: Option<Handshake>,
    pub(super) sent_ns: Nanos,
    pub(super) opened_ns: Nanos,
    pub(super) bytes_sent: u64,
    pub(super) bytes_received: u64,
}

/// An opening that is about to begin.
#[derive(Clone, Copy)]
pub(super) struct Opening<'a> {
    pub(super) endpoint: EndpointId,
    pub(super) intended_ns: Nanos,
    pub(super) begun_ns: Nanos,
    pub(super) within: Duration,
    /// It is one of the attempts of a `reconnect`, which have waits of their own.
    pub(super) again: bool,
    /// When its first byte went out, once it did.
    pub(super) sent: &'a Cell<Option<Nanos>>,
}

/// An opening that a step asks for, and when the plan wanted it if that is known; any other is an attempt of a `reconnect`.
#[derive(Clone, Copy)]
pub(super) struct First {
    pub(super) intended_ns: Option<Nanos>,
}

/// Why there is no line.
#[derive(Clone, Copy)]
pub(super) struct Unopened {
    pub(super) end: StepEnd,
    /// Another attempt would end the same way.
    pub(super) for_good: bool,
}

/// When a user asked for what comes next, and when the plan wanted that.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) sent_ns: Nanos,
    pub(super) intended_ns: Nanos,
}

impl Asked {
    /// By the opening itself.
    const fn opening(opened_ns: Nanos) -> Self {
        Self { sent_ns: opened_ns, intended_ns: opened_ns }
    }
}

/// One connection as its user holds it. When it has ended it is closed at once, while what it brought before may still be taken.
pub(super) struct Line<P: Push> {
    live: Option<(P, OpenSocket)>,
    /// Brought while the user did not ask; without memory once it is taken.
    inbox: VecDeque<(P::Message, Asked)>,
    inbox_bytes: usize,
    /// What its user asked for last. A message answers what was asked before it came, even if it is taken after something else was.
    pub(super) asked: Asked,
    /// It has asked by a message of its own, and nothing at all has come since.
    unanswered: bool,
    end: Option<P::End>,
    /// Last number seen by a `sequence`. It goes on over reconnects: what was missed meanwhile is missing.
    pub(super) sequence: Option<f64>,
    pub(super) again: Again,
}

/// Whether a line that has ended is opened again.
#[derive(Default)]
pub(super) struct Again {
    /// Reconnects since the last message.
    pub(super) attempts: u32,
    /// When it is to be opened again: it has ended, and that has been told.
    pub(super) at_ns: Option<Nanos>,
    /// It has ended, that has been told, and it is not to be opened again.
    pub(super) over: bool,
    /// It would have been, had its user stayed, who is not to be told that it is not open.
    pub(super) left: bool,
}

impl Again {
    pub(super) fn leave(&mut self) {
        *self = Self { at_ns: None, over: true, left: true, ..*self };
    }
}

impl<P: Push> Line<P> {
    pub(super) fn new(push: P, open: OpenSocket) -> Self {
        Self {
            asked: Asked::opening(push.opened_ns()),
            unanswered: false,
            live: Some((push, open)),
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            end: None,
            sequence: None,
            again: Again::default(),
        }
    }

    /// The user asks for what comes next by a message on this line.
    pub(super) fn ask(&mut self, asked: Asked) {
        (self.asked, self.unanswered) = (asked, true);
    }

    /// What was said on the connection before is said on this one, at `now`.
    pub(super) fn ask_again(&mut self, now: Nanos) {
        let intended_ns = if self.unanswered { self.asked.intended_ns } else { now };
        self.asked = Asked { sent_ns: now, intended_ns };
    }

    /// What it asked for has failed, and that has been told.
    pub(super) fn settle(&mut self) {
        self.unanswered = false;
    }

    /// Puts a fresh connection in the place of one that has ended. A question that was still open stays due since its own instant.
    pub(super) fn renew(&mut self, push: P, open: OpenSocket) {
        let opened = Asked::opening(push.opened_ns());
        let intended_ns = if self.unanswered { self.asked.intended_ns } else { opened.intended_ns };
        self.asked = Asked { intended_ns, ..opened };
        self.live = Some((push, open));
        self.end = None;
    }

    /// The connection, unless it has ended.
    pub(super) fn live(&mut self) -> Option<&mut P> {
        self.live.as_mut().map(|(push, _)| push)
    }

    /// Closes it without a word.
    pub(super) fn cut(&mut self) {
        self.live = None;
        self.end = None;
    }

    /// It has ended, and nothing has been done about it yet.
    pub(super) fn has_ended_unknown(&self) -> bool {
        self.live.is_none() && self.again.at_ns.is_none() && !self.again.over
    }

    /// Gives up opening it again, and yields whether it still has something: what it brought before is not lost with it.
    pub(super) fn give_up(&mut self) -> bool {
        self.cut();
        (self.again.over, self.again.at_ns) = (true, None);
        self.has_messages()
    }

    pub(super) fn has_messages(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// Takes the connection away, to say goodbye on it.
    pub(super) fn into_live(self) -> Option<(P, OpenSocket)> {
        self.live
    }

    pub(super) fn take_end(&mut self) -> Option<P::End> {
        self.end.take()
    }

    /// The next message with what it answers, or how the connection ended; `None` when that has been told before. Dropping the future loses
    /// nothing.
    pub(super) async fn next(&mut self) -> Result<(P::Message, Asked), Option<P::End>> {
        std::future::poll_fn(|context| {
            // One read may bring thousands of messages. Each costs a turn of the task, so that others of the shard come to act between.
            let turn = std::task::ready!(tokio::task::coop::poll_proceed(context));
            if let Some(message) = self.take() {
                turn.made_progress();
                if self.inbox.is_empty() {
                    self.inbox = VecDeque::new();
                }
                return Poll::Ready(Ok(message));
            }
            let Some((push, _)) = &mut self.live else { return Poll::Ready(Err(self.end.take())) };
            let next = std::task::ready!(push.poll_next(context));
            match &next {
                Ok(_) => self.heard(),
                Err(_) => self.live = None,
            }
            turn.made_progress();
            Poll::Ready(next.map(|message| (message, self.asked)).map_err(Some))
        })
        .await
    }

    /// A message has come.
    fn heard(&mut self) {
        self.again.attempts = 0;
        self.unanswered = false;
    }

    /// The oldest message that waits.
    fn take(&mut self) -> Option<(P::Message, Asked)> {
        let oldest = self.inbox.pop_front()?;
        self.inbox_bytes -= P::bytes_of(&oldest.0);
        Some(oldest)
    }

    /// One message may be as large as messages may be.
    fn is_too_full(&self) -> bool {
        let waiting = self.inbox.len();
        waiting > INBOX_MESSAGES_MAX || (self.inbox_bytes > INBOX_BYTES_MAX && waiting > 1)
    }

    /// Takes what has come, without waiting for more, as [`Self::poll_fill`] does.
    pub(super) async fn fill(&mut self) -> u64 {
        std::future::poll_fn(|context| Poll::Ready(self.poll_fill(context))).await
    }

    /// Takes what has come, and yields how many messages had to go for it: past the bounds the oldest makes room, since a connection that is not
    /// read answers no ping and hides its end. What a sequence has seen is then forgotten: that messages are missing is our doing.
    pub(super) fn poll_fill(&mut self, context: &mut Context<'_>) -> u64 {
        let mut overflowed = 0;
        for _ in 0..INBOX_MESSAGES_MAX {
            let Some((push, _)) = &mut self.live else { return overflowed };
            let Poll::Ready(next) = push.poll_next(context) else { return overflowed };
            match next {
                Ok(message) => {
                    self.heard();
                    self.inbox_bytes += P::bytes_of(&message);
                    self.inbox.push_back((message, self.asked));
                    while self.is_too_full() && self.take().is_some() {
                        self.sequence = None;
                        overflowed += 1;
                    }
                }
                Err(end) => {
                    self.live = None;
                    self.end = Some(end);
                }
            }
        }
        // There may be more: after the others of the shard have had their turn.
        context.waker().wake_by_ref();
        overflowed
    }
}

impl User {
    pub(super) fn holds_nothing(&self) -> bool {
        self.sockets.iter().all(Option::is_none) && self.streams.iter().all(Option::is_none)
    }

    /// Opens a line, which is a request of its own in the record. Boxed: the state of an opening is larger than what comes of it.
    pub(super) async fn open_line<P: Push>(
        &mut self,
        shard: &Shard,
        opening: Opening<'_>,
        mut connecting: Pin<Box<impl Future<Output = Result<P, P::Refusal>>>>,
    ) -> Result<P, Unopened> {
        let Opening { endpoint, intended_ns, begun_ns, within, again, sent } = opening;
        self.busy = true;
        let mut under_way = UnderWay { endpoint, intended_ns, sent_ns: None };
        self.control.under_way.set(Some(under_way));
        let connect_within = within.min(shard.plan.target.connect_timeout);
        let connected_by = shard.clock.instant(begun_ns + nanos(connect_within));
        let answered_by = shard.clock.instant(begun_ns + nanos(within));
        let sending = std::future::poll_fn(|context| match connecting.as_mut().poll(context) {
            Poll::Pending if sent.get().is_none() => Poll::Pending,
            polled => Poll::Ready(polled),
        });
        let polled = self.reading_lines(connected_by, sending).await;
        if let Some(sent_ns) = sent.get() {
            shard.recorder.borrow_mut().sent(endpoint);
            under_way.sent_ns = Some(sent_ns);
            self.control.under_way.set(Some(under_way));
        }
        let ended = match polled {
            Ok(Poll::Ready(ended)) => Ok(ended),
            Ok(Poll::Pending) => self.reading_lines(answered_by, connecting).await,
            Err(elapsed) => Err(elapsed),
        };
        self.control.under_way.set(None);
        let mut for_good = false;
        match ended {
            Ok(Ok(mut push)) => {
                let opened = push.opened();
                shard.count_handshake(opened.handshake);
                let mut recorder = shard.recorder.borrow_mut();
                let took_ns = opened.opened_ns.saturating_sub(opened.sent_ns);
                let fastest = recorder.requests.streams.opening_ns_min.get_or_insert(took_ns);
                *fastest = took_ns.min(*fastest);
                recorder.record(&Sample {
                    endpoint,
                    intended_ns,
                    sent_ns: opened.sent_ns,
                    done_ns: opened.opened_ns,
                    outcome: Outcome::Ok,
                    bytes_sent: opened.bytes_sent,
                    bytes_received: opened.bytes_received,
                });
                return Ok(push);
            }
            Ok(Err(refusal)) => {
                let (outcome, text) = (P::outcome_of(&refusal), refusal.to_string());
                for_good = P::is_for_good(&refusal);
                let was_sent = sent.get().is_some();
                let since_ns = was_sent.then_some(begun_ns);
                shard.failed(endpoint, intended_ns, &NoAnswer { outcome, text, since_ns, sent: was_sent });
                if (!was_sent || outcome.is_without_connection()) && !again {
                    let until = shard.clock.instant(shard.clock.now() + nanos(RECONNECT_PAUSE));
                    let _elapsed = self.reading_lines(until, std::future::pending::<()>()).await;
                }
            }
            Err(_elapsed) if sent.get().is_none() => {
                shard.failed(endpoint, intended_ns, &not_connected_within(connect_within));
            }
            Err(_elapsed) => {
                let text = format!("not open within {}", crate::units::show_duration(within));
                let (outcome, since_ns) = (Outcome::Timeout, Some(begun_ns));
                shard.failed(endpoint, intended_ns, &NoAnswer { outcome, text, since_ns, sent: true });
            }
        }
        Err(Unopened { end: StepEnd::Failed, for_good })
    }
}

/// The wait before an attempt to connect again, the first being 1: doubled from attempt to attempt, then shortened at random by up to a
/// half, so that users who lost their connections together do not come back together. A server may ask for a longer first wait.
pub(super) fn backoff(
    rules: Reconnect,
    attempt: u32,
    asked: Option<Duration>,
    stream: &mut Stream,
) -> Duration {
    let first = asked.unwrap_or(rules.wait_min).max(rules.wait_min);
    let most = rules.wait_max.max(first);
    let doubled = first.saturating_mul(1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
    let share = stream.random_range(0.5..=1.0);
    // What a server asks for is the least, so only what is added to it is left to chance.
    doubled.min(most).mul_f64(share).max(asked.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::{Purpose, stream};

    #[test]
    fn waits_double_up_to_their_bound_and_never_undercut_what_a_server_asks() {
        let rules = Reconnect { max: 9, wait_min: Duration::from_secs(1), wait_max: Duration::from_secs(10) };
        let mut random = stream(1, Purpose::User, 0, 0);
        for (attempt, most) in [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 10.0), (40, 10.0)] {
            for _ in 0..50 {
                let wait = backoff(rules, attempt, None, &mut random).as_secs_f64();
                assert!((most / 2.0..=most).contains(&wait), "attempt {attempt}: {wait}");
            }
        }
        let asked = Duration::from_secs(30);
        assert_eq!(backoff(rules, 1, Some(asked), &mut random), asked);
        let little = backoff(rules, 1, Some(Duration::from_millis(10)), &mut random);
        assert!(little >= Duration::from_millis(500), "a server does not shorten what the scenario says");
    }
}
