//! The floor: epoll, one read, one write, nothing parsed, nothing recorded. No generator on sockets can cost less.

use plimsoll::clock::Clock;
use rustix::event::epoll;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub(crate) fn run(
    addr: SocketAddr,
    connections: usize,
    duration: Duration,
) -> Result<(), Box<dyn std::error::Error>> {
    let request = format!("GET / HTTP/1.1\r\nhost: {addr}\r\n\r\n").into_bytes();
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut sockets = Vec::with_capacity(connections);
    for number in 0..connections {
        let mut socket = TcpStream::connect(addr)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        epoll::add(&poll, &socket, epoll::EventData::new_u64(number as u64), epoll::EventFlags::IN)?;
        socket.write_all(&request)?;
        sockets.push(socket);
    }
    let clock = Clock::start();
    let until_ns = u64::try_from(duration.as_nanos())?;
    let mut buffer = vec![0; 64 * 1024];
    let mut events = Vec::with_capacity(connections);
    let mut requests = 0_u64;
    while clock.now() < until_ns {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let socket = &mut sockets[usize::try_from(event.data.u64())?];
            if socket.read(&mut buffer)? == 0 {
                return Err("the server closed a connection".into());
            }
            socket.write_all(&request)?;
            requests += 1;
        }
    }
    println!("{requests}");
    Ok(())
}
