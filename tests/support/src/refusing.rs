//! Where nobody answers.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// A port of 127.0.0.1 that refuses connections for as long as the socket is kept: it does not listen, and nobody else gets
/// the port, as somebody may that was listened on and given back.
///
/// # Errors
/// When no port can be bound.
pub fn refusing_port() -> io::Result<(TcpSocket, SocketAddr)> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}
