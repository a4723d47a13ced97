//! [`SimpleSipClient`]: a telephone for programs. It registers, places and takes one call at a time, sends and hears audio.
//!
//! In: what a program asks for. Out: SIP and RTP, by the same telephone as the relay's. Knows nothing of WebSockets.
//!
//! ```
//! use std::time::Duration;
//!
//! use sip_relay::{client::SimpleSipClient, test_line::TestLine};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A telephone to call, in this process. With a PBX: SimpleSipClient::new("1001", "password", "192.168.1.100").
//! let line = TestLine::start_in_background()?;
//! let client = SimpleSipClient::builder("1001", "", "127.0.0.1").port(line.address().port()).register(false).build();
//!
//! client.connect().await?;
//! client.make_call("1002").await?;
//! client.wait_connected(Duration::from_secs(10)).await?;
//! println!("using codec {:?}", client.negotiated_codec());
//! client.send_audio(&[0; 320])?; // 20 ms of silence
//! client.disconnect().await?;
//! # Ok(())
//! # }
//! ```
//!
//! A call goes idle → inviting → ringing → connected → streaming → idle; [`CallState`] says what each means. Audio is
//! signed 16-bit little-endian mono PCM at 8000 Hz, whatever the codec, unless [`ClientBuilder::pcm_rate`] says otherwise.
//! The async functions need no particular runtime; [`blocking::SimpleSipClient`] needs none at all.

mod asked;
mod audio;
pub mod blocking;
mod budget;
mod builder;
mod callbacks;
mod connection;
mod destination;
mod ear;
mod error;
mod line;
mod report;
mod state;

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

pub use model::audio::Codec;
use tokio::sync::watch;

use self::{asked::Waiting, builder::Settings, callbacks::Callbacks, connection::Connection, line::Line};
pub use self::{
    audio::{AudioConfig, AudioFormat, PcmRate, UnknownAudioFormat},
    builder::ClientBuilder,
    error::{CallFailure, SipClientError},
    report::{CallReport, CallStatusReport, Direction},
    state::CallState,
};
pub use crate::engine::DtmfEvent;
use crate::{
    engine,
    relay::message::{CallCommand, DialOptions, TransferTarget},
};

/// A telephone for programs: see the [module](self).
///
/// Cheap to clone; every clone is the same client, and may be used from any thread. When the last clone is dropped, the call
/// ends, the registration is given up and the sockets are closed, all in the background; a callback that holds a clone
/// keeps the client alive until it is removed.
///
/// The async functions work in every runtime, tokio or not; outside of one, [`blocking`] waits for them. Dropping their
/// futures leaves nothing half done.
///
/// ```
/// use sip_relay::client::{CallState, SimpleSipClient};
///
/// let client = SimpleSipClient::new("1001", "secret", "pbx.example.com:5080");
/// assert_eq!(client.call_state(), CallState::Idle);
/// assert!(client.send_audio(&[0; 320]).is_err(), "it is not connected");
/// ```
#[derive(Clone)]
pub struct SimpleSipClient {
    handle: Arc<Handle>,
}

struct Handle {
    settings: Settings,
    line: Arc<Line>,
    callbacks: Callbacks,
    connection: Connection,
}

impl SimpleSipClient {
    /// A client of `server`, a host name or an address, with a UDP port unless that is 5060. Does nothing until [`connect`](Self::connect).
    #[must_use]
    pub fn new(username: &str, password: &str, server: &str) -> Self {
        Self::builder(username, password, server).build()
    }

    /// The same with another port of the server.
    #[must_use]
    pub fn with_port(username: &str, password: &str, server: &str, port: u16) -> Self {
        Self::builder(username, password, server).port(port).build()
    }

    /// A client with other habits.
    #[must_use]
    pub fn builder(username: &str, password: &str, server: &str) -> ClientBuilder {
        ClientBuilder::new(username, password, server)
    }

    fn from_settings(settings: Settings) -> Self {
        let callbacks = Callbacks::new(settings.rate());
        let (line, connection) = (Arc::new(Line::new()), Connection::default());
        Self { handle: Arc::new(Handle { settings, line, callbacks, connection }) }
    }

    /// Connects to the server: opens a socket, registers, and waits for the server's final answer. The registration is kept
    /// alive until [`disconnect`](Self::disconnect). `Ok(true)` as well when there is a connection already.
    ///
    /// `Ok(false)`: the server answered, and did not want us, for another reason than the credentials;
    /// [`last_failure`](Self::last_failure) has its status.
    ///
    /// # Errors
    /// [`Authentication`](SipClientError::Authentication) when the user or the password is refused (the password is sent
    /// once), [`Connection`](SipClientError::Connection) when the server has no address, does not answer within
    /// `connect_timeout` or no socket can be opened, [`InvalidSetting`](SipClientError::InvalidSetting).
    pub async fn connect(&self) -> Result<bool, SipClientError> {
        let Handle { settings, line, callbacks, connection } = &*self.handle;
        connection.open(settings, line, callbacks).await
    }

    /// Calls a number, an extension or a `sip:` URI, through the server. Returns when the call is on its way, not when it
    /// is answered: [`wait_connected`](Self::wait_connected), [`call_state`](Self::call_state).
    ///
    /// `Ok(false)`: it could not be placed; [`last_failure`](Self::last_failure) says why (503: no free RTP port).
    ///
    /// # Errors
    /// [`NotConnected`](SipClientError::NotConnected), [`Busy`](SipClientError::Busy) with a call already,
    /// [`InvalidDestination`](SipClientError::InvalidDestination).
    pub async fn make_call(&self, destination: &str) -> Result<bool, SipClientError> {
        let destination = destination::read(destination)?;
        let options = DialOptions { target: destination.target, ..DialOptions::default() };
        let dial = self.handle.connection.with(|engine| engine.dial(destination.user, options))?;
        let line = self.handle.line.clone();
        let place = async move {
            let number = line.begin_outbound()?;
            match dial.await {
                Ok(_) => Ok(true),
                Err(refused) => {
                    line.not_made(number, refused);
                    Ok(false)
                }
            }
        };
        engine::run(place).await?
    }

    /// Queues PCM for the far end: signed 16-bit little-endian mono at the client's [`PcmRate`], any length. It is played at
    /// its pace, 20 ms at a time; silence is sent while there is none. Never waits. Before the answer up to ten seconds are
    /// kept.
    ///
    /// # Errors
    /// [`NoCall`](SipClientError::NoCall), [`NotConnected`](SipClientError::NotConnected),
    /// [`AudioQueueFull`](SipClientError::AudioQueueFull) beyond ten minutes; nothing of it is queued then.
    pub fn send_audio(&self, pcm_s16le: &[u8]) -> Result<(), SipClientError> {
        let client = self.handle.connection.with(|engine| engine.client())?;
        self.handle.line.send_audio(client, pcm_s16le, self.handle.settings.rate())
    }

    /// Calls `callback` with every 20 ms of the far end, from now on, in this call and in later ones; another one is
    /// replaced. It gets the frame, in the format that is given here, and that format.
    ///
    /// It is called on a thread of its own and may block; when it is more than 2 s behind, the oldest audio is dropped and
    /// counted ([`CallStatusReport::audio_dropped`]). One that panics is removed.
    ///
    /// ```
    /// use sip_relay::client::{AudioFormat, SimpleSipClient};
    ///
    /// let client = SimpleSipClient::new("1001", "secret", "127.0.0.1");
    /// client.set_audio_callback(|pcm, format| println!("{} bytes of {format}", pcm.len()), AudioFormat::Pcm);
    /// ```
    pub fn set_audio_callback<F>(&self, callback: F, format: AudioFormat)
    where
        F: Fn(&[u8], AudioFormat) + Send + Sync + 'static,
    {
        self.handle.callbacks.set_audio(Arc::new(callback), format);
    }

    /// Calls nobody with audio any more. A call of the callback that is going on is not waited for.
    pub fn remove_audio_callback(&self) {
        self.handle.callbacks.remove_audio();
    }

    /// Calls `callback` with every key that the far end presses; another one is replaced. On the thread of
    /// [`set_audio_callback`](Self::set_audio_callback), in order with the audio.
    pub fn set_dtmf_callback<F>(&self, callback: F)
    where
        F: Fn(DtmfEvent) + Send + Sync + 'static,
    {
        self.handle.callbacks.set_dtmf(Arc::new(callback));
    }

    /// Presses a key for 160 ms: `0`-`9`, `*`, `#`, `A`-`D` in either case (RFC 4733). Queued behind the audio.
    ///
    /// # Errors
    /// [`InvalidDigit`](SipClientError::InvalidDigit), [`NoCall`](SipClientError::NoCall),
    /// [`Call`](SipClientError::Call) with 488 when the far end takes no keys.
    pub fn send_dtmf(&self, digit: char) -> Result<(), SipClientError> {
        let key = digit.to_ascii_uppercase();
        if !matches!(key, '0'..='9' | '*' | '#' | 'A'..='D') {
            return Err(SipClientError::InvalidDigit(digit));
        }
        let client = self.handle.connection.with(|engine| engine.client())?;
        self.handle.line.send_dtmf(client, key)
    }

    /// Ends the call, whatever its state: BYE, CANCEL while it rings there, 603 while it rings here. Returns when the state
    /// is idle. Without a call it does nothing.
    ///
    /// # Errors
    /// None at present.
    pub async fn hangup_call(&self) -> Result<(), SipClientError> {
        let line = &self.handle.line;
        if let Some(number) = line.current() {
            line.hang_up(number);
            line.until(|line| (line.current() != Some(number)).then_some(())).await;
        }
        Ok(())
    }

    /// Ends the call, gives the registration up, closes the sockets, and returns when that is done: within four seconds
    /// when the server does not answer. Without a connection it does nothing. [`connect`](Self::connect) may follow.
    ///
    /// # Errors
    /// None at present.
    pub async fn disconnect(&self) -> Result<(), SipClientError> {
        self.handle.connection.close(&self.handle.line).await
    }

    /// Answers the call that rings here.
    ///
    /// # Errors
    /// [`NoCall`](SipClientError::NoCall) when none rings.
    pub async fn answer_call(&self) -> Result<(), SipClientError> {
        self.handle.line.take_up(CallCommand::Answer)
    }

    /// Refuses the call that rings here, with this status: 486 is busy, 603 declined.
    ///
    /// # Errors
    /// [`NoCall`](SipClientError::NoCall) when none rings, [`InvalidStatus`](SipClientError::InvalidStatus) outside of 300
    /// to 699.
    pub async fn reject_call(&self, status: u16) -> Result<(), SipClientError> {
        if !(300..700).contains(&status) {
            return Err(SipClientError::InvalidStatus(status));
        }
        self.handle.line.take_up(CallCommand::Decline { status, reason: None })
    }

    /// Puts the far end on hold: it hears what is sent, and is not heard. Returns when it has agreed.
    ///
    /// # Errors
    /// [`NoCall`](SipClientError::NoCall) when none is up, [`Call`](SipClientError::Call) when the far end refuses; the call
    /// goes on as it was.
    pub async fn hold_call(&self) -> Result<(), SipClientError> {
        self.hold(true).await
    }

    /// Takes the far end back from hold.
    ///
    /// # Errors
    /// As [`hold_call`](Self::hold_call).
    pub async fn resume_call(&self) -> Result<(), SipClientError> {
        self.hold(false).await
    }

    async fn hold(&self, on: bool) -> Result<(), SipClientError> {
        let client = self.handle.connection.with(|engine| engine.client())?;
        match self.handle.line.hold(client, on)? {
            Some(outcome) => settled(outcome).await,
            None => Ok(()),
        }
    }

    /// Asks the far end to call somebody else, a number, an extension or a `sip:` URI (blind transfer, RFC 3515). Returns
    /// when it has reached them, or has given up; this call is over then, or goes on. Waits for `ring_timeout` at most.
    ///
    /// # Errors
    /// [`InvalidDestination`](SipClientError::InvalidDestination), [`NoCall`](SipClientError::NoCall) when none is up,
    /// [`Call`](SipClientError::Call) with what the far end says.
    pub async fn transfer_call(&self, destination: &str) -> Result<(), SipClientError> {
        let destination = destination::read(destination)?;
        let target = destination.target.map_or(TransferTarget::Phone(destination.user), TransferTarget::Uri);
        let client = self.handle.connection.with(|engine| engine.client())?;
        let outcome = self.handle.line.transfer(client, target)?;
        let patience = self.handle.settings.ring_timeout;
        let wait = async move { tokio::time::timeout(patience, settled(outcome)).await };
        engine::run(wait).await?.unwrap_or_else(|_| Err(failure(408).into()))
    }

    /// How far the call has come.
    #[must_use]
    pub fn call_state(&self) -> CallState {
        self.handle.line.state()
    }

    /// The codec of the call; `None` without a call and until it is agreed. Shown as `G722`, `PCMU`, `PCMA`.
    #[must_use]
    pub fn negotiated_codec(&self) -> Option<Codec> {
        self.handle.line.facts().map(|facts| facts.codec)
    }

    /// The RTP payload type that is sent: mostly 9, 0 or 8.
    #[must_use]
    pub fn negotiated_payload_type(&self) -> Option<u8> {
        self.handle.line.facts().map(|facts| facts.payload_type)
    }

    /// Where the far end takes RTP, by its SDP; `None` without a call, and while it gives no address.
    #[must_use]
    pub fn remote_rtp_info(&self) -> Option<(IpAddr, u16)> {
        let remote = self.handle.line.facts()?.remote?;
        Some((remote.ip(), remote.port()))
    }

    /// Why the last call or registration came to nothing; `None` once another one was begun, and for a call that ended as
    /// calls do.
    #[must_use]
    pub fn last_failure(&self) -> Option<CallFailure> {
        self.handle.line.last_failure()
    }

    /// Every change of [`call_state`](Self::call_state). A receiver that is not asked in time sees the last state only. What
    /// `borrow` returns must not be kept while waiting for anything: the telephone waits for it.
    ///
    /// ```
    /// use sip_relay::client::{CallState, SimpleSipClient};
    ///
    /// # async fn until_over(client: &SimpleSipClient) {
    /// let mut states = client.watch_state();
    /// while *states.borrow_and_update() != CallState::Idle {
    ///     if states.changed().await.is_err() {
    ///         break; // the client is gone
    ///     }
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn watch_state(&self) -> watch::Receiver<CallState> {
        self.handle.line.watch()
    }

    /// Waits until both sides can talk.
    ///
    /// # Errors
    /// [`Call`](SipClientError::Call) with the far end's status when it does not take the call, with 408 when `timeout`
    /// passes (the call goes on), with 487 when it was given up. [`NoCall`](SipClientError::NoCall) when there is none.
    pub async fn wait_connected(&self, timeout: Duration) -> Result<(), SipClientError> {
        let line = self.handle.line.clone();
        let Some(number) = line.current() else {
            return Err(line.last_failure().map_or(SipClientError::NoCall, SipClientError::from));
        };
        let outcome = move |line: &Line| match line.current() {
            Some(current) if current == number => line.state().is_active().then_some(Ok(())),
            _ => Some(Err(line.last_failure().unwrap_or_else(|| failure(487)).into())),
        };
        let wait = async move { tokio::time::timeout(timeout, line.until(outcome)).await };
        engine::run(wait).await?.unwrap_or_else(|_| Err(failure(408).into()))
    }

    /// Whether [`connect`](Self::connect) has succeeded and [`disconnect`](Self::disconnect) has not been called since.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.handle.connection.is_open()
    }

    /// What the audio of the call is like, and how it is exchanged.
    #[must_use]
    pub fn audio_config(&self) -> AudioConfig {
        self.handle.line.audio_config(self.handle.settings.rate())
    }

    /// All of the client at a glance; prints as one line.
    #[must_use]
    pub fn call_status(&self) -> CallStatusReport {
        let Handle { line, callbacks, connection, .. } = &*self.handle;
        CallStatusReport {
            state: line.state(),
            running: connection.is_open(),
            registered: connection.is_registered(),
            local_sip: connection.with(|engine| engine.sip_address()).ok(),
            call: line.report(),
            audio_dropped: callbacks.dropped(),
        }
    }

    /// An older name of [`make_call`](Self::make_call).
    ///
    /// # Errors
    /// As there.
    #[deprecated(note = "use make_call")]
    pub async fn call(&self, destination: &str) -> Result<bool, SipClientError> {
        self.make_call(destination).await
    }

    /// An older name of [`hangup_call`](Self::hangup_call).
    ///
    /// # Errors
    /// As there.
    #[deprecated(note = "use hangup_call")]
    pub async fn hangup(&self) -> Result<(), SipClientError> {
        self.hangup_call().await
    }

    /// An older name of [`hangup_call`](Self::hangup_call).
    ///
    /// # Errors
    /// As there.
    #[deprecated(note = "use hangup_call")]
    pub async fn end_call(&self) -> Result<(), SipClientError> {
        self.hangup_call().await
    }
}

impl fmt::Debug for SimpleSipClient {
    /// Shows no password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { username, server, port, .. } = &self.handle.settings;
        write!(f, "SimpleSipClient({username} at {server}:{port}, {})", self.call_status())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // The telephone puts itself away.
        self.callbacks.close();
    }
}

/// Waits for what was asked of the far end; 487 when the call ends before.
async fn settled(outcome: Waiting) -> Result<(), SipClientError> {
    let outcome = outcome.await.unwrap_or_else(|_| Err(failure(487)));
    outcome.map_err(SipClientError::from)
}

fn failure(status: u16) -> CallFailure {
    CallFailure { status, reason: model::call::reason_phrase(status).to_owned() }
}
