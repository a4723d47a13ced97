//! The caller's audio on its way to the recorder: placed in time, and gathered into few messages.
//!
//! In: decoded frames with their RTP position. Out: [`RecordAudio`] of half a second. Knows nothing of files.

use std::time::{Duration, Instant};

use actix::Recipient;
use model::id::CallId;

use super::super::message::RecordAudio;

/// One call's feed to the recorder.
pub struct Tape {
    call: CallId,
    recorder: Option<Recipient<RecordAudio>>,
    started: Option<Instant>,
    /// Where the gathered samples begin.
    position: u64,
    samples: Vec<i16>,
    dropped: u64,
}

impl Tape {
    /// Without a recorder nothing is gathered.
    pub fn new(call: CallId, recorder: Option<Recipient<RecordAudio>>) -> Self {
        Self { call, recorder, started: None, position: 0, samples: Vec::new(), dropped: 0 }
    }

    /// The session opened.
    pub fn start(&mut self, now: Instant) {
        self.started.get_or_insert(now);
    }

    /// Frames that the recorder did not get because it was too slow; they are silence in the file.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Adds one frame at its RTP position, in samples at 8 kHz.
    pub fn record(&mut self, timestamp: u64, pcm_8k: &[i16], now: Instant) {
        if self.recorder.is_none() {
            return;
        }
        let end = self.position + self.samples.len() as u64;
        // A peer that jumps ahead in time must not fill the disk with silence: nothing lies in the future.
        let latest = self.started.map_or(0, |start| samples_in(now - start + AHEAD)).max(end);
        let at = timestamp.clamp(end, latest);
        if at != end {
            self.flush();
            self.position = at;
        }
        self.samples.extend_from_slice(pcm_8k);
        if self.samples.len() >= BATCH {
            self.flush();
        }
    }

    /// Hands over what is gathered.
    pub fn flush(&mut self) {
        let Some(recorder) = self.recorder.as_ref().filter(|_| !self.samples.is_empty()) else { return };
        let samples = std::mem::replace(&mut self.samples, Vec::with_capacity(BATCH + FRAME));
        let position = self.position;
        self.position += samples.len() as u64;
        let frames = samples.len().div_ceil(FRAME) as u64;
        if recorder.try_send(RecordAudio { call: self.call.clone(), position, samples }).is_err() {
            self.dropped += frames;
        }
    }
}

fn samples_in(time: Duration) -> u64 {
    time.as_millis() as u64 * 8
}

/// Half a second.
const BATCH: usize = 4000;
const FRAME: usize = 160;
/// How far a packet's timestamp may run ahead of the clock: bursts after a stall, and peers with fast clocks.
const AHEAD: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use actix::{Actor, Context, Handler};
    use tokio::sync::mpsc;

    use super::*;

    /// Stands in for the recorder.
    struct Probe(mpsc::UnboundedSender<(u64, usize)>);

    impl Actor for Probe {
        type Context = Context<Self>;
    }

    impl Handler<RecordAudio> for Probe {
        type Result = ();

        fn handle(&mut self, audio: RecordAudio, _: &mut Context<Self>) {
            self.0.send((audio.position, audio.samples.len())).expect("the test listens");
        }
    }

    fn tape() -> (Tape, mpsc::UnboundedReceiver<(u64, usize)>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let recorder = Probe(sender).start().recipient();
        (Tape::new(CallId::from_sip_call_id("a@h"), Some(recorder)), receiver)
    }

    #[actix::test]
    async fn gap_begins_a_new_stretch_at_its_place() {
        let (mut tape, mut heard) = tape();
        let start = Instant::now();
        tape.start(start);
        tape.record(0, &[1; FRAME], start);
        tape.record(160, &[1; FRAME], start);
        tape.record(480, &[1; FRAME], start);
        tape.flush();
        assert_eq!(heard.recv().await, Some((0, 320)));
        assert_eq!(heard.recv().await, Some((480, 160)));
    }

    #[actix::test]
    async fn timestamp_far_in_the_future_does_not_fill_the_disk() {
        let (mut tape, mut heard) = tape();
        let start = Instant::now();
        tape.start(start);
        tape.record(0, &[1; FRAME], start);
        tape.record(u64::MAX / 2, &[1; FRAME], start + Duration::from_secs(1));
        tape.flush();
        assert_eq!(heard.recv().await, Some((0, FRAME)));
        let (position, _) = heard.recv().await.expect("the second stretch");
        assert_eq!(position, samples_in(Duration::from_secs(1) + AHEAD));
    }
}
