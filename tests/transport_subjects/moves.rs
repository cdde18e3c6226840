//! Servers that misbehave by a list of moves, each with what the record must say of it: a whole shard meets all of them, and leaves no
//! descriptor open. Only for test programs of a single test, since the descriptors are those of the process.

use super::lines::switch;
use super::shard::Ran;
use super::{open_descriptors, read_head, reset, scripted};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What a server does, one move after the other; then it closes.
#[derive(Clone)]
pub(crate) enum Move {
    /// Takes the request and does not answer.
    Hear,
    /// Takes a WebSocket's opening handshake and answers it as it should, but so many bytes at a time.
    Greet(usize, Duration),
    Say(Vec<u8>),
    /// A byte at a time.
    Drip(Vec<u8>, Duration),
    /// Again and again, as fast as it is taken, until nobody is there.
    Babble(Vec<u8>),
    Wait(Duration),
    /// Neither says nor closes anything until the client is gone.
    Silence,
    Reset,
}

pub(crate) const MS: Duration = Duration::from_millis(1);

/// How it must end: the kind and the text of its one failure, if it fails.
pub(crate) type Named = Option<(&'static str, &'static str)>;

pub(crate) fn protocol(text: &'static str) -> Named {
    Some(("protocol", text))
}

/// What the server does in words, the steps of its one client, the server's moves, and what must come of it.
pub(crate) type Case = (&'static str, &'static str, Vec<Move>, Named);

pub(crate) fn play(moves: &[Move], mut socket: TcpStream) {
    for one in moves {
        let told = match one {
            Move::Hear => read_head(&mut socket).map_or(Err(()), |_| Ok(())),
            Move::Greet(piece, every) => greet(&mut socket, *piece, *every),
            Move::Say(bytes) => say(&mut socket, bytes, usize::MAX, Duration::ZERO),
            Move::Drip(bytes, every) => say(&mut socket, bytes, 1, *every),
            Move::Babble(bytes) => {
                let many = bytes.repeat(65_536 / bytes.len());
                while socket.write_all(&many).is_ok() {}
                return;
            }
            Move::Wait(span) => {
                std::thread::sleep(*span);
                Ok(())
            }
            Move::Silence => {
                while matches!(socket.read(&mut [0; 4096]), Ok(1..)) {}
                return;
            }
            Move::Reset => return reset(socket),
        };
        if told.is_err() {
            return;
        }
    }
}

fn say(socket: &mut TcpStream, bytes: &[u8], piece: usize, every: Duration) -> Result<(), ()> {
    for piece in bytes.chunks(piece) {
        socket.write_all(piece).map_err(drop)?;
        std::thread::sleep(every);
    }
    Ok(())
}

fn greet(socket: &mut TcpStream, piece: usize, every: Duration) -> Result<(), ()> {
    let head = read_head(socket).ok_or(())?;
    say(socket, switch(&head).as_bytes(), piece, every)
}

/// Meets every server once, by `run`, and fails with all that did not come out as they must.
pub(crate) fn hold(cases: fn() -> Vec<Case>, run: fn(SocketAddr, &str) -> Ran) {
    let meet = move |(what, steps, moves, named): Case| {
        let addr = scripted(1, move |socket| play(&moves, socket));
        judge(&format!("{what}:\n{steps}"), &run(addr, steps), named)
    };
    // The runtime's own descriptors exist from its first use.
    meet(cases().remove(0)).unwrap();
    let before = open_descriptors();
    // Those that babble take all the cores there are, and would make those late that count milliseconds.
    let (babblers, others): (Vec<Case>, Vec<Case>) = cases()
        .into_iter()
        .partition(|(_, _, moves, _)| moves.iter().any(|one| matches!(one, Move::Babble(_))));
    let wrong = [at_once(others, meet), at_once(babblers, meet)].concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    all_closed(before);
}

/// Meets each of them in a thread of its own, and yields what was wrong.
pub(crate) fn at_once<C: Send>(
    cases: Vec<C>,
    meet: impl Fn(C) -> Result<(), String> + Copy + Send,
) -> Vec<String> {
    std::thread::scope(|scope| {
        let running: Vec<_> = cases.into_iter().map(|case| scope.spawn(move || meet(case))).collect();
        running.into_iter().filter_map(|one| one.join().expect("no panic").err()).collect()
    })
}

/// Whether that is what came of it, and nothing else.
pub(crate) fn judge(what: &str, ran: &Ran, named: Named) -> Result<(), String> {
    let failures = ran.failures();
    let found: Vec<(&str, &str, u64)> = failures.iter().map(|f| (f.1.as_str(), f.2.as_str(), f.3)).collect();
    let expected: Vec<(&str, &str, u64)> = named.iter().map(|(kind, text)| (*kind, *text, 1)).collect();
    // A user whose code panics is counted as interrupted.
    if found == expected && ran.sum.counts.interrupted == 0 {
        Ok(())
    } else {
        Err(format!("{what}    found {found:?}, {:?}\n    expected {expected:?}", ran.sum.counts))
    }
}

/// The servers are in this process too; they close within a moment of the client.
pub(crate) fn all_closed(before: usize) {
    for _ in 0..100 {
        if open_descriptors() <= before {
            break;
        }
        std::thread::sleep(20 * MS);
    }
    assert!(open_descriptors() <= before, "{} descriptors, {before} before", open_descriptors());
}
