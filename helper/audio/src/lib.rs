//! `audio` turns telephone payloads and audio files into 16-bit PCM samples, and back.
//!
//! In: payload bytes, samples, the bytes of a file. Out: samples, payload bytes, header bytes. It knows nothing of
//! packets, sessions, sockets, files on disk or the time: state is only what a codec carries from frame to frame.
//!
//! | module | owns |
//! |---|---|
//! | [`g711`] | µ-law and A-law, constant tables |
//! | [`g722`] | wideband sub-band ADPCM at 64 kbit/s |
//! | [`l16`] | linear PCM of media streams |
//! | [`codec`] | one encoder and one decoder type over the four |
//! | [`dtmf`] | keys heard in the audio, and their tones |
//! | [`resample`] | streaming change of the sample rate |
//! | [`plc`] | packet-loss concealment |
//! | [`mod@file`] | reading audio files of any common format |
//! | [`speech`] | whether somebody talks, and whether he interrupts |
//! | [`wav`] | the RIFF header that a recorder writes and repairs |

pub mod codec;
pub mod dtmf;
pub mod file;
pub mod g711;
pub mod g722;
pub mod l16;
pub mod plc;
pub mod resample;
pub mod speech;
pub mod wav;
