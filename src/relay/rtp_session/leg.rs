//! An open media session of one call: the RTP core with what converts to and from it.
//!
//! In: orders of clients, plans of the call, datagrams. Out: what the core wants done. Owns no socket.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use audio::file::{DecodeError, Limits};
use bytes::Bytes;
use model::{audio::SampleRate, command::AgentPayload};
use rtp::{Session, SessionConfig};

use super::{
    super::{
        message::{AgentMedia, AgentOrder, ClientId, FileSource, MediaEvent, MediaPlan},
        random_u64,
    },
    agent_audio::{AgentAudio, HeldOrders, LegEncoder},
    caller_audio::CallerDecoder,
    tones,
};

/// See the module's documentation.
pub struct Leg {
    pub session: Session,
    pub caller: CallerDecoder,
    /// Hears what is sent, for a recording of both sides.
    pub sent: CallerDecoder,
    pub plan: MediaPlan,
    agent: AgentAudio,
    /// Digits to the caller go as tones in the audio.
    tones: bool,
    loading: Option<Loading>,
    tickets: u64,
    /// Files that are being read, those that nobody waits for any more included.
    reading: usize,
    /// The last audio was refused: the client has been told, until some is taken again.
    overfull: bool,
    /// Orders that found no room behind a file.
    unheld: u64,
}

/// A file is being read: orders that came after PLAY wait for it.
struct Loading {
    ticket: u64,
    client: ClientId,
    /// The word that asked for it, and the status of a refusal.
    word: &'static str,
    failure: u16,
    behind: HeldOrders,
}

/// What an order led to, apart from what the core has to say.
pub enum Outcome {
    /// Nothing more.
    Done,
    /// This file is to be read; `loaded` takes it.
    Load {
        /// Which.
        file: FileSource,
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
    pub fn open(
        plan: MediaPlan,
        mut config: SessionConfig,
        tones: bool,
        records_sent: bool,
        now: Instant,
    ) -> Self {
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
            tones,
            loading: None,
            tickets: 0,
            reading: 0,
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
        let (client, word) = (order.client, verb(&order.media));
        let queued = match order.media {
            AgentMedia::Play(name) => {
                return self.load(FileSource::Named(name), HeldOrders::default(), client, word, 404);
            }
            AgentMedia::Audio { payload: AgentPayload::Riff(file), .. } => {
                match short(&file, self.agent.rate()) {
                    // More of the same speech may follow at once, and is not to be refused for it.
                    None => {
                        let behind = HeldOrders::up_to(BEHIND_SPEECH);
                        return self.load(FileSource::Whole(file), behind, client, word, 503);
                    }
                    Some(pcm) => {
                        let queued = pcm.and_then(|pcm| self.queue_decoded(&pcm, now));
                        self.tell_once(queued)
                    }
                }
            }
            media => self.queue(media, now),
        };
        match queued {
            Ok(()) => Outcome::Done,
            Err((status, text)) => refusal(client, status, text, word),
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
                self.tell_once(queued)
            }
            AgentMedia::Mark(name) => self.session.mark(now, name).map_err(|error| (503, error.to_string())),
            AgentMedia::Dtmf { digits, each } if self.tones => {
                let pcm =
                    tones::pcm(&digits, each, self.agent.rate()).map_err(|error| (488, error.to_string()))?;
                self.queue_decoded(&pcm, now).map_err(|text| (503, text))
            }
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

    fn load(
        &mut self,
        file: FileSource,
        behind: HeldOrders,
        client: ClientId,
        word: &'static str,
        failure: u16,
    ) -> Outcome {
        if self.reading >= MAX_READING {
            return refusal(client, 503, "too many files are being read".to_owned(), word);
        }
        self.tickets += 1;
        self.reading += 1;
        let ticket = self.tickets;
        self.loading = Some(Loading { ticket, client, word, failure, behind });
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
        self.reading = self.reading.saturating_sub(1);
        let Loading { client, word, failure, behind, .. } =
            self.loading.take_if(|loading| loading.ticket == ticket)?;
        let queued = pcm
            .map_err(|text| (failure, text))
            .and_then(|pcm| self.queue_decoded(&pcm, now).map_err(|text| (503, text)));
        let outcome = match queued {
            Ok(()) => Outcome::Done,
            Err((status, text)) => refusal(client, status, text, word),
        };
        Some((behind, outcome))
    }

    /// Queues PCM at the rate of the leg.
    fn queue_decoded(&mut self, pcm: &[i16], now: Instant) -> Result<(), String> {
        let rate = self.agent.rate();
        self.agent.queue_pcm(&mut self.session, pcm, rate, now)
    }

    /// A client that streams into a full queue hears of it once, not 50 times a second.
    fn tell_once(&mut self, queued: Result<(), String>) -> Result<(), (u16, String)> {
        let told = std::mem::replace(&mut self.overfull, queued.is_err());
        if told { Ok(()) } else { queued.map_err(|text| (503, text)) }
    }

    /// Queues the greeting, 8 kHz.
    pub fn greet(&mut self, pcm: &[i16], now: Instant) -> Result<(), String> {
        self.agent.queue_pcm(&mut self.session, pcm, SampleRate::Hz8000, now)
    }
}

/// A WAV file that is decoded in no time; `None` for one that the calls of this thread would notice.
fn short(file: &Bytes, rate: SampleRate) -> Option<Result<Vec<i16>, String>> {
    match audio::file::decode_within(file.clone(), Some("wav"), Some(rate.hz()), SHORT) {
        Err(DecodeError::TooLarge { .. } | DecodeError::TooLong { .. }) => None,
        decoded => Some(decoded.map(|pcm| pcm.samples).map_err(|error| error.to_string())),
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

/// What is decoded at once: some milliseconds of work, whatever the file.
const SHORT: Limits = Limits { bytes: 256 << 10, duration: Duration::from_secs(20) };
/// Audio that may wait behind a WAV file that came in a message: as much as the playout queue takes.
const BEHIND_SPEECH: Duration = Duration::from_secs(600);
/// Files of one call that may be read at the same time. More than one only where CLEAR has made the others pointless.
const MAX_READING: usize = 4;
