//! The client for programs that are not asynchronous: every `async fn` waits.

use std::{
    future::Future,
    ops::Deref,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use super::{ClientBuilder, SipClientError};

/// [`SimpleSipClient`](super::SimpleSipClient) without a runtime: what is an `async fn` there waits here. Everything else
/// comes from there by `Deref`.
///
/// Cheap to clone; every clone is the same client. The telephone has threads of its own: a thread that waits here keeps
/// nothing from going on.
///
/// ```
/// use sip_relay::{
///     client::{CallState, blocking::SimpleSipClient},
///     test_line::TestLine,
/// };
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // A telephone to call, in this process; a PBX has an address of its own.
/// let line = TestLine::start_in_background()?;
///
/// let client = SimpleSipClient::builder("1001", "", "127.0.0.1").port(line.address().port()).register(false);
/// let client = SimpleSipClient::from(client);
/// assert!(client.connect()?);
/// assert!(client.make_call("1002")?);
/// client.wait_connected(std::time::Duration::from_secs(10))?;
/// client.hangup_call()?;
/// assert_eq!(client.call_state(), CallState::Idle);
/// client.disconnect()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SimpleSipClient(super::SimpleSipClient);

impl SimpleSipClient {
    /// A client of `server`, with a UDP port unless that is 5060. Does nothing until [`connect`](Self::connect).
    #[must_use]
    pub fn new(username: &str, password: &str, server: &str) -> Self {
        Self(super::SimpleSipClient::new(username, password, server))
    }

    /// The same with another port of the server.
    #[must_use]
    pub fn with_port(username: &str, password: &str, server: &str, port: u16) -> Self {
        Self(super::SimpleSipClient::with_port(username, password, server, port))
    }

    /// A client with other habits; `SimpleSipClient::from` takes the builder.
    #[must_use]
    pub fn builder(username: &str, password: &str, server: &str) -> ClientBuilder {
        super::SimpleSipClient::builder(username, password, server)
    }

    /// Waits for [`connect`](super::SimpleSipClient::connect).
    ///
    /// # Errors
    /// As there.
    pub fn connect(&self) -> Result<bool, SipClientError> {
        block_on(self.0.connect())
    }

    /// Waits for [`make_call`](super::SimpleSipClient::make_call), not for an answer to the call.
    ///
    /// # Errors
    /// As there.
    pub fn make_call(&self, destination: &str) -> Result<bool, SipClientError> {
        block_on(self.0.make_call(destination))
    }

    /// Waits for [`wait_connected`](super::SimpleSipClient::wait_connected).
    ///
    /// # Errors
    /// As there.
    pub fn wait_connected(&self, timeout: Duration) -> Result<(), SipClientError> {
        block_on(self.0.wait_connected(timeout))
    }

    /// Waits for [`answer_call`](super::SimpleSipClient::answer_call).
    ///
    /// # Errors
    /// As there.
    pub fn answer_call(&self) -> Result<(), SipClientError> {
        block_on(self.0.answer_call())
    }

    /// Waits for [`reject_call`](super::SimpleSipClient::reject_call).
    ///
    /// # Errors
    /// As there.
    pub fn reject_call(&self, status: u16) -> Result<(), SipClientError> {
        block_on(self.0.reject_call(status))
    }

    /// Waits for [`hangup_call`](super::SimpleSipClient::hangup_call).
    ///
    /// # Errors
    /// As there.
    pub fn hangup_call(&self) -> Result<(), SipClientError> {
        block_on(self.0.hangup_call())
    }

    /// Waits for [`hold_call`](super::SimpleSipClient::hold_call).
    ///
    /// # Errors
    /// As there.
    pub fn hold_call(&self) -> Result<(), SipClientError> {
        block_on(self.0.hold_call())
    }

    /// Waits for [`resume_call`](super::SimpleSipClient::resume_call).
    ///
    /// # Errors
    /// As there.
    pub fn resume_call(&self) -> Result<(), SipClientError> {
        block_on(self.0.resume_call())
    }

    /// Waits for [`transfer_call`](super::SimpleSipClient::transfer_call).
    ///
    /// # Errors
    /// As there.
    pub fn transfer_call(&self, destination: &str) -> Result<(), SipClientError> {
        block_on(self.0.transfer_call(destination))
    }

    /// Waits for [`disconnect`](super::SimpleSipClient::disconnect).
    ///
    /// # Errors
    /// As there.
    pub fn disconnect(&self) -> Result<(), SipClientError> {
        block_on(self.0.disconnect())
    }

    /// An older name of [`make_call`](Self::make_call).
    ///
    /// # Errors
    /// As there.
    #[deprecated(note = "use make_call")]
    pub fn call(&self, destination: &str) -> Result<bool, SipClientError> {
        self.make_call(destination)
    }

    /// An older name of [`hangup_call`](Self::hangup_call).
    ///
    /// # Errors
    /// As there.
    #[deprecated(note = "use hangup_call")]
    pub fn hangup(&self) -> Result<(), SipClientError> {
        self.hangup_call()
    }

    /// An older name of [`hangup_call`](Self::hangup_call).
    ///
    /// # Errors
    /// As there.
    #[deprecated(note = "use hangup_call")]
    pub fn end_call(&self) -> Result<(), SipClientError> {
        self.hangup_call()
    }
}

impl Deref for SimpleSipClient {
    type Target = super::SimpleSipClient;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl From<super::SimpleSipClient> for SimpleSipClient {
    fn from(client: super::SimpleSipClient) -> Self {
        Self(client)
    }
}

impl From<ClientBuilder> for SimpleSipClient {
    fn from(builder: ClientBuilder) -> Self {
        Self(builder.build())
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future that needs no runtime, as all of the client's.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        // A token that was set since the poll makes this return at once.
        thread::park();
    }
}
