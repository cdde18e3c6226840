//! An event stream in pieces brings the same events as in one piece.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::transport::{Event, EventParser};

fn parse(bytes: &[u8], cut: usize) -> (Vec<Event>, EventParser) {
    let mut parser = EventParser::default();
    let mut events = Vec::new();
    for piece in bytes.chunks(cut.max(1)) {
        if parser.feed(piece, |event| events.push(event)).is_err() {
            break;
        }
    }
    (events, parser)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (cut, bytes) = input;
    let (whole, pieces) = (parse(bytes, bytes.len()), parse(bytes, usize::from(cut)));
    assert_eq!(whole.0, pieces.0);
    assert_eq!(whole.1.last_event_id(), pieces.1.last_event_id());
    assert_eq!(whole.1.retry(), pieces.1.retry());
});
