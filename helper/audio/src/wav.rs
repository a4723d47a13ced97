//! The RIFF/WAVE header of a recording: how to recognise it, write it and repair it.
//!
//! In: the first bytes of a file and its length. Out: header bytes. It reads and writes no file; samples are decoded in
//! [`mod@crate::file`]. A writer that was killed leaves a header whose sizes lag behind the samples on disk: the sizes
//! follow from the length of the file, so nothing of the recording need be lost.

/// Length in bytes of [`header`], which is also where its samples start.
pub const HEADER_LEN: usize = 44;

/// Bytes that are enough for [`repair_header`] on a recording: chunks that a tool may have put before the samples included.
pub const REPAIR_PREFIX_LEN: usize = 4_096;

/// Whether `data` starts as a RIFF/WAVE file does. Twelve bytes decide.
pub fn is_riff(data: &[u8]) -> bool {
    data.len() >= RIFF_LEN && data.starts_with(b"RIFF") && &data[8..RIFF_LEN] == b"WAVE"
}

/// The header of a file of 16-bit PCM: RIFF, a 16-byte `fmt ` chunk, the head of the `data` chunk.
///
/// `channels`: 1 or 2 (frames interleaved, caller left). `sample_rate`: Hz. `data_len`: bytes of samples; what exceeds
/// the 4 GiB that the format can express is clamped.
pub fn header(channels: u16, sample_rate: u32, data_len: u64) -> [u8; HEADER_LEN] {
    let block_align = channels.saturating_mul(2);
    let data_len = expressible(data_len, block_align, HEADER_LEN as u64);
    let mut bytes = [0; HEADER_LEN];
    bytes[..4].copy_from_slice(b"RIFF");
    bytes[4..8].copy_from_slice(&(data_len + HEADER_LEN as u32 - CHUNK_HEAD).to_le_bytes());
    bytes[8..16].copy_from_slice(b"WAVEfmt ");
    bytes[16..20].copy_from_slice(&16_u32.to_le_bytes());
    bytes[20..22].copy_from_slice(&1_u16.to_le_bytes());
    bytes[22..24].copy_from_slice(&channels.to_le_bytes());
    bytes[24..28].copy_from_slice(&sample_rate.to_le_bytes());
    bytes[28..32].copy_from_slice(&sample_rate.saturating_mul(block_align.into()).to_le_bytes());
    bytes[32..34].copy_from_slice(&block_align.to_le_bytes());
    bytes[34..36].copy_from_slice(&16_u16.to_le_bytes());
    bytes[36..40].copy_from_slice(b"data");
    bytes[40..].copy_from_slice(&data_len.to_le_bytes());
    bytes
}

/// The header with its sizes put right, or `None` where they are right or where this is no such header.
///
/// `file_len`: bytes of the whole file. `header`: its first bytes, [`REPAIR_PREFIX_LEN`] of them or the whole file; the
/// answer has the same length and replaces them. Wrong are: a `data` size of zero with samples after it, one that reaches
/// past the end (a stream of unknown length), one that ends the RIFF chunk although more samples follow. A half frame at
/// the end is left out of the `data` chunk. Chunks after the samples are respected if the sizes account for them.
pub fn repair_header(file_len: u64, header: &[u8]) -> Option<Vec<u8>> {
    repair(file_len, header, true)
}

/// As [`repair_header`], for a file of unknown origin: what follows a `data` chunk of plausible size is no audio.
pub(crate) fn repair_foreign_header(file_len: u64, header: &[u8]) -> Option<Vec<u8>> {
    repair(file_len, header, false)
}

/// `more_may_follow`: whether bytes after the end of the RIFF chunk are taken for samples.
fn repair(file_len: u64, header: &[u8], more_may_follow: bool) -> Option<Vec<u8>> {
    let layout = Layout::of(header)?;
    let available = file_len.checked_sub(layout.data_start)?;
    let claimed_end = layout.data_start + u64::from(layout.data_len);
    let said_end = u64::from(layout.riff_len) + u64::from(CHUNK_HEAD);
    // A RIFF chunk that ends past the file or within the samples says nothing about what follows them.
    let plausible = (claimed_end..=file_len).contains(&said_end);
    let riff_end = if plausible { said_end } else { claimed_end };
    let more_follows = riff_end <= claimed_end && claimed_end + u64::from(layout.block_align) <= file_len;
    let stale = (layout.data_len == 0 && available > 0 && riff_end < file_len)
        || claimed_end > file_len
        || (more_follows && more_may_follow);
    let (data_len, riff_end) = if stale {
        let data_len = expressible(available, layout.block_align, layout.data_start);
        (data_len, layout.data_start + u64::from(data_len))
    } else {
        (layout.data_len, riff_end)
    };
    let riff_len = u32::try_from(riff_end - u64::from(CHUNK_HEAD)).unwrap_or(u32::MAX);
    let mut repaired = header.to_vec();
    repaired[4..8].copy_from_slice(&riff_len.to_le_bytes());
    let size_field = layout.data_start as usize - 4;
    repaired[size_field..size_field + 4].copy_from_slice(&data_len.to_le_bytes());
    (repaired != header).then_some(repaired)
}

/// Where the samples are and what the header says of them.
struct Layout {
    riff_len: u32,
    /// Bytes of one frame: a sample of each channel.
    block_align: u16,
    data_start: u64,
    data_len: u32,
}

impl Layout {
    /// Walks the chunks up to `data`; `None` if it is not within `header` or no `fmt ` chunk comes before it.
    fn of(header: &[u8]) -> Option<Self> {
        if !is_riff(header) {
            return None;
        }
        let mut block_align = None;
        let mut at = RIFF_LEN;
        loop {
            let (name, len) = (header.get(at..at + 4)?, u32_at(header, at + 4)?);
            let body = at + CHUNK_HEAD as usize;
            match name {
                b"data" => {
                    return Some(Self {
                        riff_len: u32_at(header, 4)?,
                        block_align: block_align?,
                        data_start: body as u64,
                        data_len: len,
                    });
                }
                b"fmt " => {
                    let field = header.get(body + 12..body + 14)?;
                    block_align = Some(u16::from_le_bytes([field[0], field[1]]).max(1));
                }
                _ => {}
            }
            // Chunks are padded to an even length.
            at = body.checked_add(usize::try_from(len).ok()?)?.checked_add(len as usize & 1)?;
        }
    }
}

/// The largest whole number of frames within `len` bytes that the 32-bit sizes can express.
fn expressible(len: u64, block_align: u16, data_start: u64) -> u32 {
    let len = len.min(u64::from(u32::MAX).saturating_sub(data_start));
    (len - len % u64::from(block_align.max(1))) as u32
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes([field[0], field[1], field[2], field[3]]))
}

/// `RIFF`, a size, `WAVE`.
const RIFF_LEN: usize = 12;
/// The name and the size of a chunk.
const CHUNK_HEAD: u32 = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn header_of_one_second_mono_has_the_known_bytes() {
        let expected = b"RIFF\xa4\x3e\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\x80\x3e\0\0";
        assert_eq!(&header(1, 8_000, 16_000), expected);
    }

    #[test]
    fn stereo_header_counts_four_bytes_a_frame() {
        let bytes = header(2, 8_000, 32_003);
        assert_eq!(bytes[28..34], [0x00, 0x7d, 0, 0, 4, 0]);
        assert_eq!(u32_at(&bytes, 40), Some(32_000));
    }

    #[test]
    fn lengths_beyond_the_format_are_clamped_to_whole_frames() {
        let bytes = header(2, 8_000, u64::MAX);
        assert_eq!(u32_at(&bytes, 40), Some(u32::MAX - 44 - (u32::MAX - 44) % 4));
    }

    #[test]
    fn only_riff_wave_is_recognised() {
        assert!(is_riff(&header(1, 8_000, 0)));
        assert!(!is_riff(b"RIFF\0\0\0\0WAV"));
        assert!(!is_riff(b"RIFF\0\0\0\0AVI LIST"));
        assert!(!is_riff(b"OggS"));
    }

    #[test]
    fn header_never_flushed_gets_the_length_of_the_file() {
        assert_eq!(repair_header(44 + 8_191, &unflushed()), Some(header(1, 8_000, 8_190).to_vec()));
    }

    #[test]
    fn samples_after_the_last_flush_are_taken_in() {
        assert_eq!(
            repair_header(44 + 17_000, &header(1, 8_000, 16_000)),
            Some(header(1, 8_000, 17_000).to_vec())
        );
    }

    #[test]
    fn truncated_and_streamed_files_get_their_real_length() {
        assert_eq!(repair_header(44 + 800, &header(1, 8_000, 16_000)), Some(header(1, 8_000, 800).to_vec()));
        let mut streamed = header(1, 24_000, 0);
        streamed[4..8].fill(0xFF);
        streamed[40..].fill(0xFF);
        assert_eq!(repair_header(44 + 960, &streamed), Some(header(1, 24_000, 960).to_vec()));
    }

    #[test]
    fn right_sizes_are_left_alone() {
        assert_eq!(repair_header(44 + 16_000, &header(1, 8_000, 16_000)), None);
        assert_eq!(repair_header(44, &header(1, 8_000, 0)), None);
        // A half frame that reached the disk is no sample.
        assert_eq!(repair_header(44 + 16_001, &header(1, 8_000, 16_000)), None);
    }

    #[test]
    fn what_follows_a_foreign_file_is_no_audio() {
        assert_eq!(repair_foreign_header(44 + 17_000, &header(1, 8_000, 16_000)), None);
        assert_eq!(
            repair_foreign_header(44 + 800, &header(1, 8_000, 16_000)),
            Some(header(1, 8_000, 800).to_vec())
        );
        assert_eq!(repair_foreign_header(44 + 800, &unflushed()), Some(header(1, 8_000, 800).to_vec()));
    }

    #[test]
    fn chunks_around_the_samples_are_respected() {
        let plain = header(1, 8_000, 4);
        let mut file = plain[..36].to_vec();
        file.extend(b"LIST\x03\0\0\0abc\0");
        file.extend(b"data\x04\0\0\0\x01\x02\x03\x04");
        let data_end = file.len() as u64;
        file.extend(b"LIST\x02\0\0\0ab");
        let riff_len = file.len() as u32 - 8;
        file[4..8].copy_from_slice(&riff_len.to_le_bytes());
        assert_eq!(repair_header(file.len() as u64, &file), None);

        file.truncate(data_end as usize);
        file[52..56].fill(0);
        file[4..8].fill(0);
        let repaired = repair_header(data_end, &file).unwrap();
        assert_eq!((u32_at(&repaired, 4), u32_at(&repaired, 52)), (Some(data_end as u32 - 8), Some(4)));
    }

    #[test]
    fn what_is_no_wave_header_is_not_repaired() {
        assert_eq!(repair_header(100, b"RIFF"), None);
        assert_eq!(repair_header(20, &header(1, 8_000, 16_000)), None);
        assert_eq!(repair_header(1_000, &header(1, 8_000, 0)[..40]), None);
        assert_eq!(repair_header(1_000, b"RIFF\0\0\0\0WAVEdata\0\0\0\0"), None);
    }

    #[test]
    fn both_sizes_wrong_are_put_right_at_once() {
        let mut bytes = header(1, 8_000, 16_000);
        bytes[4..8].copy_from_slice(&90_000_u32.to_le_bytes());
        assert_eq!(repair_header(44 + 17_000, &bytes), Some(header(1, 8_000, 17_000).to_vec()));
        assert_eq!(repair_foreign_header(44 + 17_000, &bytes), Some(header(1, 8_000, 16_000).to_vec()));
    }

    proptest! {
        #[test]
        fn repair_keeps_the_length_and_is_done_after_one_pass(
            file_len in 0_u64..20_000_000_000,
            channels in 1_u16..=2,
            data_len in 0_u64..5_000_000_000,
            garbage in proptest::collection::vec((0_usize..44, any::<u8>()), 0..4),
        ) {
            let mut bytes = header(channels, 8_000, data_len);
            for (at, byte) in garbage {
                bytes[at] = byte;
            }
            if let Some(repaired) = repair_header(file_len, &bytes) {
                prop_assert_eq!(repaired.len(), bytes.len());
                prop_assert_eq!(repair_header(file_len, &repaired), None);
            }
        }
    }

    fn unflushed() -> [u8; HEADER_LEN] {
        let mut bytes = header(1, 8_000, 0);
        bytes[4..8].fill(0);
        bytes
    }
}
