//! Where requests go, settled once before the run, and opening a connection to it.

use super::connection::{Connection, HttpVersion};
use super::error::{TlsFailure, TransportError};
use super::exchange::Http1;
use super::http2::Http2;
use super::stream::Stream;
use super::tls::Tls;
#[cfg(test)]
use crate::limits;
use crate::limits::{DESCRIPTORS_RESERVED_MAX, DESCRIPTORS_SPARED};
use nix::sys::socket::{setsockopt, sockopt};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};
use rustix::process::Resource;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::LazyLock;
use tokio::net::TcpStream;

/// One target: no name is looked up and no TLS set-up made after the run has begun.
#[derive(Clone, Debug)]
pub struct Address {
    pub addr: SocketAddr,
    /// Value of the `host:` field: the name as the scenario gave it, with its port unless that is the scheme's own.
    pub host_header: String,
    pub tls: Option<Tls>,
    version: HttpVersion,
    /// Gets the other end of every connection, in place of the network.
    #[cfg(test)]
    simulated: Option<fn(tokio::io::DuplexStream)>,
}

impl Address {
    /// `host` and `port` as the scenario has them; `addr` is what [`super::resolve()`] made of them.
    pub fn new(host: &str, port: u16, addr: SocketAddr, tls: Option<Tls>) -> Self {
        let usual = if tls.is_some() { 443 } else { 80 };
        // A bare IPv6 address needs its brackets back in a URL or a host field.
        let name =
            if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
        let host_header = if port == usual { name } else { format!("{name}:{port}") };
        Self {
            addr,
            host_header,
            tls,
            version: HttpVersion::Http1,
            #[cfg(test)]
            simulated: None,
        }
    }

    /// The same address served by a function of the test.
    #[cfg(test)]
    pub(crate) fn simulated(self, serve: fn(tokio::io::DuplexStream)) -> Self {
        Self { simulated: Some(serve), ..self }
    }

    /// The same address spoken to in another version of HTTP.
    pub fn speaking(self, version: HttpVersion) -> Self {
        Self { version, ..self }
    }

    /// The same address with a TLS session store of its own: shards share no lock, not even for resumption.
    pub fn for_shard(&self) -> Self {
        Self { tls: self.tls.as_ref().map(Tls::for_shard), ..self.clone() }
    }
}

/// Opens a connection, from `source` if the machine has more than one address to send from. The time-out is the caller's: dropping
/// the future closes the socket.
///
/// # Errors
/// Why there is no connection, by name.
pub async fn connect(address: &Address, source: Option<IpAddr>) -> Result<Connection, TransportError> {
    let stream = open(address, source, address.version).await?;
    speak(address, stream).await
}

/// As [`connect`], for who wants to know when the connection stood and TLS, if there is any, was yet to come. A function of its own, so
/// that the future of the other stays small.
///
/// # Errors
/// As [`connect`].
pub async fn connect_watched(
    address: &Address,
    source: Option<IpAddr>,
    dialed: impl FnOnce(),
) -> Result<Connection, TransportError> {
    let socket = dial(address.addr, source).await.map_err(|error| TransportError::from_io(&error))?;
    dialed();
    let stream = secure(address, socket, address.version).await?;
    speak(address, stream).await
}

/// A socket on which `version` may be spoken, whatever the address is for: a WebSocket opens with HTTP/1.1.
pub(super) async fn open(
    address: &Address,
    source: Option<IpAddr>,
    version: HttpVersion,
) -> Result<Stream, TransportError> {
    #[cfg(test)]
    if let Some(serve) = address.simulated {
        let (ours, theirs) = tokio::io::duplex(limits::SHARD_READ_BUFFER_BYTES);
        serve(theirs);
        return Ok(Stream::Simulated(ours));
    }
    let socket = dial(address.addr, source).await.map_err(|error| TransportError::from_io(&error))?;
    secure(address, socket, version).await
}

async fn secure(
    address: &Address,
    socket: TcpStream,
    version: HttpVersion,
) -> Result<Stream, TransportError> {
    match &address.tls {
        None => Ok(Stream::Plain(socket)),
        // Boxed: the state of a handshake is kilobytes, and a plain connection's future would carry room for it.
        Some(tls) => Box::pin(handshake(tls, socket, version)).await,
    }
}

async fn speak(address: &Address, stream: Stream) -> Result<Connection, TransportError> {
    let http2 = match &stream {
        Stream::Plain(_) => address.version == HttpVersion::Http2,
        Stream::Tls(tls) => tls.get_ref().1.alpn_protocol() == Some(b"h2"),
        #[cfg(test)]
        Stream::Simulated(_) => false,
    };
    match (http2, address.version) {
        // Boxed, as the handshake of TLS is.
        (true, _) => {
            let http2 = Box::pin(Http2::begin(stream)).await?;
            Ok(Connection::Http2(Box::new(http2)))
        }
        (false, HttpVersion::Http2) => Err(TransportError::NotHttp2),
        (false, _) => Ok(Connection::Http1(Http1::new(stream))),
    }
}

async fn dial(addr: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
    leave_some(socket.as_raw_fd())?;
    // A request is written in one piece and waits for its answer: Nagle's algorithm could only delay it.
    net::sockopt::set_tcp_nodelay(&socket, true)?;
    if let Some(source) = source {
        // The port is then chosen when connecting, when the peer is known: one port serves for as many peers as there are, and binding does
        // not search the range. Where the kernel lacks this, binding takes a port at once, which works for fewer connections.
        let _ = setsockopt(&socket, sockopt::IpBindAddressNoPort, &true);
        net::bind(&socket, &SocketAddr::new(source, 0))?;
    }
    let mut begun = net::connect(&socket, &addr);
    if addr.ip().is_loopback() && begun == Err(Errno::INPROGRESS) {
        // Where the kernel shakes hands with itself it has done so by now. Asking costs less than the way through the reactor.
        begun = net::connect(&socket, &addr);
    }
    let stream = TcpStream::from_std(socket.into())?;
    match begun {
        Ok(()) => return Ok(stream),
        Err(Errno::INPROGRESS | Errno::ALREADY) => stream.writable().await?,
        Err(refused) => return Err(refused.into()),
    }
    stream.take_error()?.map_or(Ok(stream), Err)
}

/// The process's own limit. Asked for once: a thousand connections a second would ask a thousand times, and whoever starts the process sets
/// it before.
static DESCRIPTORS_MAX: LazyLock<u64> =
    LazyLock::new(|| rustix::process::getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX));

/// Makes room in the kernel's table of descriptors. It doubles whenever it is full, and in a process of several threads everybody who opens
/// something waits meanwhile for all processors: a tenth of a second at the 4,097th connection, and again at the 8,193rd.
pub fn reserve_descriptors() {
    let last = (*DESCRIPTORS_MAX).min(DESCRIPTORS_RESERVED_MAX).saturating_sub(1);
    // Without room made beforehand everything works as well, only later.
    let _ = RawFd::try_from(last).map(|last| rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), last));
}

/// Refuses the last descriptors of the process. The kernel gives the lowest that is free, so the number of one tells how many are taken.
fn leave_some(descriptor: RawFd) -> io::Result<()> {
    if u64::try_from(descriptor).unwrap_or(0) + DESCRIPTORS_SPARED < *DESCRIPTORS_MAX {
        return Ok(());
    }
    Err(Errno::MFILE.into())
}

async fn handshake(tls: &Tls, socket: TcpStream, version: HttpVersion) -> Result<Stream, TransportError> {
    match tls.shake(socket, version).await {
        Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(TransportError::Tls(TlsFailure::Closed))
        }
        Err(error) => Err(TransportError::from_io(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_descriptors_are_left_to_the_record() {
        let most = *DESCRIPTORS_MAX;
        let number = |n: u64| RawFd::try_from(n).expect("descriptors are small numbers");
        assert!(leave_some(3).is_ok() && leave_some(number(most - DESCRIPTORS_SPARED - 1)).is_ok());
        let refused = leave_some(number(most - DESCRIPTORS_SPARED)).expect_err("one of the last");
        assert_eq!(TransportError::from_io(&refused), TransportError::TooManyFiles);
    }

    #[test]
    fn the_host_field_has_the_port_unless_it_goes_without_saying() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 80));
        assert_eq!(Address::new("shop.example", 80, addr, None).host_header, "shop.example");
        assert_eq!(Address::new("shop.example", 8080, addr, None).host_header, "shop.example:8080");
        assert_eq!(Address::new("::1", 8080, addr, None).host_header, "[::1]:8080");
    }
}
