//! Linear PCM as media streams carry it: signed 16-bit, mono, little-endian.
//!
//! In: samples, or bytes. Out: the other, exactly. The rate is the codec's affair.

use model::audio::{le_bytes, samples};

/// Appends two bytes a sample to `out`.
pub fn encode(pcm: &[i16], out: &mut Vec<u8>) {
    out.reserve(2 * pcm.len());
    out.extend(le_bytes(pcm));
}

/// Appends the samples of `bytes` to `out`. Half a sample at the end is left out.
pub fn decode(bytes: &[u8], out: &mut Vec<i16>) {
    out.extend(samples(bytes));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_come_back_as_they_were_and_half_a_sample_is_left_out() {
        let pcm = [0, 1, -1, i16::MAX, i16::MIN, 0x1234];
        let (mut bytes, mut back) = (Vec::new(), Vec::new());
        encode(&pcm, &mut bytes);
        assert_eq!(bytes[10..], [0x34, 0x12]);
        bytes.push(7);
        decode(&bytes, &mut back);
        assert_eq!(back, pcm);
    }
}
