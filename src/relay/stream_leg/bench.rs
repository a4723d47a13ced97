//! A relay without its WebSocket server, a provider's stream and a client of it: actors that a test talks to.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, ActorContext, Addr, Arbiter, AsyncContext, Context, Handler, Message};
use bytes::Bytes;
use model::{
    audio::{Codec, SampleRate},
    call::EndLabel,
    event::Event,
    id::CallId,
    mode::{AgentCodec, Frames, Mode},
};
use sip::EndpointConfig;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{
    super::{
        message::{
            AgentMedia, AgentOrder, AudioForm, AudioMessage, CallCommand, CallHandle, CallerAudio, Census,
            CensusRequest, ClientEvent, ClientId, Connect, Listen, Listener, RtpForm, Shutdown, SipCommand,
            StreamAudio, StreamOutput, StreamStart,
        },
        reader::Reader,
        recorder::{Recorder, RecorderPort},
        rtp_ports::RtpPorts,
        rtp_session::{Hearing, MediaSettings},
        sip_listener::{Door, Peers},
        stack::{Stack, Threads, bind_sip},
        switchboard::{MediaAddress, Switchboard, SwitchboardSettings},
        testing::TempDir,
    },
    CloseStream, StreamLeg,
};
use crate::{
    config::LostAction,
    engine::{call_settings, session_config},
    metrics::Metrics,
};

const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The client of every bench.
pub const CLIENT: ClientId = ClientId(1);

/// What a test wants otherwise than usual.
pub struct Wishes {
    /// `None`: calls wait for an agent.
    pub answer: Option<Duration>,
    pub max_calls: Option<usize>,
    pub inactivity: Duration,
    pub stereo: bool,
    pub greeting: Option<Vec<i16>>,
}

impl Default for Wishes {
    fn default() -> Self {
        let (answer, inactivity) = (Some(Duration::ZERO), Duration::from_secs(30));
        Self { answer, max_calls: None, inactivity, stereo: false, greeting: None }
    }
}

/// See the module's documentation.
pub struct Bench {
    pub switchboard: Addr<Switchboard>,
    pub metrics: Arc<Metrics>,
    pub folder: TempDir,
    client: Addr<Client>,
    heard: UnboundedReceiver<Heard>,
    /// The call that was made known last.
    pub handle: Option<CallHandle>,
    /// The number that it was placed to.
    pub called: Option<String>,
}

impl Bench {
    pub fn new(wishes: Wishes) -> Self {
        let folder = TempDir::new();
        let here = Arbiter::current();
        let metrics = Arc::new(Metrics::new());
        let greeting = folder.path().join("greeting.wav");
        if let Some(pcm) = wishes.greeting {
            write_wav(&greeting, &pcm);
        }
        let recorder = Recorder::new(folder.path().to_owned(), greeting, metrics.clone()).start();
        let reader = Reader::new(folder.path().to_owned()).start();
        let (sender, heard) = unbounded_channel();
        let client = Client { heard: sender }.start();
        let socket = bind_sip((HOST, 0).into()).expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        let mut session = session_config(true);
        session.inactivity_timeout = wishes.inactivity;
        // Shorter than what applies to a stream.
        session.establishment_timeout = Duration::from_millis(1);
        let call = Arc::new(call_settings(vec![Codec::Pcmu], wishes.answer));
        let stack = Stack {
            socket,
            endpoint: EndpointConfig::new(address),
            door: Door { trunk: None, peers: Peers::new(Vec::new(), None), registration: None },
            ports: RtpPorts::new(HOST, 43_000, 43_001, 2).expect("a range"),
            call: call.clone(),
            media: Arc::new(MediaSettings { session, hearing: Hearing::default(), stereo: wishes.stereo }),
            switchboard: SwitchboardSettings {
                dialling: None,
                max_calls: wishes.max_calls,
                media_address: MediaAddress::Fixed(HOST),
                lost_action: LostAction::Keep,
                admission: None,
                call,
            },
            insider: Some(Connect {
                client: CLIENT,
                events: client.clone().recipient(),
                session: None,
                inside: None,
                beside: false,
            }),
            recorder: Some(RecorderPort {
                audio: recorder.clone().recipient(),
                finish: recorder.clone().recipient(),
                greeting: recorder.recipient(),
                files: reader.recipient(),
            }),
            metrics: metrics.clone(),
            readiness: Default::default(),
        };
        let threads = Threads { home: here.clone(), wire: here.clone(), media: vec![here] };
        let switchboard = stack.start(&threads);
        Self { switchboard, metrics, folder, client, heard, handle: None, called: None }
    }

    /// A provider opens the stream of a call.
    pub fn stream(&self, received: Codec, sent: Codec) -> Stream {
        self.stream_named("MZ:18#ad", received, sent)
    }

    pub fn stream_named(&self, name: &str, received: Codec, sent: Codec) -> Stream {
        let start = StreamStart {
            id: CallId::from_sip_call_id(name),
            phone: "+1512 555##1234".to_owned(),
            called: "+15125559999".to_owned(),
            parameters: vec![("call_sid".to_owned(), "CA1".to_owned())],
            source: (HOST, 40_000).into(),
            received,
            sent,
        };
        let (sender, seen) = unbounded_channel();
        let switchboard = self.switchboard.clone();
        let actor = Provider::create(|ctx| {
            let (leg, incoming) =
                StreamLeg::open(start, ctx.address().recipient(), ctx.address().recipient());
            switchboard.do_send(incoming);
            Provider { leg, seen: sender }
        });
        Stream { actor, seen, sent: 0 }
    }

    /// The next event that is no audio, as a multi client reads it.
    pub async fn event(&mut self) -> String {
        loop {
            match within(self.heard.recv()).await {
                Some(Heard::Event(ClientEvent::Known(handle))) => self.handle = Some(handle),
                Some(Heard::Event(ClientEvent::Say(Event::Called { number, .. }))) => {
                    self.called = Some(number)
                }
                Some(Heard::Event(ClientEvent::Say(event))) => return text(&event),
                Some(Heard::Event(ClientEvent::Close)) => return "(closed)".to_owned(),
                Some(Heard::Event(_) | Heard::Audio(_)) => {}
                None => panic!("the client lives as long as the bench"),
            }
        }
    }

    /// The next audio that the client hears, without the line's words before it.
    pub async fn audio(&mut self) -> Bytes {
        loop {
            if let Some(Heard::Audio(AudioMessage::Binary(bytes))) = within(self.heard.recv()).await {
                let words = bytes.windows(2).position(|pair| pair == b"##").expect("a line") + 2;
                return bytes.slice(words..);
            }
        }
    }

    /// A call that is up, with the client listening in this form.
    pub async fn up(&mut self, form: AudioForm) {
        assert!(self.event().await.starts_with("RING_ANS:"));
        assert!(self.event().await.starts_with("CALL_ANS:"));
        self.listen(form);
    }

    /// The client hears the call from now on.
    pub fn listen(&self, form: AudioForm) {
        self.handle.as_ref().expect("a call").listeners.do_send(Listen::On(Listener {
            client: CLIENT,
            replaces: None,
            form: RtpForm::Multi(form),
            audio: self.client.clone().recipient(),
        }));
    }

    pub fn command(&self, command: CallCommand) {
        self.handle.as_ref().expect("a call").commands.do_send(command);
    }

    pub fn order(&self, media: AgentMedia) {
        self.handle.as_ref().expect("a call").audio.do_send(AgentOrder { client: CLIENT, media });
    }

    pub async fn census(&self) -> Census {
        self.switchboard.send(CensusRequest).await.expect("the switchboard lives")
    }

    /// Begins to stop the relay.
    pub fn shut_down(&self) {
        let stopping = self.switchboard.send(Shutdown);
        actix::spawn(async move {
            // The test does not wait for the end of it.
            let _ = stopping.await;
        });
    }

    /// The samples of the one recording.
    pub fn recording(&self) -> Vec<i16> {
        let files = std::fs::read_dir(self.folder.path()).expect("the folder");
        let names = files.map(|file| file.expect("an entry").path());
        let mut recordings: Vec<_> = names.filter(|path| !path.ends_with("greeting.wav")).collect();
        assert_eq!(recordings.len(), 1, "{recordings:?}");
        let reader = hound::WavReader::open(recordings.remove(0)).expect("a WAV file");
        reader.into_samples().map(|sample| sample.expect("a sample")).collect()
    }
}

/// The provider's side of one stream.
pub struct Stream {
    pub actor: Addr<Provider>,
    seen: UnboundedReceiver<(Instant, Seen)>,
    sent: u64,
}

impl Stream {
    /// The caller says this, 20 ms after what he said last.
    pub fn say(&mut self, payload: impl Into<Bytes>) {
        self.sent += 1;
        let (chunk, timestamp) = (self.sent, Duration::from_millis(20 * self.sent));
        self.actor.do_send(Ask::Audio(StreamAudio {
            chunk: Some(chunk),
            timestamp: Some(timestamp),
            payload: payload.into(),
        }));
    }

    pub fn ask(&self, ask: Ask) {
        self.actor.do_send(ask);
    }

    /// What comes next.
    pub async fn seen(&mut self) -> (Instant, Seen) {
        within(self.seen.recv()).await.expect("the provider lives")
    }

    /// What comes next and is no audio.
    pub async fn control(&mut self) -> Seen {
        loop {
            match self.seen().await {
                (_, Seen::Audio(_)) => {}
                (_, control) => return control,
            }
        }
    }

    /// The next audio.
    pub async fn audio(&mut self) -> Bytes {
        loop {
            if let (_, Seen::Audio(payload)) = self.seen().await {
                return payload;
            }
        }
    }

    /// Everything that came and was not looked at.
    pub fn rest(&mut self) -> Vec<Seen> {
        std::iter::from_fn(|| self.seen.try_recv().ok()).map(|(_, seen)| seen).collect()
    }
}

/// Stands in for the actor of a provider's WebSocket.
pub struct Provider {
    leg: StreamLeg,
    seen: UnboundedSender<(Instant, Seen)>,
}

/// What a provider would have to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    Audio(Bytes),
    Clear,
    Closed(CloseStream),
}

/// What a test has the provider do.
#[derive(Message)]
#[rtype(result = "()")]
pub enum Ask {
    Audio(StreamAudio),
    Digit(char),
    Stop(EndLabel),
    /// Without a word.
    Vanish,
    Panic,
}

impl Actor for Provider {
    type Context = Context<Self>;
}

impl Provider {
    fn saw(&self, seen: Seen) {
        // The test may be over.
        let _ = self.seen.send((Instant::now(), seen));
    }
}

impl Handler<StreamOutput> for Provider {
    type Result = ();

    fn handle(&mut self, output: StreamOutput, _: &mut Context<Self>) {
        self.saw(match output {
            StreamOutput::Audio(payload) => Seen::Audio(payload),
            StreamOutput::Clear => Seen::Clear,
        });
    }
}

impl Handler<SipCommand> for Provider {
    type Result = ();

    fn handle(&mut self, command: SipCommand, ctx: &mut Context<Self>) {
        if let Some(close) = self.leg.command(command.action) {
            self.saw(Seen::Closed(close));
            ctx.stop();
        }
    }
}

impl Handler<Ask> for Provider {
    type Result = ();

    fn handle(&mut self, ask: Ask, ctx: &mut Context<Self>) {
        match ask {
            Ask::Audio(audio) => self.leg.audio(audio),
            Ask::Digit(digit) => self.leg.digit(digit, None),
            Ask::Stop(label) => {
                self.leg.ended(label);
                ctx.stop();
            }
            Ask::Vanish => ctx.stop(),
            Ask::Panic => panic!("a fault of the stream's actor, on purpose"),
        }
    }
}

/// Stands in for a WebSocket client.
struct Client {
    heard: UnboundedSender<Heard>,
}

enum Heard {
    Event(ClientEvent),
    Audio(AudioMessage),
}

impl Actor for Client {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(1024);
    }
}

impl Handler<ClientEvent> for Client {
    type Result = ();

    fn handle(&mut self, event: ClientEvent, _: &mut Context<Self>) {
        // The test may be over.
        let _ = self.heard.send(Heard::Event(event));
    }
}

impl Handler<CallerAudio> for Client {
    type Result = ();

    fn handle(&mut self, audio: CallerAudio, _: &mut Context<Self>) {
        if let Some(frame) = audio.frame {
            // The test may be over.
            let _ = self.heard.send(Heard::Audio(frame));
        }
    }
}

/// Audio in this codec, as bytes.
pub fn form(codec: AgentCodec, rate: SampleRate) -> AudioForm {
    AudioForm { frames: Frames::Binary, codec, rate }
}

/// What must happen soon.
pub async fn within<T>(happening: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(5), happening).await.expect("it happens within 5 s")
}

fn text(event: &Event) -> String {
    event.line(Mode::Multi).unwrap_or_default()
}

fn write_wav(path: &std::path::Path, pcm: &[i16]) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).expect("a file");
    pcm.iter().for_each(|sample| writer.write_sample(*sample).expect("it is written"));
    writer.finalize().expect("it is complete");
}
