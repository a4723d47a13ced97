//! Who hears a caller, and in which form.
//!
//! In: frames. Out: [`CallerAudio`] to each listener; a form's messages are built once, however many listen.

use actix::{Recipient, prelude::SendError};
use model::id::CallId;

use super::{
    super::message::{CallerAudio, ClientId, Listener, RtpForm},
    caller_audio::CallerFrame,
    rendition::Rendition,
};

/// The listeners of one call.
#[derive(Default)]
pub struct Fanout {
    listeners: Vec<Listener>,
    renditions: Vec<Rendition>,
    dropped: u64,
}

impl Fanout {
    /// Adds a listener to a call; one of the same client is replaced. A connection that it takes over from is told that
    /// no more comes, so that what came there can be put before what comes here.
    pub fn add(&mut self, call: &CallId, listener: Listener) {
        if let Some(former) = listener.replaces {
            let former = self.listeners.iter().find(|old| old.client == former);
            let told = former.is_some_and(|former| tell_last(call, &former.audio));
            if !told {
                tell_last(call, &listener.audio);
            }
        }
        let replaced = [Some(listener.client), listener.replaces];
        self.listeners.retain(|old| !replaced.contains(&Some(old.client)));
        if !self.renditions.iter().any(|rendition| rendition.form() == listener.form) {
            self.renditions.push(Rendition::new(listener.form));
        }
        self.listeners.push(listener);
        self.forget_unused();
    }

    /// Removes a client's listener, if it has one.
    pub fn remove(&mut self, client: ClientId) {
        self.listeners.retain(|listener| listener.client != client);
        self.forget_unused();
    }

    /// Whether a multi client is among them.
    pub fn has_multi(&self) -> bool {
        self.listeners.iter().any(|listener| matches!(listener.form, RtpForm::Multi(_)))
    }

    /// Messages that a listener did not get because it was too slow.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Sends one frame to everybody. A full mailbox drops it for that listener; a closed one drops the listener.
    pub fn send(&mut self, call: &CallId, frame: &CallerFrame<'_>) {
        let Self { listeners, renditions, dropped } = self;
        let before = listeners.len();
        renditions.iter_mut().for_each(Rendition::next_frame);
        listeners.retain(|listener| {
            let Some(rendition) = renditions.iter_mut().find(|rendition| rendition.form() == listener.form)
            else {
                return false;
            };
            rendition.messages(call, frame).iter().all(|message| {
                let frame = Some(message.clone());
                let sent = listener.audio.try_send(CallerAudio { call: call.clone(), frame });
                *dropped += u64::from(matches!(sent, Err(SendError::Full(_))));
                !matches!(sent, Err(SendError::Closed(_)))
            })
        });
        if listeners.len() != before {
            self.forget_unused();
        }
    }

    fn forget_unused(&mut self) {
        let Self { listeners, renditions, .. } = self;
        renditions.retain(|rendition| listeners.iter().any(|listener| listener.form == rendition.form()));
    }
}

/// Says that no more comes; true if there is somebody to hear it.
fn tell_last(call: &CallId, audio: &Recipient<CallerAudio>) -> bool {
    let last = CallerAudio { call: call.clone(), frame: None };
    match audio.try_send(last) {
        Ok(()) => true,
        // It is not audio, and not to be dropped.
        Err(SendError::Full(last)) => {
            audio.do_send(last);
            true
        }
        Err(SendError::Closed(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use actix::{Actor, Addr, Context, Handler};

    use super::{
        super::super::message::{AudioMessage, RtpForm},
        *,
    };

    /// A client that writes down which audio came: 1 for a frame, 0 for the last.
    struct Ear(Arc<Mutex<Vec<u8>>>);

    impl Actor for Ear {
        type Context = Context<Self>;
    }

    impl Handler<CallerAudio> for Ear {
        type Result = ();

        fn handle(&mut self, audio: CallerAudio, _: &mut Context<Self>) {
            self.0.lock().expect("no test panics with it").push(u8::from(audio.frame.is_some()));
        }
    }

    fn ear() -> (Addr<Ear>, Arc<Mutex<Vec<u8>>>) {
        let heard = Arc::default();
        (Ear(Arc::clone(&heard)).start(), heard)
    }

    fn listener(client: u64, replaces: Option<u64>, ear: &Addr<Ear>) -> Listener {
        let audio = ear.clone().recipient();
        Listener { client: ClientId(client), replaces: replaces.map(ClientId), form: RtpForm::Hex, audio }
    }

    #[actix::test]
    async fn replaced_connection_hears_that_no_more_comes_else_the_one_that_replaces_it() {
        let (call, mut fanout) = (CallId::from_sip_call_id("a"), Fanout::default());
        let ((first, heard_first), (second, heard_second), (third, heard_third)) = (ear(), ear(), ear());
        fanout.add(&call, listener(1, None, &first));
        fanout.add(&call, listener(2, Some(1), &second));
        fanout.add(&call, listener(3, Some(9), &third));
        for ear in [first, second, third] {
            ear.send(CallerAudio { call: call.clone(), frame: Some(AudioMessage::Text("x".into())) })
                .await
                .expect("it runs");
        }
        let heard = [heard_first, heard_second, heard_third];
        assert_eq!(
            heard.map(|heard| heard.lock().expect("no test panics with it").clone()),
            [vec![0, 1], vec![1], vec![0, 1]]
        );
    }
}
