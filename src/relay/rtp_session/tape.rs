//! The audio of a call on its way to the recorder: placed in time, and gathered into few messages.
//!
//! In: decoded frames with their position. Out: [`RecordAudio`] of half a second: of the caller alone, or of both sides.
//! Knows nothing of files.

use std::time::{Duration, Instant};

use actix::Recipient;
use model::id::CallId;

use super::{super::message::RecordAudio, mixer::Mixer};

/// One call's feed to the recorder.
pub struct Tape {
    feed: Feed,
    started: Option<Instant>,
    reel: Reel,
}

/// The way to the recorder.
struct Feed {
    call: CallId,
    recorder: Option<Recipient<RecordAudio>>,
    dropped: u64,
}

enum Reel {
    /// The caller alone.
    Mono {
        /// Where the gathered samples begin.
        position: u64,
        samples: Vec<i16>,
    },
    /// Caller left, agent right.
    Stereo(Mixer),
}

impl Tape {
    /// Without a recorder nothing is gathered.
    pub fn new(call: CallId, recorder: Option<Recipient<RecordAudio>>, stereo: bool) -> Self {
        let reel = match stereo {
            false => Reel::Mono { position: 0, samples: Vec::new() },
            true => Reel::Stereo(Mixer::default()),
        };
        Self { feed: Feed { call, recorder, dropped: 0 }, started: None, reel }
    }

    /// The session opened.
    pub fn start(&mut self, now: Instant) {
        self.started.get_or_insert(now);
    }

    /// Whether the agent is recorded as well. Positions are then those of the call, otherwise those of the caller's stream.
    pub fn is_stereo(&self) -> bool {
        self.feed.recorder.is_some() && matches!(self.reel, Reel::Stereo(_))
    }

    /// Frames that the recorder did not get because it was too slow; they are silence in the file.
    pub fn dropped(&self) -> u64 {
        self.feed.dropped
    }

    /// Adds a frame of the caller at its position, in samples at 8 kHz.
    pub fn caller(&mut self, position: u64, pcm_8k: &[i16], now: Instant) {
        if self.feed.recorder.is_none() {
            return;
        }
        // A peer that jumps ahead in time must not fill the disk with silence: nothing lies in the future.
        let latest = self.started.map_or(0, |start| samples_in(now - start + AHEAD));
        match &mut self.reel {
            Reel::Mono { position: begin, samples } => {
                let end = *begin + samples.len() as u64;
                let at = position.clamp(end, latest.max(end));
                if at != end {
                    self.feed.mono(begin, samples);
                    *begin = at;
                }
                samples.extend_from_slice(pcm_8k);
                if samples.len() >= BATCH {
                    self.feed.mono(begin, samples);
                }
            }
            Reel::Stereo(mixer) => {
                mixer.caller(position.min(latest), pcm_8k);
                self.feed.stereo(mixer, BATCH + LAG);
            }
        }
    }

    /// Adds a frame that was sent to the caller.
    pub fn agent(&mut self, position: u64, pcm_8k: &[i16]) {
        if let Reel::Stereo(mixer) = &mut self.reel {
            mixer.agent(position, pcm_8k);
            self.feed.stereo(mixer, BATCH + LAG);
        }
    }

    /// Hands over what is gathered.
    pub fn flush(&mut self) {
        match &mut self.reel {
            Reel::Mono { position, samples } => self.feed.mono(position, samples),
            Reel::Stereo(mixer) => self.feed.stereo(mixer, 1),
        }
    }
}

impl Feed {
    fn mono(&mut self, position: &mut u64, samples: &mut Vec<i16>) {
        if self.recorder.is_none() || samples.is_empty() {
            return;
        }
        let samples = std::mem::replace(samples, Vec::with_capacity(BATCH + FRAME));
        let begin = *position;
        *position += samples.len() as u64;
        self.send(begin, 1, samples);
    }

    /// Hands over half a second at a time, while at least so much waits.
    fn stereo(&mut self, mixer: &mut Mixer, least: usize) {
        while mixer.waiting() >= least {
            let (position, samples) = mixer.take(BATCH);
            self.send(position, 2, samples);
        }
    }

    fn send(&mut self, position: u64, channels: u16, samples: Vec<i16>) {
        let Some(recorder) = &self.recorder else { return };
        let frames = (samples.len() / usize::from(channels)).div_ceil(FRAME) as u64;
        let audio = RecordAudio { call: self.call.clone(), position, channels, samples };
        if recorder.try_send(audio).is_err() {
            self.dropped += frames;
        }
    }
}

fn samples_in(time: Duration) -> u64 {
    time.as_millis() as u64 * 8
}

/// Half a second.
const BATCH: usize = 4000;
/// Half a second: how long the two sides are waited for. A jitter buffer holds less back.
const LAG: usize = 4000;
const FRAME: usize = 160;
/// How far a packet's timestamp may run ahead of the clock: bursts after a stall, and peers with fast clocks.
const AHEAD: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use actix::{Actor, Context, Handler};
    use tokio::sync::mpsc;

    use super::*;

    /// Stands in for the recorder.
    struct Probe(mpsc::UnboundedSender<(u64, u16, Vec<i16>)>);

    impl Actor for Probe {
        type Context = Context<Self>;
    }

    impl Handler<RecordAudio> for Probe {
        type Result = ();

        fn handle(&mut self, audio: RecordAudio, _: &mut Context<Self>) {
            self.0.send((audio.position, audio.channels, audio.samples)).expect("the test listens");
        }
    }

    fn tape(stereo: bool) -> (Tape, mpsc::UnboundedReceiver<(u64, u16, Vec<i16>)>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let recorder = Probe(sender).start().recipient();
        (Tape::new(CallId::from_sip_call_id("a@h"), Some(recorder), stereo), receiver)
    }

    #[actix::test]
    async fn gap_begins_a_new_stretch_at_its_place() {
        let (mut tape, mut heard) = tape(false);
        let start = Instant::now();
        tape.start(start);
        tape.caller(0, &[1; FRAME], start);
        tape.caller(160, &[1; FRAME], start);
        tape.caller(480, &[1; FRAME], start);
        tape.flush();
        assert_eq!(heard.recv().await, Some((0, 1, vec![1; 320])));
        assert_eq!(heard.recv().await, Some((480, 1, vec![1; 160])));
    }

    #[actix::test]
    async fn timestamp_far_in_the_future_does_not_fill_the_disk() {
        let (mut tape, mut heard) = tape(false);
        let start = Instant::now();
        tape.start(start);
        tape.caller(0, &[1; FRAME], start);
        tape.caller(u64::MAX / 2, &[1; FRAME], start + Duration::from_secs(1));
        tape.flush();
        assert_eq!(heard.recv().await, Some((0, 1, vec![1; FRAME])));
        let (position, ..) = heard.recv().await.expect("the second stretch");
        assert_eq!(position, samples_in(Duration::from_secs(1) + AHEAD));
    }

    #[actix::test]
    async fn both_sides_lie_side_by_side_at_their_places() {
        let (mut tape, mut heard) = tape(true);
        let start = Instant::now();
        tape.start(start);
        for n in 0..100 {
            tape.agent(n * 160, &[2; FRAME]);
            // The caller is heard a little later than the agent speaks, and not at first.
            if n >= 10 {
                tape.caller((n - 5) * 160, &[1; FRAME], start + Duration::from_millis(20 * n));
            }
        }
        let mut frames = Vec::new();
        tape.flush();
        while let Ok(Some((position, channels, samples))) =
            tokio::time::timeout(Duration::from_millis(100), heard.recv()).await
        {
            assert_eq!((position, channels), (frames.len() as u64, 2), "nothing is left out");
            frames.extend(samples.chunks_exact(2).map(|frame| (frame[0], frame[1])));
        }
        let expected = |n: usize| (i16::from((800..800 + 90 * 160).contains(&n)), 2);
        assert_eq!(frames, (0..16_000).map(expected).collect::<Vec<_>>());
    }
}
