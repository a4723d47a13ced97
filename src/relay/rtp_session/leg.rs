//! An open media session of one call: the RTP core with what converts to and from it.
//!
//! In: orders of clients, plans of the call, datagrams. Out: what the core wants done. Owns no socket.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use model::audio::SampleRate;
use rtp::{Session, SessionConfig};

use super::{
    super::{
        message::{AgentMedia, AgentOrder, ClientId, MediaEvent, MediaPlan},
        random_u64,
    },
    agent_audio::{AgentAudio, HeldOrders, LegEncoder},
    caller_audio::CallerDecoder,
};

/// See the module's documentation.
pub struct Leg {
    pub session: Session,
    pub caller: CallerDecoder,
    /// Hears what is sent, for a recording of both sides.
    pub sent: CallerDecoder,
    pub plan: MediaPlan,
    agent: AgentAudio,
    loading: Option<Loading>,
    tickets: u64,
    /// The last audio was refused: the client has been told, until some is taken again.
    overfull: bool,
    /// Orders that found no room behind a file.
    unheld: u64,
}

/// A file is being read: orders that came after PLAY wait for it.
struct Loading {
    ticket: u64,
    client: ClientId,
    behind: HeldOrders,
}

/// What an order led to, apart from what the core has to say.
pub enum Outcome {
    /// Nothing more.
    Done,
    /// This file is to be read; `loaded` takes it.
    Load {
        /// As the client typed it.
        file: String,
        /// The rate of the leg.
        rate: SampleRate,
        /// For [`Leg::loaded`].
        ticket: u64,
    },
    /// To be told to the call.
    Tell(Vec<MediaEvent>),
}

impl Leg {
    /// Opens a session that sends from now on.
    pub fn open(plan: MediaPlan, settings: &SessionConfig, records_sent: bool, now: Instant) -> Self {
        let mut config = settings.clone();
        let seed = random_u64();
        config.payload_type = plan.payload_type;
        config.accept = plan.accept.iter().map(|(payload_type, _)| *payload_type).collect();
        config.telephone_event = plan.telephone_event;
        config.ssrc = seed as u32;
        config.first_seq = (seed >> 32) as u16;
        config.first_timestamp = random_u64() as u32;
        config.cname = format!("{:016x}", random_u64());
        config.wallclock = ntp_time();

        let mut leg = Self {
            session: Session::new(now, config, Box::new(LegEncoder::new(plan.codec)), random_u64()),
            caller: CallerDecoder::new(&plan.accept),
            sent: sent(&plan),
            agent: AgentAudio::new(plan.codec),
            plan,
            loading: None,
            tickets: 0,
            overfull: false,
            unheld: 0,
        };
        leg.session.report_sent_audio(records_sent);
        leg.aim(now);
        leg.session.start(now);
        leg
    }

    /// Clock, SSRC and positions go on; a change of codec only drops what was queued for the old one.
    pub fn update(&mut self, plan: MediaPlan, now: Instant) {
        let same = self.plan.codec == plan.codec
            && self.plan.payload_type == plan.payload_type
            && self.plan.accept == plan.accept
            && self.plan.telephone_event == plan.telephone_event;
        if !same {
            let accept: Vec<u8> = plan.accept.iter().map(|(payload_type, _)| *payload_type).collect();
            let encoder = Box::new(LegEncoder::new(plan.codec));
            self.session.set_codec(now, plan.payload_type, &accept, plan.telephone_event, encoder);
            self.agent = AgentAudio::new(plan.codec);
            self.caller = CallerDecoder::new(&plan.accept);
            self.sent = sent(&plan);
        }
        self.plan = plan;
        self.aim(now);
    }

    fn aim(&mut self, now: Instant) {
        if let Some(remote) = self.plan.remote {
            self.session.set_remote(now, remote, self.plan.remote_rtcp);
        }
        let send = self.plan.send && self.plan.remote.is_some();
        self.session.set_direction(now, send, self.plan.receive);
        self.session.set_watched(now, !self.plan.held);
    }

    /// Carries out an order, or keeps it until the file before it has been read.
    pub fn order(&mut self, order: AgentOrder, now: Instant) -> Outcome {
        if matches!(order.media, AgentMedia::Clear) {
            return self.clear(now);
        }
        if let Some(loading) = &mut self.loading {
            return match loading.behind.push(order) {
                Ok(()) => Outcome::Done,
                Err(order) => {
                    self.unheld += 1;
                    refusal(order.client, 503, "too much waits for a file".to_owned(), verb(&order.media))
                }
            };
        }
        if let AgentMedia::Play(file) = order.media {
            return self.load(file, order.client);
        }
        let word = verb(&order.media);
        match self.queue(order.media, now) {
            Ok(()) => Outcome::Done,
            Err((status, text)) => refusal(order.client, status, text, word),
        }
    }

    /// Orders that were refused because too many waited for a file.
    pub fn unheld(&self) -> u64 {
        self.unheld
    }

    fn queue(&mut self, media: AgentMedia, now: Instant) -> Result<(), (u16, String)> {
        match media {
            AgentMedia::Audio { payload, rate } => {
                let queued = self.agent.queue(&mut self.session, payload, rate, &self.plan, now);
                let told = std::mem::replace(&mut self.overfull, queued.is_err());
                // A client that streams into a full queue hears of it once, not 50 times a second.
                if told { Ok(()) } else { queued.map_err(|text| (503, text)) }
            }
            AgentMedia::Mark(name) => self.session.mark(now, name).map_err(|error| (503, error.to_string())),
            AgentMedia::Dtmf { digits, each } => {
                self.session.send_dtmf(now, &digits, each).map_err(|error| (488, error.to_string()))
            }
            AgentMedia::Drain => {
                self.session.drain(now);
                Ok(())
            }
            AgentMedia::Clear | AgentMedia::Play(_) => Ok(()),
        }
    }

    fn load(&mut self, file: String, client: ClientId) -> Outcome {
        self.tickets += 1;
        let ticket = self.tickets;
        self.loading = Some(Loading { ticket, client, behind: HeldOrders::default() });
        Outcome::Load { file, rate: self.agent.rate(), ticket }
    }

    /// Empties the playout queue. Marks that wait behind a file were dropped with it.
    pub fn clear(&mut self, now: Instant) -> Outcome {
        self.session.clear(now);
        let played = self.session.played();
        let behind = self.loading.take().map(|loading| loading.behind).into_iter().flatten();
        let cleared = behind.filter_map(|order| match order.media {
            AgentMedia::Mark(name) => Some(MediaEvent::Mark { name, reached: false, played }),
            _ => None,
        });
        Outcome::Tell(cleared.collect())
    }

    /// The file has been read. Returns the orders that waited for it; `None` if nobody waits for it any more.
    pub fn loaded(
        &mut self,
        ticket: u64,
        pcm: Result<Arc<[i16]>, String>,
        now: Instant,
    ) -> Option<(HeldOrders, Outcome)> {
        let Loading { client, behind, .. } = self.loading.take_if(|loading| loading.ticket == ticket)?;
        let queued = pcm.map_err(|text| (404, text)).and_then(|pcm| {
            let rate = self.agent.rate();
            self.agent.queue_pcm(&mut self.session, &pcm, rate, now).map_err(|text| (503, text))
        });
        let outcome = match queued {
            Ok(()) => Outcome::Done,
            Err((status, text)) => refusal(client, status, text, "PLAY"),
        };
        Some((behind, outcome))
    }

    /// Queues the greeting, 8 kHz.
    pub fn greet(&mut self, pcm: &[i16], now: Instant) -> Result<(), String> {
        self.agent.queue_pcm(&mut self.session, pcm, SampleRate::Hz8000, now)
    }
}

fn sent(plan: &MediaPlan) -> CallerDecoder {
    CallerDecoder::new(&[(plan.payload_type, plan.codec)])
}

fn refusal(client: ClientId, status: u16, text: String, verb: &'static str) -> Outcome {
    Outcome::Tell(vec![MediaEvent::Refused { client, status, text, verb }])
}

/// The word of the text protocol that an order came from.
fn verb(media: &AgentMedia) -> &'static str {
    match media {
        AgentMedia::Audio { .. } => "RTP",
        AgentMedia::Play(_) => "PLAY",
        AgentMedia::Mark(_) => "MARK",
        AgentMedia::Clear => "CLEAR",
        AgentMedia::Drain => "HANGUP",
        AgentMedia::Dtmf { .. } => "DTMF",
    }
}

/// Time since 1900, for sender reports (RFC 3550 §4).
fn ntp_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + Duration::from_secs(2_208_988_800)
}
