//! The pacer: what goes out in each frame of the session's clock.

use std::time::Instant;

use rtp_types::RtpPacketBuilder;

use super::Session;
use crate::dialler::DtmfFrame;
use crate::playout::Taken;
use crate::{Channel, Event, FRAME, Output, PacketBuf};

impl Session {
    /// Sends the frames that are due, and catches up when a tick came late: at most `max_burst` frames at once. What
    /// was due before them is skipped in time, not in content: timestamps go on where the clock is, sequence numbers
    /// without a gap, and no audio is dropped but silence.
    pub(super) fn send_due(&mut self, now: Instant) {
        let Some(mut due) = self.next_frame.filter(|due| *due <= now) else { return };
        let lateness = now - due;
        self.stats.worst_tick = self.stats.worst_tick.max(lateness);
        let frames = (lateness.as_nanos() / FRAME.as_nanos()) as u64 + 1;
        let late = frames > 1;
        self.stats.late_ticks += u64::from(late);
        let skipped = frames.saturating_sub(u64::from(self.config.max_burst));
        if skipped > 0 {
            self.stats.skipped_frames += skipped;
            self.backlog.stalled(skipped);
            self.position += u64::from(self.frame_units()) * skipped;
            self.timestamp = self.timestamp.wrapping_add(self.frame_units().wrapping_mul(skipped as u32));
            self.in_talk_spurt = false;
            self.ahead = self.ahead.saturating_sub(u32::try_from(skipped).unwrap_or(u32::MAX));
            due += std::time::Duration::from_nanos(FRAME.as_nanos() as u64 * skipped);
        }
        for _ in skipped..frames {
            self.send_frame(due, late);
            due += FRAME;
        }
        self.next_frame = Some(due);
    }

    /// Sends the frame that is due at `due`.
    fn send_frame(&mut self, due: Instant, late: bool) {
        self.report_reached();
        self.check_drained(due);
        let timestamp = self.timestamp;
        self.timestamp = timestamp.wrapping_add(self.frame_units());
        let sent_before = self.ahead > 0;
        self.ahead = self.ahead.saturating_sub(1);
        if !self.sending || self.receiver.rtp_destination().is_none() {
            self.in_talk_spurt = false;
        } else {
            match self.dialler.next(timestamp) {
                DtmfFrame::Event { payload, timestamp, marker } => {
                    self.in_talk_spurt = false;
                    self.stats.dtmf_sent += 1;
                    let payload_type = self.config.telephone_event.unwrap_or(self.config.payload_type);
                    self.transmit(payload_type, marker, timestamp, &payload);
                }
                DtmfFrame::Gap => self.send_silence(timestamp),
                DtmfFrame::Idle if sent_before => self.send_ahead(due, timestamp),
                DtmfFrame::Idle => {
                    if self.send_audio(due, timestamp, late) {
                        self.send_ahead(due, timestamp);
                    }
                }
            }
        }
        self.position += u64::from(self.frame_units());
        if self.is_quiet(due) {
            let ended = self.playback.idle(self.played());
            self.report_playback_end(ended);
        }
    }

    /// Sends whole frames that are not due yet, as many as the peer is to have.
    fn send_ahead(&mut self, due: Instant, timestamp: u32) {
        while self.ahead < self.lead && self.playout.waiting_frames() > 0 {
            self.ahead += 1;
            let units = self.frame_units().wrapping_mul(self.ahead);
            self.position += u64::from(units);
            self.send_audio(due + FRAME * self.ahead, timestamp.wrapping_add(units), false);
            self.position -= u64::from(units);
        }
    }

    /// Sends a frame of agent audio; of silence, and returns false, when there is none.
    fn send_audio(&mut self, due: Instant, timestamp: u32, late: bool) -> bool {
        if self.playout.has_audio() {
            let limit = self.backlog.audio(self.playout.waiting_frames(), || self.playout.is_silent());
            let caught_up = self.playout.skip_silence(limit);
            self.backlog.caught_up(caught_up);
            self.stats.caught_up_frames += caught_up;
            if caught_up > 0 {
                self.report_reached();
            }
        }
        let played_before = self.playout.played().saturating_sub(self.unheard);
        let (mut pcm, mut payload) = (std::mem::take(&mut self.pcm), std::mem::take(&mut self.payload));
        let taken = self.playout.take(&mut pcm, &mut payload);
        if taken == Taken::Pcm {
            self.encoder.encode(&pcm, &mut payload);
        }
        if taken == Taken::Nothing {
            self.backlog.empty(late);
            (self.pcm, self.payload) = (pcm, payload);
            self.send_silence(timestamp);
            return false;
        }
        if self.playback.audio(played_before) {
            self.emit(Event::PlaybackStarted);
        }
        self.busy_until = Some(due + FRAME);
        self.stats.audio_sent += 1;
        let marker = !std::mem::replace(&mut self.in_talk_spurt, true);
        self.transmit(self.config.payload_type, marker, timestamp, &payload);
        self.report_sent(&payload);
        (self.pcm, self.payload) = (pcm, payload);
        self.check_low_water();
        true
    }

    fn send_silence(&mut self, timestamp: u32) {
        self.in_talk_spurt = false;
        if !self.config.silence_fill {
            return;
        }
        let (mut pcm, mut payload) = (std::mem::take(&mut self.pcm), std::mem::take(&mut self.payload));
        pcm.clear();
        pcm.resize(self.playout.frame_samples(), 0);
        payload.clear();
        self.encoder.encode(&pcm, &mut payload);
        self.stats.silence_sent += 1;
        self.transmit(self.config.payload_type, false, timestamp, &payload);
        self.report_sent(&payload);
        (self.pcm, self.payload) = (pcm, payload);
    }

    /// For who wants to know what the peer hears.
    fn report_sent(&mut self, payload: &[u8]) {
        if self.reports_sent {
            let (payload_type, payload) = (self.config.payload_type, PacketBuf::from_slice(payload));
            self.emit(Event::Sent { payload_type, payload, position: self.position });
        }
    }

    fn transmit(&mut self, payload_type: u8, marker: bool, timestamp: u32, payload: &[u8]) {
        let Some(destination) = self.receiver.rtp_destination() else { return };
        let mut packet = PacketBuf::new();
        packet.resize(HEADER + payload.len(), 0);
        let written = RtpPacketBuilder::<&[u8], &[u8]>::new()
            .payload_type(payload_type)
            .marker_bit(marker)
            .sequence_number(self.seq)
            .timestamp(timestamp)
            .ssrc(self.config.ssrc)
            .payload(payload)
            .write_into(&mut packet);
        if written.is_err() {
            return; // a payload type above 127: nothing that could be sent
        }
        self.seq = self.seq.wrapping_add(1);
        self.stats.packets_sent += 1;
        self.stats.bytes_sent += payload.len() as u64;
        self.outputs.push_back(Output::Transmit { channel: Channel::Rtp, destination, packet });
    }

    fn frame_units(&self) -> u32 {
        self.config.clock_rate / 50
    }
}

const HEADER: usize = rtp_types::RtpPacket::MIN_RTP_PACKET_LEN;
