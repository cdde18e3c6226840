//! Kernel receive timestamps on a sample of the reads: how long the bytes of an answer lay in the socket before this process read
//! them. That is the generator's own error in every latency it reports, and only the kernel can tell it.
//!
//! An HTTP/1.1 exchange in clear text knows which read ends its response, and that is the one it samples. Whatever else is listened to
//! (WebSockets, event streams, HTTP/2, everything under TLS) has one read in so many sampled: one that ends in the middle of a record or
//! a frame was no less late.
//!
//! A sampled exchange asks for stamps on its socket (`SO_TIMESTAMPNS`) just before it writes the request, so one connection gets samples
//! like a hundred thousand do, and those that are never sampled never pay. Its response is read by `recvmsg` instead of `read`: the same
//! number of system calls. The others cost a counter. What is listened to asks when it is opened, for any of its reads may be sampled, and looks at
//! the clock when one brings something.

use crate::clock::{self, Clock, Nanos};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, cmsg_space, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use rustix::net::{AddressFamily, SocketType};
use std::cell::{Cell, RefCell};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// One response in so many is sampled. A prime, so that the sample does not always fall on the same step of a journey.
pub const READ_ERROR_ONE_IN: u32 = 101;
/// And one if none was for so long: a slow load must not end with a handful of samples.
const ONE_A: Nanos = 100_000_000;

/// Chooses what a shard samples.
#[derive(Debug)]
pub(super) struct Sampler {
    exchanges: Turns,
    reads: Turns,
    clock: Clock,
    /// How late the sampled reads of sockets were, until somebody takes it.
    told: RefCell<Vec<Nanos>>,
    /// A socket that asks for stamps as long as the shard runs: the kernel takes none until somebody asks, begins only a while after the
    /// first did, and would stop again with the last connection that did. `None` where there are no stamps to be had.
    keeps_stamping: Option<OwnedFd>,
    /// Room for the stamp beside the bytes.
    control: RefCell<Box<[u8]>>,
}

impl Sampler {
    pub(super) fn new(one_in: u32) -> Self {
        Self {
            exchanges: Turns::every(one_in),
            reads: Turns::every(one_in),
            clock: Clock::start(),
            told: RefCell::default(),
            keeps_stamping: stamping_socket(),
            control: RefCell::new(vec![0; 2 * cmsg_space::<TimeSpec>()].into_boxed_slice()),
        }
    }

    /// Whether the next exchange is one of the sample.
    pub(super) fn is_due(&self, now: Nanos) -> bool {
        let due = self.exchanges.is_due(now);
        self.exchanges.pass(due, now);
        due && self.keeps_stamping.is_some()
    }

    /// How late the sampled reads of sockets were, since the last call.
    pub(super) fn take_told(&self) -> Vec<Nanos> {
        self.told.take()
    }

    /// Reads like `poll_read`, and samples one read in so many that found something, the end of the stream included, of which there is
    /// nothing to tell.
    pub(super) fn poll_read_of_many(
        &self,
        socket: &mut TcpStream,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // A line is looked at far more often than something comes, and only then is the time worth asking for.
        ready!(socket.poll_read_ready(context))?;
        let now = self.clock.now();
        let due = self.reads.is_due(now);
        if !due || self.keeps_stamping.is_none() {
            ready!(Pin::new(socket).poll_read(context, buffer))?;
        } else if let Some(waited_ns) = ready!(self.poll_read(socket, context, buffer))? {
            self.told.borrow_mut().push(waited_ns);
        }
        self.reads.pass(due, now);
        Poll::Ready(Ok(()))
    }

    /// Reads like `poll_read`. Yields how long the last of the bytes had lain in the socket, where the kernel says so.
    pub(super) fn poll_read(
        &self,
        socket: &TcpStream,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Option<Nanos>>> {
        let mut control = self.control.borrow_mut();
        loop {
            ready!(socket.poll_read_ready(context))?;
            let mut read = None;
            let outcome = socket.try_io(Interest::READABLE, || {
                let bytes = buffer.initialize_unfilled();
                let room = bytes.len();
                let (count, waited_ns) = receive(socket, bytes, &mut control)?;
                read = Some((count, waited_ns));
                // A read that did not fill the buffer has emptied the socket. tokio's own reads tell the reactor so, by the same word,
                // and spare the read that would only find nothing.
                if count > 0 && count < room { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            match (read, outcome) {
                (Some((count, waited_ns)), _) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(waited_ns));
                }
                (None, Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Poll::Ready(Err(error));
                }
                // The reactor had spoken too soon: wait for its next word.
                (None, _) => {}
            }
        }
    }
}

/// Whose turn it is to be sampled.
#[derive(Debug)]
struct Turns {
    one_in: u32,
    passed: Cell<u32>,
    /// When the last sample was taken; the first of all begins the wait for one.
    last_ns: Cell<Option<Nanos>>,
}

impl Turns {
    fn every(one_in: u32) -> Self {
        Self { one_in, passed: Cell::new(0), last_ns: Cell::new(None) }
    }

    /// Never the very first: when all users begin at once it is read late, and a short run would know nothing else.
    fn is_due(&self, now: Nanos) -> bool {
        let Some(last_ns) = self.last_ns.get() else { return false };
        self.passed.get() + 1 >= self.one_in || now.saturating_sub(last_ns) >= ONE_A
    }

    fn pass(&self, sampled: bool, now: Nanos) {
        if sampled {
            self.passed.set(0);
            self.last_ns.set(Some(now));
        } else {
            self.passed.set(self.passed.get() + 1);
            self.last_ns.set(self.last_ns.get().or(Some(now)));
        }
    }
}

/// Asks the kernel for stamps on what this socket receives from now on.
pub(super) fn ask_for_stamps(socket: &TcpStream) -> bool {
    setsockopt(socket, sockopt::ReceiveTimestampns, &true).is_ok()
}

fn stamping_socket() -> Option<OwnedFd> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None).ok()?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true).ok()?;
    Some(socket)
}

/// One `recvmsg`: the bytes read, and how long the last of them had been there.
fn receive(socket: &TcpStream, bytes: &mut [u8], control: &mut [u8]) -> io::Result<(usize, Option<Nanos>)> {
    let mut parts = [IoSliceMut::new(bytes)];
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(control), MsgFlags::empty())?;
    let now_ns = clock::unix_ns();
    let arrived = message.cmsgs().ok().and_then(|mut messages| {
        messages.find_map(|message| match message {
            ControlMessageOwned::ScmTimestampns(at) => Some(at),
            _ => None,
        })
    });
    // Stamps are of the wall clock; where that was set back in between, there is nothing to tell.
    let waited_ns = arrived.and_then(|at| now_ns.checked_sub(unix_ns(at)?));
    Ok((message.bytes, waited_ns))
}

fn unix_ns(at: TimeSpec) -> Option<Nanos> {
    let seconds = u64::try_from(at.tv_sec()).ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(u64::try_from(at.tv_nsec()).ok()?)
}

/// The TCP socket under TLS, where only it knows of reads: it has its own sampled once it is watched.
#[derive(Debug)]
pub(super) struct Socket {
    tcp: TcpStream,
    sampler: Option<Rc<Sampler>>,
    /// Nobody had to read what it has now any sooner.
    pub(super) idle: bool,
}

impl Socket {
    pub(super) fn new(tcp: TcpStream) -> Self {
        Self { tcp, sampler: None, idle: false }
    }

    /// From now on its reads are among those that are sampled.
    pub(super) fn watch(&mut self, sampler: &Rc<Sampler>) {
        if self.sampler.is_none() && ask_for_stamps(&self.tcp) {
            self.sampler = Some(Rc::clone(sampler));
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { tcp, sampler, idle } = self.get_mut();
        match sampler {
            Some(sampler) if !*idle => sampler.poll_read_of_many(tcp, context, buffer),
            _ => Pin::new(tcp).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[test]
    fn one_exchange_in_a_hundred_is_sampled_and_ten_a_second_of_a_slow_load() {
        let sampled = |every_ns: Nanos| -> Vec<u64> {
            let sampler = Sampler::new(READ_ERROR_ONE_IN);
            (0..1_010).filter(|turn| sampler.is_due(turn * every_ns)).collect()
        };
        assert_eq!(sampled(1_000)[..3], [100, 201, 302]);
        assert_eq!(sampled(1_000).len(), 10);
        assert_eq!(sampled(30_000_000)[..3], [4, 8, 12], "the first after a tenth of a second");
        assert_eq!(sampled(1_000_000_000).len(), 1_009, "all but the first");
        let all = Sampler::new(1);
        assert_eq!((0..1_010).filter(|turn| all.is_due(turn * 1_000)).count(), 1_009, "all but the first");
    }

    #[test]
    fn where_the_kernel_stamps_nothing_nothing_is_sampled() {
        let blind = Sampler { keeps_stamping: None, ..Sampler::new(READ_ERROR_ONE_IN) };
        assert!((0..1_000).all(|turn| !blind.is_due(turn * ONE_A)));
    }

    async fn read(sampler: &Sampler, socket: &TcpStream) -> (Vec<u8>, Option<Nanos>) {
        let mut memory = [0; 64];
        let mut buffer = ReadBuf::new(&mut memory);
        let waited = std::future::poll_fn(|context| sampler.poll_read(socket, context, &mut buffer))
            .await
            .expect("read");
        (buffer.filled().to_vec(), waited)
    }

    #[tokio::test]
    async fn bytes_that_lie_unread_are_told_with_the_time_they_lay() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let near = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("connected");
        let (mut far, _) = listener.accept().await.expect("accepted");
        let sampler = Sampler::new(READ_ERROR_ONE_IN);
        assert!(ask_for_stamps(&near));
        // Stamping begins a moment after it is first asked for.
        tokio::time::sleep(Duration::from_millis(50)).await;

        far.write_all(b"first").await.expect("written");
        std::thread::sleep(Duration::from_millis(30));
        far.write_all(b" and last").await.expect("written");
        std::thread::sleep(Duration::from_millis(20));
        let (bytes, waited_ns) = read(&sampler, &near).await;
        assert_eq!(bytes, b"first and last");
        let waited_ms = waited_ns.expect("this kernel stamps what it receives") / 1_000_000;
        assert!(waited_ms >= 20, "the last bytes lay 20 ms, not {waited_ms} ms");

        // The reactor was told that the socket is empty, so the next read waits instead of asking the kernel.
        let mut nothing = [0; 8];
        let quiet = near.try_read(&mut nothing).expect_err("nothing is there");
        assert_eq!(quiet.kind(), io::ErrorKind::WouldBlock);
        drop(far);
        let (bytes, waited_ns) = read(&sampler, &near).await;
        assert_eq!((bytes.len(), waited_ns), (0, None), "the end has no bytes and no stamp");
    }

    #[tokio::test]
    async fn a_watched_socket_tells_how_late_it_was_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let near = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("connected");
        let (mut far, _) = listener.accept().await.expect("accepted");
        let sampler = Rc::new(Sampler::new(READ_ERROR_ONE_IN));
        let mut socket = Socket::new(near);
        socket.watch(&sampler);
        tokio::time::sleep(Duration::from_millis(50)).await;
        for turn in 0..300 {
            far.write_all(b"tick").await.expect("written");
            if turn == 150 {
                std::thread::sleep(Duration::from_nanos(ONE_A));
            }
            let mut memory = [0; 64];
            assert_eq!(socket.read(&mut memory).await.expect("read"), 4);
        }
        let told = sampler.take_told();
        assert!(told.len() >= 3, "one in a hundred, and the one after the wait: {told:?}");
        assert!(
            told.iter().any(|waited_ns| *waited_ns >= ONE_A),
            "it had lain for a tenth of a second: {told:?}"
        );
        assert!(sampler.take_told().is_empty());
    }
}
