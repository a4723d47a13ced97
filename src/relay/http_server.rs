//! The HTTP server of the relay: binds, routes, and hands upgrades to WebSocket clients.
//!
//! In: the configuration, the switchboard. Out: a running server. What a request does is [`http`](super::http)'s part.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, atomic::AtomicU64},
};

use actix::Addr;
use actix_web::{App, HttpServer, dev::ServerHandle, web};
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    StartError,
    agent_stream::RestApi,
    cores,
    http::{self, HttpState, Slots},
    switchboard::Switchboard,
    ws_client::{ClientSettings, SwitchboardPort},
};
use crate::{
    config::Config,
    gateway::Gateway,
    http::{Watch, bounded_connection, routes},
};

/// Starts serving on a bound socket.
pub fn start_http(
    config: &Config,
    socket: TcpListener,
    tls: Option<rustls::ServerConfig>,
    switchboard: &Addr<Switchboard>,
    watch: Watch,
    gateway: Option<Gateway>,
    bots: Option<RestApi>,
) -> ServerHandle {
    let clients = ClientSettings {
        mode: config.ws.mode,
        send_queue: config.ws.send_queue_max,
        receive_queue: config.ws.recv_queue_max,
        max_message: config.ws.max_message_bytes,
        resume_window: config.ws.resume_window,
        metrics: watch.metrics.clone(),
    };
    let port = SwitchboardPort {
        connect: switchboard.clone().recipient(),
        disconnect: switchboard.clone().recipient(),
        place: switchboard.clone().recipient(),
        transfer: switchboard.clone().recipient(),
    };
    let (token, slots) = (config.ws.token.clone(), Slots::new(config.ws.max_connections));
    let next_client = Arc::new(AtomicU64::new(1));
    let server = HttpServer::new(move || {
        let state = HttpState {
            clients: clients.clone(),
            switchboard: port.clone(),
            token: token.clone(),
            slots: slots.clone(),
            next_client: next_client.clone(),
        };
        let app = App::new().app_data(web::Data::new(state)).configure(routes(watch.clone()));
        let app = app.configure(|app| gateway.iter().for_each(|gateway| gateway.configure(app)));
        let app = app.configure(|app| bots.iter().for_each(|bots| bots.configure(app)));
        app.default_service(web::to(http::serve))
    });
    let server = server.workers(cores()).disable_signals().tcp_nodelay(true);
    let server = server.on_connect(|connection, _| bounded_connection(connection));
    let listening = match tls {
        Some(tls) => server.listen_rustls_0_23(socket, tls),
        None => server.listen(socket),
    };
    // The listener is bound and non-blocking is set by the server: `listen` only stores it.
    let running = listening.expect("a bound listener is taken").run();
    let handle = running.handle();
    actix_web::rt::spawn(running);
    handle
}

/// Binds the socket for HTTP and WebSocket.
pub fn bind_http(address: SocketAddr) -> Result<TcpListener, StartError> {
    let bound = || -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A restart must not wait for the connections of the last run to time out.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(1024)?;
        Ok(socket.into())
    };
    bound().map_err(|source| StartError::Bind { address, setting: "WS_HOST, WS_PORT", source })
}
