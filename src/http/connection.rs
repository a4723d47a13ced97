//! What a TCP connection to an HTTP server of ours may cost.

use std::{any::Any, time::Duration};

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::rt::net::TcpStream;
use socket2::SockRef;
use tracing::debug;

/// For `HttpServer::on_connect`: a peer that vanished or never reads has its connection ended after ten seconds. A WebSocket
/// that is not read is bounded by this, and by nothing else.
pub fn bounded_connection(connection: &dyn Any) {
    let plain = connection.downcast_ref::<TcpStream>();
    let stream =
        plain.or_else(|| connection.downcast_ref::<TlsStream<TcpStream>>().map(|tls| tls.get_ref().0));
    if let Some(stream) = stream
        && let Err(error) = SockRef::from(stream).set_tcp_user_timeout(Some(TCP_USER_TIMEOUT))
    {
        debug!(%error, "TCP_USER_TIMEOUT");
    }
}

const TCP_USER_TIMEOUT: Duration = Duration::from_secs(10);
