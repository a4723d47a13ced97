//! G.711 µ-law and A-law (ITU-T G.711; RTP payload types 0 and 8, RFC 3551 §4.5.14).
//!
//! In: 16-bit linear PCM at 8 kHz, or one byte per sample. Out: the other. Bit-exact to the ITU-T G.191 software tool
//! library, which takes the one's complement of negative samples: many known implementations round differently.
//! Encoding needs only the 14 (µ-law) or 12 (A-law) leading bits of a sample, so the tables stay within the L1 cache.

/// Digital silence in µ-law: the code of a zero sample.
pub const ULAW_SILENCE: u8 = 0xFF;
/// Digital silence in A-law: the code of a zero sample.
pub const ALAW_SILENCE: u8 = 0xD5;

/// Appends the µ-law code of each sample of `pcm` (8 kHz) to `out`; 160 samples = 160 bytes = 20 ms.
pub fn encode_ulaw(pcm: &[i16], out: &mut Vec<u8>) {
    out.extend(pcm.iter().map(|&sample| ulaw_code(sample)));
}

/// Appends the A-law code of each sample of `pcm` (8 kHz) to `out`; 160 samples = 160 bytes = 20 ms.
pub fn encode_alaw(pcm: &[i16], out: &mut Vec<u8>) {
    out.extend(pcm.iter().map(|&sample| alaw_code(sample)));
}

/// Appends the linear sample of each µ-law code of `payload` to `out`.
pub fn decode_ulaw(payload: &[u8], out: &mut Vec<i16>) {
    out.extend(payload.iter().map(|&code| ulaw_sample(code)));
}

/// Appends the linear sample of each A-law code of `payload` to `out`.
pub fn decode_alaw(payload: &[u8], out: &mut Vec<i16>) {
    out.extend(payload.iter().map(|&code| alaw_sample(code)));
}

/// The µ-law code of one linear sample.
#[inline]
pub fn ulaw_code(sample: i16) -> u8 {
    ULAW_ENCODE[usize::from(sample as u16 >> 2)]
}

/// The A-law code of one linear sample.
#[inline]
pub fn alaw_code(sample: i16) -> u8 {
    ALAW_ENCODE[usize::from(sample as u16 >> 4)]
}

/// The linear sample of one µ-law code, within ±32124.
#[inline]
pub fn ulaw_sample(code: u8) -> i16 {
    ULAW_DECODE[usize::from(code)]
}

/// The linear sample of one A-law code, within ±32256.
#[inline]
pub fn alaw_sample(code: u8) -> i16 {
    ALAW_DECODE[usize::from(code)]
}

static ULAW_ENCODE: [u8; 16_384] = ulaw_encode_table();
static ALAW_ENCODE: [u8; 4_096] = alaw_encode_table();
static ULAW_DECODE: [i16; 256] = ulaw_decode_table();
static ALAW_DECODE: [i16; 256] = alaw_decode_table();

/// Added to the 14-bit magnitude, so that each segment of the µ-law curve starts at a power of two.
const ULAW_BIAS: u16 = 33;

/// Indexed by the 14 leading bits of the sample in two's complement.
const fn ulaw_encode_table() -> [u8; 16_384] {
    let mut table = [0; 16_384];
    let mut index = 0;
    while index < table.len() {
        let positive = index < 8_192;
        let magnitude = (if positive { index } else { 16_383 - index }) as u16 + ULAW_BIAS;
        let magnitude = if magnitude > 0x1FFF { 0x1FFF } else { magnitude };
        // The bias keeps bit 5 or a higher one set: segment 0 has its leading bit there.
        let segment = 15 - magnitude.leading_zeros() - 5;
        let step = (magnitude >> (segment + 1)) & 0xF;
        let code = !((segment as u8) << 4 | step as u8);
        table[index] = if positive { code } else { code & 0x7F };
        index += 1;
    }
    table
}

/// Indexed by the 12 leading bits of the sample in two's complement.
const fn alaw_encode_table() -> [u8; 4_096] {
    let mut table = [0; 4_096];
    let mut index = 0;
    while index < table.len() {
        let positive = index < 2_048;
        let magnitude = (if positive { index } else { 4_095 - index }) as u16;
        let code = if magnitude < 32 {
            // Segments 0 and 1 share one step size.
            magnitude
        } else {
            let shift = 15 - magnitude.leading_zeros() - 4;
            ((shift as u16 + 1) << 4) | ((magnitude >> shift) & 0xF)
        };
        // Even bits are inverted on the line.
        table[index] = (code as u8 | if positive { 0x80 } else { 0 }) ^ 0x55;
        index += 1;
    }
    table
}

const fn ulaw_decode_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let bits = !(code as u8);
        let (segment, step) = ((bits >> 4) & 7, (bits & 0xF) as i16);
        // The middle of the interval, in 14 bits, scaled to 16.
        let magnitude = ((((step << 1) + ULAW_BIAS as i16) << segment) - ULAW_BIAS as i16) << 2;
        table[code] = if bits & 0x80 != 0 { -magnitude } else { magnitude };
        code += 1;
    }
    table
}

const fn alaw_decode_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let bits = code as u8 ^ 0x55;
        let (segment, step) = ((bits >> 4) & 7, (bits & 0xF) as i16);
        let magnitude = if segment == 0 { (step << 4) + 8 } else { ((step << 4) + 0x108) << (segment - 1) };
        table[code] = if bits & 0x80 != 0 { magnitude } else { -magnitude };
        code += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use audio_codec_algorithms as oracle;

    use super::*;

    #[test]
    fn ulaw_codes_of_the_acceptance_list() {
        assert_eq!([0, 1000, 32767, -32768].map(ulaw_code), [0xFF, 0xCE, 0x80, 0x00]);
        assert_eq!([0xFF, 0x80, 0x00].map(ulaw_sample), [0, 32124, -32124]);
    }

    #[test]
    fn alaw_codes_of_the_acceptance_list() {
        assert_eq!([0, 1000, 4096, 32767].map(alaw_code), [0xD5, 0xFA, 0x85, 0xAA]);
        assert_eq!([0xD5, 0xAA, 0x2A].map(alaw_sample), [8, 32256, -32256]);
    }

    #[test]
    fn every_sample_encodes_as_the_reference_does() {
        for sample in i16::MIN..=i16::MAX {
            assert_eq!(ulaw_code(sample), oracle::encode_ulaw(sample), "µ-law of {sample}");
            assert_eq!(alaw_code(sample), oracle::encode_alaw(sample), "A-law of {sample}");
        }
    }

    #[test]
    fn every_code_decodes_as_the_reference_does() {
        for code in 0..=u8::MAX {
            assert_eq!(ulaw_sample(code), oracle::decode_ulaw(code), "µ-law of {code:#04x}");
            assert_eq!(alaw_sample(code), oracle::decode_alaw(code), "A-law of {code:#04x}");
        }
    }

    #[test]
    fn every_code_survives_decoding_and_encoding() {
        for code in 0..=u8::MAX {
            assert_eq!(alaw_code(alaw_sample(code)), code);
            // µ-law has two zeros; the negative one comes back as the positive one.
            let expected = if code == 0x7F { 0xFF } else { code };
            assert_eq!(ulaw_code(ulaw_sample(code)), expected);
        }
    }

    #[test]
    fn slices_are_appended_sample_by_sample() {
        let pcm = [0, 1000, -1000, 32767];
        let (mut ulaw, mut alaw) = (vec![1], vec![2]);
        encode_ulaw(&pcm, &mut ulaw);
        encode_alaw(&pcm, &mut alaw);
        assert_eq!(ulaw, [1, ULAW_SILENCE, 0xCE, 0x4E, 0x80]);
        assert_eq!(alaw, [2, ALAW_SILENCE, 0xFA, 0x7A, 0xAA]);
        let (mut from_ulaw, mut from_alaw) = (vec![7], vec![7]);
        decode_ulaw(&ulaw[1..], &mut from_ulaw);
        decode_alaw(&alaw[1..], &mut from_alaw);
        assert_eq!(from_ulaw, [7, 0, 988, -988, 32124]);
        assert_eq!(from_alaw, [7, 8, 1008, -1008, 32256]);
    }
}
