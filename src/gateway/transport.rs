//! `SipTransport` is one telephone call in the hands of a program: canonical PCM both ways, marks, keys, the end.
//!
//! In: what the program wants to be heard. Out: what the caller says and does. It is a handle, which works on any thread;
//! the [`MediaStream`](super::media_stream) behind it owns the socket. The call ends when its last handle is gone.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use actix::Recipient;
use bytes::Bytes;
use futures_core::Stream;
use tokio::sync::oneshot;

use super::{
    SipTransportError,
    media_stream::{Order, Outlet},
    rest::Hangup,
};

/// What a call's other facts are called: see [`SipTransport::metadata`].
pub type Metadata = BTreeMap<&'static str, String>;

/// What every transport of calls can do. Audio is canonical: 16 kHz, 16 bit signed little-endian, mono.
pub trait BaseTransport {
    /// What the caller says, until the call is over.
    fn receive_audio(&self) -> AudioStream;
    /// Queues audio of any length to be heard.
    fn send_audio(&self, pcm: &[u8]) -> impl Future<Output = Result<(), SipTransportError>> + Send;
    /// Marks the end of what was queued so far. The result resolves when that has been heard.
    fn send_mark(&self, name: &str) -> impl Future<Output = Result<PendingMark, SipTransportError>> + Send;
    /// Drops what was queued and has not been heard.
    fn clear_audio(&self) -> impl Future<Output = Result<(), SipTransportError>> + Send;
    /// Hangs up.
    fn close(&self) -> impl Future<Output = ()> + Send;
    /// Whether the call is up.
    fn is_connected(&self) -> bool;
    /// What is known of the call.
    fn metadata(&self) -> &Metadata;
}

/// See the module's documentation. Clones are the same call.
#[derive(Debug, Clone)]
pub struct SipTransport {
    link: Arc<Link>,
}

/// A call that somebody else has, while he has it.
#[derive(Debug, Clone)]
pub(super) struct WeakTransport(Weak<Link>);

impl WeakTransport {
    /// The call, if it still is somebody's.
    pub(super) fn upgrade(&self) -> Option<SipTransport> {
        self.0.upgrade().map(|link| SipTransport { link })
    }
}

/// What happens on a call beside the caller's audio.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportEvent {
    /// The caller pressed a key.
    Dtmf {
        /// One of `0-9 * # A-D`.
        digit: char,
    },
    /// A mark is not pending any more.
    Mark {
        /// Its name.
        name: String,
        /// What became of the audio before it.
        outcome: MarkOutcome,
    },
    /// The provider reports a fault.
    ProviderError {
        /// In its words.
        text: String,
    },
}

/// What became of the audio before a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkOutcome {
    /// The caller has heard it.
    Played,
    /// It was dropped by [`SipTransport::clear_audio`].
    Cleared,
    /// The call was over first.
    Lost,
}

/// Resolves when the provider says that a mark was reached, or when it cannot be any more. May be dropped.
#[derive(Debug)]
pub struct PendingMark(oneshot::Receiver<MarkOutcome>);

/// What the caller says, in pieces as the provider sends them, usually 20 ms (640 bytes).
#[derive(Debug, Clone)]
pub struct AudioStream(Outlet<Bytes>);

/// What happens on a call, in order.
#[derive(Debug, Clone)]
pub struct EventStream(Outlet<TransportEvent>);

/// What the handles of one call share.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) orders: Recipient<Order>,
    pub(super) audio: Outlet<Bytes>,
    pub(super) events: Outlet<TransportEvent>,
    pub(super) connected: Arc<AtomicBool>,
    pub(super) metadata: Metadata,
}

impl SipTransport {
    pub(super) fn new(link: Link) -> Self {
        Self { link: Arc::new(link) }
    }

    pub(super) fn downgrade(&self) -> WeakTransport {
        WeakTransport(Arc::downgrade(&self.link))
    }

    /// What the caller says: canonical PCM, from now on, in pieces as the provider sends them. Ends when the call is over.
    ///
    /// Audio that nobody fetches is kept for ten seconds; then the oldest is dropped. Several such streams of one call
    /// share its audio: each piece goes to one of them.
    pub fn receive_audio(&self) -> AudioStream {
        AudioStream(self.link.audio.clone())
    }

    /// Keys and marks. Up to 256 are kept while nobody fetches them, then the oldest is dropped. Ends with the call.
    pub fn events(&self) -> EventStream {
        EventStream(self.link.events.clone())
    }

    /// Queues `pcm`, of any length, to be heard behind what was queued before; it goes out in messages of 20 ms. Returns
    /// when it is queued. A program that is a minute ahead of what is heard waits here until it is less.
    ///
    /// # Errors
    /// [`SipTransportError::ProviderConnection`] once the call is over; [`SipTransportError::AudioCodec`] if `pcm` ends
    /// within a sample.
    pub async fn send_audio(&self, pcm: impl Into<Bytes>) -> Result<(), SipTransportError> {
        let pcm = pcm.into();
        if !pcm.len().is_multiple_of(super::CANONICAL_SAMPLE_WIDTH) {
            return Err(SipTransportError::AudioCodec(format!("{} bytes are not whole samples", pcm.len())));
        }
        self.order(|done| Order::Audio { pcm, done }).await?
    }

    /// Marks the end of what was queued so far. The result resolves when the caller has heard that, and may be dropped.
    ///
    /// # Errors
    /// [`SipTransportError::ProviderConnection`] once the call is over, or if more marks are pending than a call may have
    /// (see docs/gateway.md), or if the name is too long.
    pub async fn send_mark(&self, name: impl Into<String>) -> Result<PendingMark, SipTransportError> {
        let name = name.into();
        let (reached, pending) = oneshot::channel();
        self.order(|done| Order::Mark { name, reached, done }).await??;
        Ok(PendingMark(pending))
    }

    /// Waits until the caller has heard what was queued so far: [`Self::send_mark`], and then for what becomes of it.
    ///
    /// # Errors
    /// Those of [`Self::send_mark`].
    pub async fn mark_played(&self, name: impl Into<String>) -> Result<MarkOutcome, SipTransportError> {
        Ok(self.send_mark(name).await?.await)
    }

    /// Drops what was queued and has not been heard, here and at the provider; marks that are pending are cleared.
    ///
    /// # Errors
    /// [`SipTransportError::ProviderConnection`] once the call is over.
    pub async fn clear_audio(&self) -> Result<(), SipTransportError> {
        self.order(|done| Order::Clear { done }).await
    }

    /// Hangs up: nothing more is sent, the provider is told to end the call, the socket is closed. Returns when that is
    /// done, or has failed, which is logged. Once the call is over it does nothing.
    ///
    /// Telnyx ends the call only if there is an API key; without one the socket is closed, with a warning, and the caller
    /// hears nothing until he hangs up. Closing the socket ends a Twilio call.
    pub async fn close(&self) {
        self.link.connected.store(false, Ordering::Release);
        let (done, hung_up) = oneshot::channel::<Hangup>();
        self.link.orders.do_send(Order::Close { done: Some(done) });
        // An error is an actor that is gone: the call was over.
        let _ = hung_up.await;
    }

    /// Whether the call is up: from `start` to `stop`, [`Self::close`] or the end of the socket, whichever is first.
    pub fn is_connected(&self) -> bool {
        self.link.connected.load(Ordering::Acquire)
    }

    /// What is known of the call: `transport` (`sip`), `provider` (`telnyx` or `twilio`), `caller_id`, `did`, `call_sid`,
    /// `stream_id`, and `call_control_id` (Telnyx) or `account_sid` (Twilio). What the provider did not say is empty.
    pub fn metadata(&self) -> &Metadata {
        &self.link.metadata
    }

    async fn order<T>(&self, make: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T, SipTransportError> {
        if !self.is_connected() {
            return Err(over());
        }
        let (done, result) = oneshot::channel();
        self.link.orders.do_send(make(done));
        result.await.map_err(|_| over())
    }
}

pub(super) fn over() -> SipTransportError {
    SipTransportError::ProviderConnection("the call is over".to_owned())
}

impl BaseTransport for SipTransport {
    fn receive_audio(&self) -> AudioStream {
        self.receive_audio()
    }

    async fn send_audio(&self, pcm: &[u8]) -> Result<(), SipTransportError> {
        self.send_audio(Bytes::copy_from_slice(pcm)).await
    }

    async fn send_mark(&self, name: &str) -> Result<PendingMark, SipTransportError> {
        self.send_mark(name).await
    }

    async fn clear_audio(&self) -> Result<(), SipTransportError> {
        self.clear_audio().await
    }

    async fn close(&self) {
        self.close().await;
    }

    fn is_connected(&self) -> bool {
        self.is_connected()
    }

    fn metadata(&self) -> &Metadata {
        self.metadata()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.orders.do_send(Order::Close { done: None });
    }
}

impl Future for PendingMark {
    type Output = MarkOutcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<MarkOutcome> {
        Pin::new(&mut self.0).poll(cx).map(|outcome| outcome.unwrap_or(MarkOutcome::Lost))
    }
}

impl Stream for AudioStream {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        Pin::new(&mut self.0).poll_next(cx)
    }
}

impl Stream for EventStream {
    type Item = TransportEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<TransportEvent>> {
        Pin::new(&mut self.0).poll_next(cx)
    }
}
