//! How an order gets from the supervisor of a fleet to its replicas and Redis nodes: each listens on a socket in the fleet's directory, is sent a line with the
//! instant of the order, which is the same for all, and then the order, and says what is on then.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::{Faults, Order};
use crate::clock;
use crate::fleet::accept;

const TEXT_MAX_BYTES: u64 = 64 * 1024;
const WAIT: Duration = Duration::from_secs(2);

/// Tells the process behind this socket an order; without one it is only asked. What is on there then, as JSON.
pub(crate) async fn tell(socket: &Path, order: &str, at_ms: u64) -> io::Result<String> {
    let told = async {
        let mut connection = UnixStream::connect(socket).await?;
        connection.write_all(format!("{at_ms}\n{order}").as_bytes()).await?;
        connection.shutdown().await?;
        let mut text = String::new();
        connection.take(TEXT_MAX_BYTES).read_to_string(&mut text).await?;
        if text.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(text) }
    };
    timeout(WAIT, told).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Does as it is told on this socket, for ever.
pub(crate) async fn obey(listener: UnixListener, faults: Arc<Faults>) {
    loop {
        let connection = accept(&listener).await;
        // One order after the other, each in bounded time; one that ends half-way was none.
        let _ = timeout(WAIT, obey_one(connection, &faults)).await;
    }
}

async fn obey_one(mut connection: UnixStream, faults: &Faults) -> io::Result<()> {
    let mut text = String::new();
    (&mut connection).take(TEXT_MAX_BYTES).read_to_string(&mut text).await?;
    // The supervisor has read it before.
    if let Some((at_ms, order)) = text.split_once('\n')
        && let (Ok(at_ms), Ok(order)) = (at_ms.parse(), Order::parse(order))
    {
        faults.order(&order, clock::now(), at_ms);
    }
    connection.write_all(faults.told(clock::now(), clock::unix_ms()).to_string().as_bytes()).await
}
