//! Frames: a message in postcard's encoding behind its length, four bytes, big-endian.

use crate::limits::FRAME_BYTES_MAX;
use serde::{Serialize, de::DeserializeOwned};
use std::io::{Error, ErrorKind, Result};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Writes one message. Not to be dropped half-way: the other end would wait for the rest.
///
/// # Errors
/// What the link says, or that the message is larger than [`FRAME_BYTES_MAX`].
pub(super) async fn send<T: Serialize>(link: &mut (impl AsyncWrite + Unpin), message: &T) -> Result<()> {
    let mut bytes = postcard::to_extend(message, vec![0; 4]).map_err(Error::other)?;
    let length = bytes.len() - 4;
    if length > FRAME_BYTES_MAX {
        return Err(Error::other(format!("a message of {length} bytes, more than {FRAME_BYTES_MAX}")));
    }
    let header = u32::try_from(length).map_err(Error::other)?;
    bytes[..4].copy_from_slice(&header.to_be_bytes());
    link.write_all(&bytes).await
}

/// Reads one message; `None` when the other end has closed the link between two of them.
///
/// # Errors
/// What the link says, or that what came is no message.
pub(super) async fn receive<T: DeserializeOwned>(link: &mut (impl AsyncRead + Unpin)) -> Result<Option<T>> {
    let mut header = [0; 4];
    let mut filled = 0;
    while filled < header.len() {
        match link.read(&mut header[filled..]).await? {
            0 if filled == 0 => return Ok(None),
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
    let length = u32::from_be_bytes(header) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(Error::other(format!(
            "a message of {length} bytes is announced, more than {FRAME_BYTES_MAX}"
        )));
    }
    // Read through a bounded view, so that memory grows with what arrives and not with what is announced.
    let mut bytes = Vec::new();
    link.take(length as u64).read_to_end(&mut bytes).await?;
    if bytes.len() < length {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    postcard::from_bytes(&bytes).map(Some).map_err(Error::other)
}

#[cfg(test)]
mod tests {
    use super::super::protocol::{Order, Word};
    use super::*;
    use crate::engine::shard::{Command, Report};
    use crate::measure::sample::Outcome;
    use crate::measure::snapshot::Snapshot;

    fn second() -> Snapshot {
        let mut snapshot = Snapshot { end_s: 3, users: 7, pss_bytes: 1 << 40, ..Snapshot::default() };
        for n in 0..1000u64 {
            snapshot.window_mut(2).response.record(n * n * 977);
        }
        snapshot.window_mut(4).failed.get_or_insert_default().service.record(u64::MAX / 3);
        snapshot.counts.planned = u64::MAX;
        snapshot.failures.add(2, Outcome::Reset, "gone – ganz weg");
        snapshot
    }

    #[tokio::test]
    async fn a_second_arrives_as_it_was_sent() {
        let (mut here, mut there) = tokio::io::duplex(64);
        let sending = async {
            send(&mut here, &Word::Report(Report::Snapshot(Box::new(second())))).await.expect("sent");
            send(&mut here, &Word::Ready).await.expect("sent");
            drop(here);
        };
        let receiving = async {
            let Some(Word::Report(Report::Snapshot(snapshot))) = receive(&mut there).await.expect("a word")
            else {
                panic!("not a second")
            };
            assert_eq!(*snapshot, second());
            assert!(matches!(receive(&mut there).await, Ok(Some(Word::Ready))));
            assert!(matches!(receive::<Word>(&mut there).await, Ok(None)), "a clean end");
        };
        tokio::join!(sending, receiving);
    }

    #[tokio::test]
    async fn what_is_no_message_is_an_error_and_neither_a_panic_nor_much_memory() {
        let mut whole = Vec::new();
        send(&mut whole, &Order::Command(Command::Drain)).await.expect("written");
        for cut in 1..whole.len() {
            assert!(receive::<Order>(&mut &whole[..cut]).await.is_err(), "cut off after {cut}");
        }
        let announced = [u32::MAX.to_be_bytes().as_slice(), b"x"].concat();
        assert!(receive::<Order>(&mut announced.as_slice()).await.is_err());
        for garbage in [[0, 0, 0, 2, 0xff, 0xff].as_slice(), &[0, 0, 0, 0], &[0, 0, 0, 1, 9]] {
            assert!(receive::<Order>(&mut &*garbage).await.is_err(), "{garbage:?}");
        }
    }
}
