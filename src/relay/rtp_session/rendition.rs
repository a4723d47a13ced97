//! One wire form of a call's audio: built once per frame, however many clients listen in that form.
//!
//! In: frames. Out: [`AudioMessage`]s. Classic and hex carry one packet each as it came; multi carries 20 ms each,
//! whatever the length of the caller's packets.

use audio::{g711, resample::Resampler};
use bytes::Bytes;
use model::{
    audio::{Codec, SampleRate, le_bytes},
    event,
    id::CallId,
    mode::{AgentCodec, Frames},
};

use super::{
    super::message::{AudioForm, AudioMessage, RtpForm},
    caller_audio::{CallerFrame, Packet},
};

/// The state of one form while somebody listens in it.
pub struct Rendition {
    form: RtpForm,
    messages: Vec<AudioMessage>,
    built: bool,
    resampler: Option<(SampleRate, Resampler)>,
    samples: Vec<i16>,
    /// Audio that does not fill a message yet.
    pending: Vec<u8>,
}

impl Rendition {
    pub fn new(form: RtpForm) -> Self {
        Self {
            form,
            messages: Vec::new(),
            built: false,
            resampler: None,
            samples: Vec::new(),
            pending: Vec::new(),
        }
    }

    pub fn form(&self) -> RtpForm {
        self.form
    }

    /// Forgets the messages of the last frame.
    pub fn next_frame(&mut self) {
        self.messages.clear();
        self.built = false;
    }

    /// The messages of this frame; there may be none.
    pub fn messages(&mut self, call: &CallId, frame: &CallerFrame<'_>) -> &[AudioMessage] {
        if !self.built {
            self.built = true;
            match (self.form, frame.packet) {
                (RtpForm::Samples(rate), _) => self.samples(rate.unwrap_or(frame.rate), frame),
                (RtpForm::Mulaw, _) => self.mulaw(frame),
                (RtpForm::Multi(form), _) => self.multi(form, call, frame),
                (RtpForm::Classic | RtpForm::Hex, Some(packet)) => self.packet(packet, frame.pcm_8k),
                // Nothing was received, so nothing is told.
                (RtpForm::Classic | RtpForm::Hex, None) => {}
            }
        }
        &self.messages
    }

    /// Clients of these forms know G.711 only: on a call of another codec they get payload type 0.
    fn packet(&mut self, packet: Packet<'_>, pcm_8k: &[i16]) {
        let (payload_type, payload) = match packet.codec {
            Codec::Pcmu | Codec::Pcma => (packet.payload_type, packet.payload),
            Codec::G722 | Codec::L16(_) => {
                self.pending.clear();
                g711::encode_ulaw(pcm_8k, &mut self.pending);
                (Codec::Pcmu.payload_type(), self.pending.as_slice())
            }
        };
        let mut text = String::new();
        if self.form == RtpForm::Classic {
            event::write_rtp_classic(payload_type, payload, &mut text);
        } else {
            event::write_rtp_hex(payload, &mut text);
        }
        self.messages.push(AudioMessage::Text(text.into()));
    }

    fn samples(&mut self, rate: SampleRate, frame: &CallerFrame<'_>) {
        self.append_pcm(rate, frame);
        let length = rate.frame_samples() * 2;
        while self.pending.len() >= length {
            let pcm = Bytes::copy_from_slice(&self.pending[..length]);
            self.pending.drain(..length);
            self.messages.push(AudioMessage::Samples { rate, pcm });
        }
    }

    fn mulaw(&mut self, frame: &CallerFrame<'_>) {
        self.append(AgentCodec::Pcmu, SampleRate::Hz8000, frame);
        while self.pending.len() >= MULAW_FRAME {
            self.messages.push(AudioMessage::Mulaw(Bytes::copy_from_slice(&self.pending[..MULAW_FRAME])));
            self.pending.drain(..MULAW_FRAME);
        }
    }

    fn multi(&mut self, form: AudioForm, call: &CallId, frame: &CallerFrame<'_>) {
        self.append(form.codec, form.rate, frame);
        let whole = self.pending.len() - self.pending.len() % form.frame_bytes();
        for audio in self.pending[..whole].chunks_exact(form.frame_bytes()) {
            self.messages.push(message(form.frames, call, audio));
        }
        self.pending.drain(..whole);
    }

    /// Payload of the same law passes untouched.
    fn append(&mut self, codec: AgentCodec, rate: SampleRate, frame: &CallerFrame<'_>) {
        match (codec.codec(), frame.packet) {
            (Some(law), Some(packet)) if packet.codec == law => {
                self.pending.extend_from_slice(packet.payload)
            }
            _ => match codec {
                AgentCodec::Pcm => self.append_pcm(rate, frame),
                AgentCodec::Pcmu => g711::encode_ulaw(frame.pcm_8k, &mut self.pending),
                AgentCodec::Pcma => g711::encode_alaw(frame.pcm_8k, &mut self.pending),
            },
        }
    }

    fn append_pcm(&mut self, rate: SampleRate, frame: &CallerFrame<'_>) {
        let samples = if rate == SampleRate::Hz8000 {
            frame.pcm_8k
        } else if rate == frame.rate {
            frame.pcm
        } else {
            if self.resampler.as_ref().is_none_or(|(from, _)| *from != frame.rate) {
                self.resampler = Resampler::new(frame.rate.hz(), rate.hz()).ok().map(|new| (frame.rate, new));
            }
            let Some((_, resampler)) = &mut self.resampler else { return };
            self.samples.clear();
            resampler.process(frame.pcm, &mut self.samples);
            &self.samples
        };
        self.pending.extend(le_bytes(samples));
    }
}

impl AudioForm {
    /// Bytes of 20 ms.
    fn frame_bytes(self) -> usize {
        match self.codec {
            AgentCodec::Pcm => self.rate.frame_samples() * 2,
            AgentCodec::Pcmu | AgentCodec::Pcma => SampleRate::Hz8000.frame_samples(),
        }
    }
}

fn message(frames: Frames, call: &CallId, audio: &[u8]) -> AudioMessage {
    match frames {
        Frames::Text => {
            let mut text = String::new();
            event::write_rtp_multi(call, audio, &mut text);
            AudioMessage::Text(text.into())
        }
        Frames::Binary => {
            let mut bytes = Vec::new();
            event::write_rtp_binary(call, audio, &mut bytes);
            AudioMessage::Binary(Bytes::from(bytes))
        }
    }
}

/// Bytes of 20 ms of G.711.
const MULAW_FRAME: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> CallId {
        CallId::from_sip_call_id("a@h")
    }

    fn form(frames: Frames, codec: AgentCodec, rate: SampleRate) -> RtpForm {
        RtpForm::Multi(AudioForm { frames, codec, rate })
    }

    fn frame<'a>(payload: &'a [u8], pcm: &'a [i16]) -> CallerFrame<'a> {
        let packet = Packet { payload_type: 0, codec: Codec::Pcmu, payload };
        CallerFrame { packet: Some(packet), pcm, rate: SampleRate::Hz8000, pcm_8k: pcm }
    }

    fn sizes(messages: &[AudioMessage]) -> Vec<usize> {
        let prefix = "RTP:a@h##".len();
        let sizes = messages.iter().map(|message| match message {
            AudioMessage::Samples { pcm, .. } => pcm.len(),
            AudioMessage::Mulaw(payload) => payload.len(),
            AudioMessage::Binary(bytes) => bytes.len() - prefix,
            AudioMessage::Text(text) => text.len() - prefix,
        });
        sizes.collect()
    }

    #[test]
    fn packets_of_30_ms_become_messages_of_20_ms() {
        let mut rendition = Rendition::new(form(Frames::Binary, AgentCodec::Pcm, SampleRate::Hz8000));
        let (payload, pcm) = ([0xff; 240], [0; 240]);
        let mut heard = Vec::new();
        for _ in 0..4 {
            rendition.next_frame();
            heard.push(sizes(rendition.messages(&id(), &frame(&payload, &pcm))));
        }
        assert_eq!(heard, [vec![320], vec![320, 320], vec![320], vec![320, 320]]);
    }

    #[test]
    fn bare_samples_come_at_the_rate_of_the_codec_or_at_another() {
        let pcm = [7; 320];
        let wide = CallerFrame { rate: SampleRate::Hz16000, pcm: &pcm, ..frame(&[0; 160], &pcm[..160]) };
        let own = Rendition::new(RtpForm::Samples(None)).messages(&id(), &wide).to_vec();
        let sample =
            AudioMessage::Samples { rate: SampleRate::Hz16000, pcm: Bytes::from([7, 0].repeat(320)) };
        assert_eq!(own, [sample]);
        let narrow = RtpForm::Samples(Some(SampleRate::Hz8000));
        assert_eq!(sizes(Rendition::new(narrow).messages(&id(), &wide)), [320]);
    }

    #[test]
    fn payload_of_the_same_law_passes_untouched() {
        let mut rendition = Rendition::new(form(Frames::Binary, AgentCodec::Pcmu, SampleRate::Hz8000));
        // µ-law has two zeros; decoding and encoding again would turn 7f into ff.
        let payload = [0x7f; 160];
        let messages = rendition.messages(&id(), &frame(&payload, &[0; 160]));
        let AudioMessage::Binary(bytes) = &messages[0] else { panic!("binary was asked for") };
        assert_eq!(&bytes["RTP:a@h##".len()..], payload);
    }

    #[test]
    fn bare_mulaw_is_untouched_in_20_ms_and_encoded_where_the_call_speaks_another_law() {
        let mut rendition = Rendition::new(RtpForm::Mulaw);
        let payload = [0x7f; 240];
        assert_eq!(
            rendition.messages(&id(), &frame(&payload, &[0; 240])),
            [AudioMessage::Mulaw(Bytes::from_static(&[0x7f; 160]))]
        );
        let packet = Packet { payload_type: 8, codec: Codec::Pcma, payload: &[0xd5; 160] };
        let alaw = CallerFrame { packet: Some(packet), ..frame(&[], &[0; 160]) };
        let messages = Rendition::new(RtpForm::Mulaw).messages(&id(), &alaw).to_vec();
        assert_eq!(messages, [AudioMessage::Mulaw(Bytes::from_static(&[0xff; 160]))]);
    }

    #[test]
    fn every_rate_gets_20_ms_per_message() {
        for (rate, bytes) in [
            (SampleRate::Hz8000, 320),
            (SampleRate::Hz16000, 640),
            (SampleRate::Hz24000, 960),
            (SampleRate::Hz48000, 1920),
        ] {
            let mut rendition = Rendition::new(form(Frames::Binary, AgentCodec::Pcm, rate));
            let messages = rendition.messages(&id(), &frame(&[0xff; 160], &[0; 160]));
            assert_eq!(sizes(messages), [bytes]);
        }
    }

    #[test]
    fn concealed_frame_is_heard_in_multi_and_not_in_classic() {
        let concealed = CallerFrame { packet: None, ..frame(&[], &[0; 160]) };
        let mut multi = Rendition::new(form(Frames::Text, AgentCodec::Pcma, SampleRate::Hz8000));
        assert_eq!(multi.messages(&id(), &concealed).len(), 1);
        let mut classic = Rendition::new(RtpForm::Classic);
        assert_eq!(classic.messages(&id(), &concealed), []);
    }
}
