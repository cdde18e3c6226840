//! What a server may do wrong after the handshake (RFC 6455, section 5), each rule by itself and all of them at random.

use super::*;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

/// A frame as a server sends it: without a mask.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(length as u8),
        length @ 126..65_536 => {
            frame.push(126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

#[test]
fn broken_rules_are_named() {
    for (bytes, text) in [
        (vec![0x83, 0], "WebSocket protocol: Encountered invalid opcode: 3"),
        (vec![0x8b, 0], "WebSocket protocol: Encountered invalid opcode: 11"),
        (frame(0xc1, b"x"), "WebSocket protocol: Reserved bits are non-zero"),
        (vec![0x81, 0x81, 1, 2, 3, 4, 5], "WebSocket protocol: Received a masked frame from server"),
        (
            frame(0x89, &[0; 126]),
            "WebSocket protocol: Control frame too big (payload must be 125 bytes or less)",
        ),
        (frame(0x09, b"x"), "WebSocket protocol: Fragmented control frame"),
        (frame(0x80, b"x"), "WebSocket protocol: Continue frame but nothing to continue"),
        (
            [frame(0x01, b"a"), frame(0x81, b"b")].concat(),
            "WebSocket protocol: While waiting for more fragments received: TEXT",
        ),
        (
            frame(0x81, b"\xff\xfe"),
            "WebSocket protocol: a text message or the reason of a close is not UTF-8",
        ),
        (frame(0x88, b"x"), "WebSocket protocol: Invalid close sequence"),
        (
            [vec![0x82, 127], (1_u64 << 40).to_be_bytes().to_vec()].concat(),
            "a message is larger than 1048576 bytes",
        ),
        (
            [frame(0x02, &[0; 600_000]), frame(0x80, &[0; 600_000])].concat(),
            "a message is larger than 1048576 bytes",
        ),
        (frame(0x88, b""), "the server closed the socket with code 1005 (none given)"),
        (
            frame(0x88, &4001_u16.to_be_bytes()),
            "the server closed the socket with code 4001 (the application's own)",
        ),
        (frame(0x88, &1011_u16.to_be_bytes()), "the server closed the socket with code 1011 (server error)"),
        (
            frame(0x88, &999_u16.to_be_bytes()),
            "WebSocket protocol: the server closed with a code that no frame may have, or with 1002 (protocol error)",
        ),
        (
            frame(0x88, &1002_u16.to_be_bytes()),
            "the server closed the socket with code 1002 (protocol error)",
        ),
        (frame(0x81, b"cut off")[..5].to_vec(), "the connection ended without the closing handshake"),
        (Vec::new(), "the connection ended without the closing handshake"),
    ] {
        let (messages, error) = read_all(&bytes);
        assert!(messages.is_empty());
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn what_comes_before_the_break_is_kept() {
    let bytes =
        [frame(0x01, b"he"), frame(0x89, b"ping"), frame(0x80, b"llo"), frame(0x82, b"\xff"), vec![0x83, 0]];
    let (messages, error) = read_all(&bytes.concat());
    assert_eq!(messages, [b"hello".to_vec(), b"\xff".to_vec()]);
    assert_eq!(error.kind(), "malformed");
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let (_, error) = read_all(&bytes);
        prop_assert!(!error.to_string().is_empty());
    }

    #[test]
    fn messages_come_back(messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..6)) {
        let bytes: Vec<u8> = messages.iter().flat_map(|message| frame(0x82, message)).collect();
        prop_assert_eq!(read_all(&bytes).0, messages);
    }
}

#[test]
fn answers_to_the_opening_that_are_none_are_named() {
    let upgrade = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n";
    for (answer, text) in [
        (String::new(), "the connection ended without the closing handshake"),
        (
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".into(),
            "the server answered the opening handshake with status 404",
        ),
        (upgrade.to_owned(), "the connection ended without the closing handshake"),
        (
            format!("{upgrade}sec-websocket-accept: x\r\n\r\n"),
            "WebSocket protocol: Key mismatch in \"Sec-WebSocket-Accept\" header",
        ),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n".into(), "WebSocket protocol: httparse error: invalid HTTP version"),
    ] {
        assert_eq!(answered(answer.as_bytes()).to_string(), text, "{answer}");
    }
}
