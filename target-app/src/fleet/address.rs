//! The address of a fleet. The supervisor holds it as long as it lives, without listening on it, so that it is the same for
//! every replica and for those that come after one died, and nobody else gets it in between.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// An address that is ours.
pub(super) struct Reserved {
    pub(super) address: SocketAddr,
    _socket: TcpSocket,
}

/// Takes the address, any free port for port 0. Fails when someone listens there, another fleet included.
pub(super) fn reserve(listen: SocketAddr) -> io::Result<Reserved> {
    let socket = if listen.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // Bound for itself alone and shared only then: shared from the start, it could be bound beside another fleet of the
    // same user, and each would get half of the other's connections.
    socket.bind(listen)?;
    socket.set_reuseport(true)?;
    Ok(Reserved { address: socket.local_addr()?, _socket: socket })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::net::{TcpListener, TcpSocket};

    use super::reserve;

    fn replica(address: SocketAddr) -> std::io::Result<TcpListener> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(true)?;
        socket.bind(address)?;
        socket.listen(16)
    }

    #[tokio::test]
    async fn replicas_share_what_no_one_else_gets() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let fleet = reserve(any).unwrap();
        assert_ne!(fleet.address.port(), 0);
        let replicas = [replica(fleet.address).unwrap(), replica(fleet.address).unwrap()];
        // Those who connect reach a replica, never the socket that only holds the address.
        for _ in 0..16 {
            let _client = tokio::net::TcpStream::connect(fleet.address).await.unwrap();
            tokio::select! {
                accepted = replicas[0].accept() => drop(accepted.unwrap()),
                accepted = replicas[1].accept() => drop(accepted.unwrap()),
            }
        }
        assert!(reserve(fleet.address).is_err(), "a second fleet would take half the connections");
        drop(replicas);
        assert!(replica(fleet.address).is_ok(), "one that died is followed by another");
    }
}
