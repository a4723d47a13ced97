//! Silence in the playout queue: what can be left out when audio is late.

use super::{Item, Playout};

impl Playout {
    /// Whether the next frame is whole and silent.
    pub(crate) fn is_silent(&self) -> bool {
        match self.items.front() {
            Some(Item::Pcm(left)) => {
                let mut frame = self.pcm.iter().take(self.frame_samples);
                *left >= self.frame_samples && frame.all(|sample| sample.unsigned_abs() <= QUIET)
            }
            Some(Item::Payload(left)) => {
                let frame = self.payload.iter().take(self.silence.len());
                *left >= self.silence.len() && frame.eq(&self.silence)
            }
            Some(Item::Mark(_)) | None => false,
        }
    }

    /// Drops up to `limit` whole frames of silence from the front; they count as played. Returns how many.
    pub(crate) fn skip_silence(&mut self, limit: u64) -> u64 {
        let mut skipped = 0;
        while skipped < limit && self.is_silent() {
            match self.items.front_mut() {
                Some(Item::Pcm(left)) => {
                    let count = self.frame_samples;
                    self.pcm.drain(..count);
                    self.played_samples += count as u64;
                    *left -= count;
                    if *left == 0 {
                        self.items.pop_front();
                    }
                }
                Some(Item::Payload(left)) => {
                    let count = self.silence.len();
                    self.payload.drain(..count);
                    self.played_bytes += count as u64;
                    *left -= count;
                    if *left == 0 {
                        self.items.pop_front();
                    }
                }
                _ => break,
            }
            skipped += 1;
        }
        skipped
    }
}

/// Loudest sample of what passes for silence when catching up: -60 dB of full scale.
const QUIET: u16 = 32;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn silence_is_skipped_up_to_the_limit_and_counts_as_played() {
        let mut queue = Playout::new(8000, vec![0xff; 160]);
        queue.push_pcm(&[3; 480]);
        queue.push_payload(&[0xff; 160]);
        queue.push_pcm(&[1000; 160]);
        assert_eq!(queue.skip_silence(2), 2);
        assert_eq!(queue.skip_silence(9), 2);
        assert_eq!(queue.skip_silence(9), 0);
        assert_eq!(queue.played(), Duration::from_millis(80));
        assert_eq!(queue.queued(), Duration::from_millis(20));
    }
}
