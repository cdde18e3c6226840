//! One response, read from bytes wherever they are cut, without a socket: the same bytes give the same result in any pieces. A
//! response that comes in one piece is parsed where it lies and allocates nothing.

use super::chunked::Decoder;
use super::coding::ContentCoding;
use super::error::{ExchangeError, Malformed};
use super::head::{self, Framing, Head};
use crate::limits;

/// What of a response outlives its reading. What is not kept is counted and dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// The head as it came, status line to empty line.
    pub head: bool,
    pub body: bool,
    /// Values of `set-cookie`.
    pub cookies: bool,
}

impl Keep {
    /// What a body may have: less when its bytes are kept.
    pub(super) fn body_bytes_max(self) -> u64 {
        if self.body { limits::RESPONSE_BODY_KEPT_BYTES_MAX as u64 } else { limits::RESPONSE_BODY_BYTES_MAX }
    }
}

/// Reads the response to one request.
#[derive(Debug)]
pub struct ResponseReader {
    state: State,
    keep: Keep,
    /// The request was HEAD: the response has no body whatever its fields say.
    head_only: bool,
    keep_alive: bool,
    status: u16,
    coding: ContentCoding,
    interim: u32,
    /// Bytes of body without the chunked coding.
    body_bytes: u64,
    bytes_received: u64,
    /// The beginning of a head that did not come in one piece. Empty, and without memory, in the usual case.
    partial: Vec<u8>,
    head: Option<Box<[u8]>>,
    body: Vec<u8>,
    set_cookies: Vec<Box<str>>,
}

#[derive(Debug)]
enum State {
    Head,
    Length { left: u64 },
    Chunked(Decoder),
    UntilClose,
    Done,
}

/// What is left of a response when it is complete.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) coding: ContentCoding,
    pub(super) keep_alive: bool,
    pub(super) bytes_received: u64,
    pub(super) body_bytes: u64,
    pub(super) head: Option<Box<[u8]>>,
    pub(super) body: Option<Vec<u8>>,
    pub(super) set_cookies: Vec<Box<str>>,
}

impl ResponseReader {
    /// A reader for the response to a request that was HEAD (`head_only`) or another method.
    pub fn new(head_only: bool, keep: Keep) -> Self {
        Self {
            state: State::Head,
            keep,
            head_only,
            keep_alive: false,
            status: 0,
            coding: ContentCoding::Identity,
            interim: 0,
            body_bytes: 0,
            bytes_received: 0,
            partial: Vec::new(),
            head: None,
            body: Vec::new(),
            set_cookies: Vec::new(),
        }
    }

    /// Takes the next bytes; true once the response is complete.
    ///
    /// # Errors
    /// When the bytes break the protocol or a bound of [`limits`]. The connection cannot be used again then.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<bool, ExchangeError> {
        self.feed_remembering(bytes, None)
    }

    /// As [`Self::feed`], with the last head that was read on whatever connection.
    pub(super) fn feed_remembering(
        &mut self,
        bytes: &[u8],
        heads: Option<&mut head::Memo>,
    ) -> Result<bool, ExchangeError> {
        self.bytes_received += bytes.len() as u64;
        let rest = self.feed_head(bytes, heads)?;
        let extra = self.feed_body(rest)?;
        match self.state {
            State::Done if extra > 0 => Err(Malformed::BytesAfterEnd.into()),
            State::Done => Ok(true),
            _ => Ok(false),
        }
    }

    /// The peer sends no more.
    ///
    /// # Errors
    /// Unless the end of the connection is the end of the body.
    pub fn end(&mut self) -> Result<(), ExchangeError> {
        match self.state {
            State::UntilClose | State::Done => {
                self.state = State::Done;
                Ok(())
            }
            State::Head if self.bytes_received == 0 => Err(ExchangeError::ClosedBeforeResponse),
            State::Head => Err(ExchangeError::ClosedInHead),
            State::Length { .. } | State::Chunked(_) => Err(ExchangeError::ClosedInBody),
        }
    }

    /// A byte of a response has come.
    pub fn has_begun(&self) -> bool {
        self.bytes_received > 0
    }

    pub(super) fn bytes_received(&self) -> usize {
        self.bytes_received as usize
    }

    /// The result, once [`Self::feed`] said true or [`Self::end`] was fine; leaves the reader empty.
    pub(super) fn take(&mut self) -> Response {
        Response {
            status: self.status,
            coding: self.coding,
            keep_alive: self.keep_alive,
            bytes_received: self.bytes_received,
            body_bytes: self.body_bytes,
            head: self.head.take(),
            body: self.keep.body.then(|| std::mem::take(&mut self.body)),
            set_cookies: std::mem::take(&mut self.set_cookies),
        }
    }

    /// Reads heads, interim ones included; returns what follows the final one, or nothing while it is not complete.
    fn feed_head<'b>(
        &mut self,
        bytes: &'b [u8],
        mut heads: Option<&mut head::Memo>,
    ) -> Result<&'b [u8], ExchangeError> {
        let mut rest = bytes;
        while matches!(self.state, State::Head) && !rest.is_empty() {
            rest = if self.partial.is_empty() {
                match self.parse(rest, heads.as_deref_mut())? {
                    Some(len) => &rest[len..],
                    None => {
                        self.spill(rest)?;
                        &[]
                    }
                }
            } else {
                self.resume(rest)?
            };
        }
        Ok(rest)
    }

    /// Goes on with a head whose beginning is in `partial`.
    fn resume<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], ExchangeError> {
        // Line by line, so that a head that drips in is parsed once a line and not once a byte; httparse bounds the lines.
        let line = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
        let (line, rest) = bytes.split_at(line);
        self.spill(line)?;
        let partial = std::mem::take(&mut self.partial);
        // A first line without its end has had no parse yet that could tell it from something else than HTTP.
        let worth_a_parse = line.ends_with(b"\n") || partial.len() - line.len() < 16;
        if worth_a_parse && self.parse(&partial, None)?.is_some() {
            return Ok(rest);
        }
        self.partial = partial;
        Ok(rest)
    }

    fn spill(&mut self, bytes: &[u8]) -> Result<(), ExchangeError> {
        if self.partial.len() + bytes.len() > limits::RESPONSE_HEAD_BYTES_MAX {
            return Err(ExchangeError::HeadTooLarge);
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    /// The length of the head at the beginning of `bytes`, once it is complete; the state moves on to what follows it.
    fn parse(
        &mut self,
        bytes: &[u8],
        heads: Option<&mut head::Memo>,
    ) -> Result<Option<usize>, ExchangeError> {
        let head = match heads.as_ref().and_then(|heads| heads.recall(bytes)) {
            Some(head) => head,
            None => {
                let cookies = self.keep.cookies.then_some(&mut self.set_cookies);
                let Some(head) = head::parse(bytes, cookies)? else { return Ok(None) };
                // One that sets cookies has to be read each time.
                if let Some(heads) = heads.filter(|_| self.set_cookies.is_empty() && self.keep.cookies) {
                    heads.keep(bytes, head);
                }
                head
            }
        };
        if head.len > limits::RESPONSE_HEAD_BYTES_MAX {
            return Err(ExchangeError::HeadTooLarge);
        }
        match head.status {
            101 => return Err(Malformed::UnexpectedUpgrade.into()),
            100..200 => {
                self.interim += 1;
                self.set_cookies.clear();
                if self.interim > limits::INTERIM_RESPONSES_MAX {
                    return Err(Malformed::TooManyInterim.into());
                }
            }
            _ => self.begin_body(head, bytes)?,
        }
        Ok(Some(head.len))
    }

    fn begin_body(&mut self, head: Head, bytes: &[u8]) -> Result<(), ExchangeError> {
        self.status = head.status;
        self.coding = head.coding;
        self.keep_alive = head.keep_alive;
        if self.keep.head {
            self.head = Some(bytes[..head.len].into());
        }
        let bodiless = self.head_only || matches!(head.status, 204 | 304);
        self.state = match head.framing {
            _ if bodiless => State::Done,
            Framing::Length(0) => State::Done,
            Framing::Length(left) => {
                self.admit(left)?;
                if self.keep.body {
                    let reserve = usize::try_from(left).unwrap_or(usize::MAX);
                    self.body.reserve_exact(reserve.min(limits::RESPONSE_BODY_RESERVED_BYTES_MAX));
                }
                State::Length { left }
            }
            Framing::Chunked => State::Chunked(Decoder::new()),
            Framing::UntilClose => {
                self.keep_alive = false;
                State::UntilClose
            }
        };
        Ok(())
    }

    /// Takes bytes of the body; returns how many were left over after its end.
    fn feed_body(&mut self, bytes: &[u8]) -> Result<usize, ExchangeError> {
        match &mut self.state {
            State::Head => Ok(0),
            State::Done => Ok(bytes.len()),
            State::UntilClose => {
                self.body(bytes)?;
                Ok(0)
            }
            State::Length { left } => {
                let take = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= take as u64;
                if *left == 0 {
                    self.state = State::Done;
                }
                self.body(&bytes[..take])?;
                Ok(bytes.len() - take)
            }
            State::Chunked(decoder) => {
                let mut decoder = *decoder;
                let taken = decoder.decode(bytes, |piece| self.body(piece))?;
                self.state = if decoder.is_done() { State::Done } else { State::Chunked(decoder) };
                Ok(bytes.len() - taken)
            }
        }
    }

    fn body(&mut self, bytes: &[u8]) -> Result<(), ExchangeError> {
        self.admit(bytes.len() as u64)?;
        self.body_bytes += bytes.len() as u64;
        if self.keep.body {
            self.body.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Whether so many more bytes of body are within the bound.
    fn admit(&self, more: u64) -> Result<(), ExchangeError> {
        let limit_bytes = self.keep.body_bytes_max();
        if self.body_bytes.saturating_add(more) > limit_bytes {
            return Err(ExchangeError::BodyTooLarge { limit_bytes });
        }
        Ok(())
    }
}

/// What comes of `bytes` as one piece, in pieces of `cut` and as one piece whose head is remembered from a time before: each the response in words,
/// the end of the bytes being the end of the connection.
#[cfg(fuzzing)]
pub fn readings(bytes: &[u8], cut: usize) -> [Result<String, ExchangeError>; 3] {
    let in_words = |response: Response| {
        let Response { status, coding, keep_alive, body_bytes, body, set_cookies, .. } = response;
        format!("{status} {coding:?} {keep_alive} {body_bytes} {body:?} {set_cookies:?}")
    };
    let mut heads = head::Memo::default();
    let mut read = |cut: usize, remembers: bool| {
        let mut reader = ResponseReader::new(false, Keep { head: !remembers, body: true, cookies: true });
        for piece in bytes.chunks(cut.max(1)) {
            if reader.feed_remembering(piece, remembers.then_some(&mut heads))? {
                return Ok(in_words(reader.take()));
            }
        }
        reader.end().map(|()| in_words(reader.take()))
    };
    let _ = read(bytes.len(), true);
    [read(bytes.len(), false), read(cut, false), read(bytes.len(), true)]
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
