//! A leg on a media stream, alone with its channel.

use std::{sync::Arc, time::Duration};

use actix::{Actor, Addr, Context, Handler};
use bytes::Bytes;
use model::{id::CallId, mode::AgentCodec};
use tokio::sync::mpsc;

use super::*;
use crate::{
    engine::session_config,
    relay::{
        message::{
            AudioForm, CallerAudio, ClientId, Listener, MediaCommand, MediaEvent, RtpForm, StreamAudio,
            StreamOutput,
        },
        rtp_session::{Hearing, MediaSettings},
    },
};

/// Stands in for everybody around a leg.
struct Around(mpsc::UnboundedSender<&'static str>);

impl Actor for Around {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(128);
    }
}

impl Around {
    fn tell(&self, what: &'static str) {
        self.0.send(what).expect("the test listens");
    }
}

impl Handler<CallerAudio> for Around {
    type Result = ();

    fn handle(&mut self, _: CallerAudio, _: &mut Context<Self>) {
        self.tell("audio");
    }
}

impl Handler<StreamOutput> for Around {
    type Result = ();

    fn handle(&mut self, _: StreamOutput, _: &mut Context<Self>) {}
}

impl Handler<MediaEvent> for Around {
    type Result = ();

    fn handle(&mut self, event: MediaEvent, _: &mut Context<Self>) {
        if event == MediaEvent::LineClosed {
            self.tell("closed");
        }
    }
}

/// A leg on a stream, and the stream's end of its channel.
fn leg(around: &Addr<Around>, listeners: Vec<Listener>) -> (mpsc::Sender<StreamAudio>, Addr<RtpSession>) {
    let (line, audio) = mpsc::channel(100);
    let media = StreamMedia { output: around.clone().recipient(), audio, overflow: Arc::default() };
    let settings =
        MediaSettings { session: session_config(true), hearing: Hearing::default(), stereo: false };
    let (id, carrier) = (CallId::from_sip_call_id("MZ1"), Carrier::Stream(media));
    let session = RtpSession::new(id, carrier, Arc::new(settings), None, listeners, Arc::default());
    (line, session.expect("nothing to bind").start())
}

fn plan() -> MediaPlan {
    MediaPlan {
        codec: Codec::Pcmu,
        payload_type: 0,
        accept: vec![(0, Codec::Pcmu)],
        telephone_event: None,
        remote: None,
        remote_rtcp: None,
        send: true,
        receive: true,
        held: false,
    }
}

#[actix::test]
async fn what_was_said_last_is_heard_although_the_end_is_heard_of_first() {
    let (sender, mut heard) = mpsc::unbounded_channel();
    let around = Around(sender).start();
    let listener = Listener {
        client: ClientId(1),
        replaces: None,
        form: RtpForm::Multi(AudioForm { codec: AgentCodec::Pcmu, ..AudioForm::default() }),
        audio: around.clone().recipient(),
    };
    let (line, session) = leg(&around, vec![listener]);
    session.do_send(MediaCommand::Attach(around.recipient()));
    session.do_send(MediaCommand::Start(Box::new(plan())));
    for _ in 0..100 {
        let payload = Bytes::from_static(&[0x80; 160]);
        line.try_send(StreamAudio { chunk: None, timestamp: None, payload }).expect("there is room");
    }
    // Mailboxes are read before everything else.
    session.do_send(MediaCommand::Close(None));
    for _ in 0..100 {
        assert_eq!(soon(heard.recv()).await, Some("audio"));
    }
}

#[actix::test]
async fn call_is_told_once_that_its_stream_is_gone_however_late_it_attaches() {
    for attached_first in [true, false] {
        let (sender, mut heard) = mpsc::unbounded_channel();
        let around = Around(sender).start();
        let (line, session) = leg(&around, Vec::new());
        let attach = MediaCommand::Attach(around.recipient());
        if attached_first {
            session.send(attach).await.expect("it lives");
            drop(line);
        } else {
            drop(line);
            tokio::task::yield_now().await;
            session.send(attach).await.expect("it lives");
        }
        assert_eq!(soon(heard.recv()).await, Some("closed"));
        session.send(MediaCommand::Close(None)).await.expect("it lives");
        assert_eq!(soon(heard.recv()).await, None, "and nothing else");
    }
}

async fn soon<T>(happening: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(5), happening).await.expect("it happens within 5 s")
}
