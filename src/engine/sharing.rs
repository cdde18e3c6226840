//! What one request goes over: a user's own connection, or what the users of a shard share. Shared HTTP/1.1 is a set of idle
//! connections, of which a request takes the one used last or opens another; shared HTTP/2 is streams on as few connections as the
//! server's limit on streams allows.

use super::shard::{Link, OpenSocket, Shard};
use crate::clock::Clock;
use crate::endpoint::EndpointId;
use crate::limits::{HTTP2_SHARED_CONNECTIONS_MAX, HTTP2_STREAMS_EXPECTED};
use crate::scenario::plan::{Connections, HttpVersion};
use crate::transport::{Buffers, Connection, Exchanging, Http2, Keep, TransportError};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use tokio::sync::Notify;

pub(super) enum Carrier {
    Own(Link),
    Stream(Lease),
}

/// The right to one stream of a shared connection.
pub(super) struct Lease {
    trunk: Rc<Trunk>,
    sharing: Rc<Sharing>,
}

/// A connection that carries the streams of several users.
struct Trunk {
    http2: Box<Http2>,
    leases: Cell<usize>,
    _open: OpenSocket,
}

/// The HTTP/2 connections that the users of a shard share.
pub(super) struct Sharing {
    trunks: RefCell<Vec<Rc<Trunk>>>,
    /// Connections being opened, and users who wait for those to be there or for a stream to end.
    opening: Cell<usize>,
    waiting: Cell<usize>,
    /// How many requests a connection that is being opened will serve at once: 1 once the server is known to choose HTTP/1.1.
    streams_expected: Cell<usize>,
    freed: Notify,
}

impl Carrier {
    pub(super) fn exchange<'a>(
        &'a mut self,
        request: &'a [u8],
        head_only: bool,
        keep: Keep,
        buffers: &'a Buffers,
        clock: &'a Clock,
    ) -> Exchanging<'a> {
        match self {
            Self::Own(link) => link.connection.exchange(request, head_only, keep, buffers, clock),
            Self::Stream(lease) => lease.trunk.http2.exchange(request, keep, buffers, clock),
        }
    }

    pub(super) fn is_used(&self) -> bool {
        match self {
            Self::Own(link) => link.connection.is_used(),
            Self::Stream(lease) => lease.trunk.http2.is_used(),
        }
    }

    /// What was asked on it before, if it is known.
    pub(super) fn asked_last(&self) -> Option<EndpointId> {
        match self {
            Self::Own(link) => Some(link.last),
            Self::Stream(_) => None,
        }
    }

    pub(super) fn is_intact(&self) -> bool {
        match self {
            Self::Own(link) => link.connection.is_intact(),
            Self::Stream(lease) => lease.trunk.http2.takes_more(),
        }
    }

    pub(super) fn gave_up_waiting(&self) {
        match self {
            Self::Own(link) => link.connection.gave_up_waiting(),
            Self::Stream(lease) => lease.trunk.http2.gave_up_waiting(),
        }
    }

    pub(super) fn waited_for(&self) -> Option<&'static str> {
        match self {
            Self::Own(link) => link.connection.waited_for(),
            Self::Stream(lease) => lease.trunk.http2.waited_for(),
        }
    }
}

impl Shard {
    /// A way to the target for a user who has none. `queued` is true for as long as the user waits for a stream of connections that are there,
    /// and stays so when the wait is given up.
    pub(super) async fn carrier(&self, queued: &Cell<bool>) -> Result<Carrier, TransportError> {
        match self.plan.target.connections {
            Connections::PerUser | Connections::Fresh => self.connect().await.map(Carrier::Own),
            Connections::Shared => self.share(queued).await,
        }
    }

    async fn share(&self, queued: &Cell<bool>) -> Result<Carrier, TransportError> {
        let sharing = &self.sharing;
        loop {
            if let Some(link) = self.idle.borrow_mut().pop() {
                return Ok(Carrier::Own(link));
            }
            if let Some(lease) = sharing.lease() {
                return Ok(Carrier::Stream(lease));
            }
            if !sharing.may_open() {
                let _waiting = Counted::one_more(&sharing.waiting);
                queued.set(!sharing.trunks.borrow().is_empty());
                sharing.freed.notified().await;
                queued.set(false);
                continue;
            }
            let opening = Opening::begin(sharing);
            let link = self.connect().await?;
            match link.connection {
                Connection::Http1(_) => {
                    sharing.streams_expected.set(1);
                    return Ok(Carrier::Own(link));
                }
                Connection::Http2(http2) => {
                    sharing.streams_expected.set(http2.streams_max().max(1));
                    let trunk = Rc::new(Trunk { http2, leases: Cell::new(0), _open: link.open });
                    sharing.trunks.borrow_mut().push(trunk);
                    drop(opening);
                }
            }
        }
    }
}

impl Sharing {
    pub(super) fn new(version: HttpVersion, tls: bool) -> Self {
        let may_multiplex = version == HttpVersion::Http2 || version == HttpVersion::Auto && tls;
        Self {
            trunks: RefCell::default(),
            opening: Cell::new(0),
            waiting: Cell::new(0),
            streams_expected: Cell::new(if may_multiplex { HTTP2_STREAMS_EXPECTED } else { 1 }),
            freed: Notify::new(),
        }
    }

    /// Closes all connections.
    pub(super) fn close(&self) {
        self.trunks.borrow_mut().clear();
    }

    /// A stream of the connection with the fewest, if one has room.
    fn lease(self: &Rc<Self>) -> Option<Lease> {
        self.prune();
        let trunks = self.trunks.borrow();
        // A server that allows none at all is asked all the same: it may be about to allow more.
        let has_room = |trunk: &&Rc<Trunk>| {
            trunk.http2.takes_more() && trunk.leases.get() < trunk.http2.streams_max().max(1)
        };
        let trunk = trunks.iter().filter(has_room).min_by_key(|trunk| trunk.leases.get())?;
        trunk.leases.set(trunk.leases.get() + 1);
        Some(Lease { trunk: Rc::clone(trunk), sharing: Rc::clone(self) })
    }

    /// Lets go of connections that take no more streams once those they have are ended.
    fn prune(&self) {
        self.trunks.borrow_mut().retain(|trunk| trunk.http2.takes_more() || trunk.leases.get() > 0);
    }

    /// Whether the connections being opened will not do for those who wait: a thousand users who begin at once open ten connections,
    /// not a thousand.
    fn may_open(&self) -> bool {
        let opening = self.opening.get();
        let wanted = opening.saturating_mul(self.streams_expected.get()) <= opening + self.waiting.get();
        let bounded = self.streams_expected.get() > 1;
        wanted && (!bounded || self.trunks.borrow().len() + opening < HTTP2_SHARED_CONNECTIONS_MAX)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.trunk.leases.set(self.trunk.leases.get() - 1);
        self.sharing.prune();
        self.sharing.freed.notify_one();
    }
}

/// Counts one in while it lives, however it ends.
struct Counted<'a>(&'a Cell<usize>);

impl<'a> Counted<'a> {
    fn one_more(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// A connection being opened. Its end, good or bad, is a reason for all who wait to look again.
struct Opening<'a> {
    sharing: &'a Sharing,
    counted: Option<Counted<'a>>,
}

impl<'a> Opening<'a> {
    fn begin(sharing: &'a Sharing) -> Self {
        Self { sharing, counted: Some(Counted::one_more(&sharing.opening)) }
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.counted = None;
        self.sharing.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_opened_for_as_many_as_wait() {
        let sharing = Sharing::new(HttpVersion::Http2, false);
        assert!(sharing.may_open(), "the first");
        let first = Opening::begin(&sharing);
        assert!(!sharing.may_open(), "it will carry a hundred");
        sharing.waiting.set(98);
        assert!(!sharing.may_open());
        sharing.waiting.set(99);
        assert!(sharing.may_open(), "the hundred and first needs a second");
        drop(first);
        sharing.streams_expected.set(1);
        sharing.waiting.set(0);
        sharing.opening.set(5_000);
        assert!(
            sharing.may_open(),
            "HTTP/1.1 carries one request at a time, so nobody waits for another's connection"
        );
    }
}
