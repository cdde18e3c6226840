//! The link over which figures travel inside a fleet: whoever connects to a socket is sent one text, to the end.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};

/// Longest text: some 200 series of 100 bytes, and a hundred times that.
const TEXT_MAX_BYTES: u64 = 2 * 1024 * 1024;
/// How long one text may take; a replica whose CPU is dialled down still answers within it.
pub(super) const WAIT: Duration = Duration::from_secs(1);
/// How long to leave a listener alone that refuses, as it does when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// The text given at this socket.
pub(super) async fn ask(socket: &Path) -> io::Result<String> {
    let read = async {
        let connection = UnixStream::connect(socket).await?;
        let mut text = String::new();
        connection.take(TEXT_MAX_BYTES).read_to_string(&mut text).await?;
        Ok(text)
    };
    // The one who answers for all waits for the others itself.
    match timeout(2 * WAIT, read).await {
        // A replica that dies while it answers leaves half a text or none.
        Ok(Ok(text)) if text.ends_with('\n') => Ok(text),
        Ok(Ok(_)) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer is cut short")),
        Ok(Err(e)) => Err(e),
        Err(_) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", 2 * WAIT.as_secs())))
        }
    }
}

pub(crate) async fn accept(listener: &UnixListener) -> UnixStream {
    loop {
        match listener.accept().await {
            Ok((connection, _)) => return connection,
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Sends the text. Someone who does not read it in time gets no more of it.
pub(super) async fn answer(mut connection: UnixStream, text: &str) {
    // Either way there is nothing to do about a reader that went away.
    let _ = timeout(WAIT, connection.write_all(text.as_bytes())).await;
}
