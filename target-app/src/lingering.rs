//! What a client still sends of a request that has its answer already, as of one whose body is too large. Were its connection closed with
//! something unread, that would reset it, and the client could lose the answer. So the rest is read and thrown away for a while, which nginx
//! calls lingering. The app does so with its clients and the gateway with its own.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::{Request, header};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How long a client may go on with a body that nobody wants; nginx's `lingering_timeout`.
const LINGERING: Duration = Duration::from_secs(5);
/// How much of it is taken in that time.
const LINGERING_MAX_BYTES: usize = 16 << 20;

/// Who wants to know that the rest of a request is being thrown away.
pub(crate) trait Watch: Clone + Send + Unpin + 'static {
    fn lingers(&self, lingers: bool);
}

/// Nobody does.
impl Watch for () {
    fn lingers(&self, _: bool) {}
}

/// The body of a request; what nobody wants of it is read and thrown away.
pub(crate) struct Lingering<W: Watch> {
    body: Option<Incoming>,
    watch: W,
    /// The client has been told to wait with it, and need not be asked for it only to throw it away.
    held_back: bool,
}

impl<W: Watch> Lingering<W> {
    pub(crate) fn of(request: Request<Incoming>, watch: W) -> Request<Self> {
        let held_back = request.headers().contains_key(header::EXPECT);
        request.map(|body| Self { body: Some(body), watch, held_back })
    }
}

impl<W: Watch> Body for Lingering<W> {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.held_back = false;
        self.body.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl<W: Watch> Drop for Lingering<W> {
    fn drop(&mut self) {
        let left = self.body.take().filter(|body| !self.held_back && !body.is_end_stream());
        if let Some((body, runtime)) = left.zip(Handle::try_current().ok()) {
            let watch = self.watch.clone();
            watch.lingers(true);
            runtime.spawn(async move {
                // Of one who goes on for longer hyper closes the connection.
                let _ = timeout(LINGERING, thrown_away(body)).await;
                watch.lingers(false);
            });
        }
    }
}

async fn thrown_away(mut body: Incoming) {
    let mut left = LINGERING_MAX_BYTES;
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
