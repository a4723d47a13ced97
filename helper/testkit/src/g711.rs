//! G.711 from its definition: segment and step, no tables. Slow, plain, and apart from the codec under test.

/// Decodes µ-law (ITU-T G.711; RTP payload type 0) to 16-bit samples.
pub fn decode_ulaw(payload: &[u8]) -> Vec<i16> {
    payload.iter().map(|&b| ulaw_to_linear(b)).collect()
}

/// Encodes 16-bit samples to µ-law.
pub fn encode_ulaw(pcm: &[i16]) -> Vec<u8> {
    pcm.iter().map(|&s| linear_to_ulaw(s)).collect()
}

/// Decodes A-law (ITU-T G.711; RTP payload type 8) to 16-bit samples.
pub fn decode_alaw(payload: &[u8]) -> Vec<i16> {
    payload.iter().map(|&b| alaw_to_linear(b)).collect()
}

/// Encodes 16-bit samples to A-law.
pub fn encode_alaw(pcm: &[i16]) -> Vec<u8> {
    pcm.iter().map(|&s| linear_to_alaw(s)).collect()
}

/// Decodes by RTP payload type.
///
/// # Panics
/// For anything but 0 and 8.
pub fn decode(payload_type: u8, payload: &[u8]) -> Vec<i16> {
    match payload_type {
        0 => decode_ulaw(payload),
        8 => decode_alaw(payload),
        other => panic!("payload type {other} is not G.711"),
    }
}

/// Encodes by RTP payload type.
///
/// # Panics
/// For anything but 0 and 8.
pub fn encode(payload_type: u8, pcm: &[i16]) -> Vec<u8> {
    match payload_type {
        0 => encode_ulaw(pcm),
        8 => encode_alaw(pcm),
        other => panic!("payload type {other} is not G.711"),
    }
}

fn ulaw_to_linear(byte: u8) -> i16 {
    let code = !byte;
    let (segment, step) = (i32::from(code >> 4 & 7), i32::from(code & 15));
    // 14-bit magnitude with the bias of 33, then scaled to 16 bits.
    let magnitude = (((2 * step + 33) << segment) - 33) * 4;
    (if code & 0x80 != 0 { -magnitude } else { magnitude }) as i16
}

fn linear_to_ulaw(sample: i16) -> u8 {
    let sample = i32::from(sample) >> 2;
    let (sign, magnitude) = if sample < 0 { (0x80, -sample) } else { (0, sample) };
    let biased = (magnitude.min(8158)) + 33;
    let segment = (31 - biased.leading_zeros()).saturating_sub(5).min(7);
    let step = (biased >> (segment + 1)) & 15;
    !(sign | (segment as u8) << 4 | step as u8)
}

fn alaw_to_linear(byte: u8) -> i16 {
    let code = byte ^ 0x55;
    let (segment, step) = (i32::from(code >> 4 & 7), i32::from(code & 15));
    let magnitude = if segment == 0 { step * 16 + 8 } else { (step * 16 + 0x108) << (segment - 1) };
    (if code & 0x80 != 0 { magnitude } else { -magnitude }) as i16
}

fn linear_to_alaw(sample: i16) -> u8 {
    let sample = i32::from(sample) >> 3;
    let (sign, magnitude) = if sample < 0 { (0, -sample - 1) } else { (0x80, sample) };
    let segment = if magnitude < 32 { 0 } else { 31 - magnitude.leading_zeros() - 4 };
    let step = if segment == 0 { magnitude >> 1 } else { magnitude >> segment } & 15;
    (sign | (segment as u8) << 4 | step as u8) ^ 0x55
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_come_out() {
        assert_eq!(decode_ulaw(&[0xff, 0x80, 0x00, 0x7f]), [0, 32124, -32124, 0]);
        assert_eq!(encode_ulaw(&[0, 32767, -32768]), [0xff, 0x80, 0x00]);
        assert_eq!(encode_alaw(&[0, 1000, 4096, 32767]), [0xd5, 0xfa, 0x85, 0xaa]);
        assert_eq!(decode_alaw(&[0xd5, 0xaa, 0x2a]), [8, 32256, -32256]);
    }

    #[test]
    fn every_code_decodes_and_encodes_to_itself() {
        let codes: Vec<u8> = (0..=255).collect();
        assert_eq!(encode_alaw(&decode_alaw(&codes)), codes);
        // µ-law has two zeros; the negative one comes back as the positive.
        let expected: Vec<u8> = codes.iter().map(|&c| if c == 0x7f { 0xff } else { c }).collect();
        assert_eq!(encode_ulaw(&decode_ulaw(&codes)), expected);
    }

    #[test]
    fn encoding_picks_a_value_within_half_a_step() {
        for sample in (i16::MIN..=i16::MAX).step_by(7) {
            for payload_type in [0, 8] {
                let decoded = decode(payload_type, &encode(payload_type, &[sample]))[0];
                let (error, size) = (i32::from(decoded) - i32::from(sample), i32::from(sample).abs());
                let allowed = if size > 32_124 { 700 } else { size / 16 + 16 };
                assert!(error.abs() <= allowed, "pt {payload_type}: {sample} became {decoded}");
            }
        }
    }
}
