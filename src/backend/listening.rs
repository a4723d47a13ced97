//! What a program may be called for.

use std::{future::Future, sync::Arc};

use super::{AudioFrame, DtmfEvent, SipVoiceBackend, VoiceSession};

impl SipVoiceBackend {
    /// Calls `callback` for every inbound call, once, when it has been answered and its media is open. The last
    /// registration, of this or of [`on_call_async`](Self::on_call_async), wins.
    pub fn on_call(&self, callback: impl Fn(VoiceSession) + Send + Sync + 'static) {
        self.0.callbacks.set_call(Arc::new(callback));
    }

    /// The same, and runs what `callback` returns.
    pub fn on_call_async<F, Fut>(&self, callback: F)
    where
        F: Fn(VoiceSession) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.0.callbacks.set_call(Arc::new(self.0.callbacks.spawner().detach(callback)));
    }

    /// Calls `callback` when a call ended that was up: the far end hung up, sent no ACK or no more media. The session's
    /// state is [`SessionState::Ended`](super::SessionState::Ended) already. Not for calls that [`disconnect`](Self::disconnect) or
    /// [`close`](Self::close) ended. The last registration wins.
    pub fn on_call_disconnected(&self, callback: impl Fn(VoiceSession) + Send + Sync + 'static) {
        self.0.callbacks.set_disconnected(Arc::new(callback));
    }

    /// The same, and runs what `callback` returns.
    pub fn on_call_disconnected_async<F, Fut>(&self, callback: F)
    where
        F: Fn(VoiceSession) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.0.callbacks.set_disconnected(Arc::new(self.0.callbacks.spawner().detach(callback)));
    }

    /// Calls `callback` for every 20 ms of every caller, in order; what was lost on the way is concealed. The last
    /// registration wins.
    pub fn on_audio_received(&self, callback: impl Fn(VoiceSession, AudioFrame) + Send + Sync + 'static) {
        self.0.callbacks.set_audio(Arc::new(callback));
    }

    /// Calls `callback`, and every other one that is registered here, when a caller talks over playback: once a playback,
    /// before it is cancelled.
    pub fn on_barge_in(&self, callback: impl Fn(VoiceSession) + Send + Sync + 'static) {
        self.0.callbacks.add_barge_in(Arc::new(callback));
    }

    /// The same, and runs what `callback` returns.
    pub fn on_barge_in_async<F, Fut>(&self, callback: F)
    where
        F: Fn(VoiceSession) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.0.callbacks.add_barge_in(Arc::new(self.0.callbacks.spawner().detach(callback)));
    }

    /// Calls `callback`, and every other one that is registered here, for every key of a caller (RFC 4733), once each.
    pub fn on_dtmf_received(&self, callback: impl Fn(VoiceSession, DtmfEvent) + Send + Sync + 'static) {
        self.0.callbacks.add_dtmf(Arc::new(callback));
    }

    /// The same, and runs what `callback` returns.
    pub fn on_dtmf_received_async<F, Fut>(&self, callback: F)
    where
        F: Fn(VoiceSession, DtmfEvent) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let detached = self.0.callbacks.spawner().detach(move |(session, event)| callback(session, event));
        self.0.callbacks.add_dtmf(Arc::new(move |session, event| detached((session, event))));
    }
}
