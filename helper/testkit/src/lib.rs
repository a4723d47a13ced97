//! Test peers: what the cores are tested against.
//!
//! Everything here is written from the RFCs a second time, simply and apart from the cores, so that a fault of a core and a
//! fault of its test do not cancel out. Bytes in, bytes out, time as an argument: no sockets, no files, no waiting, except in
//! [`openai`], which stands in for a server. Knows
//! nothing of the crates it tests. Being test code, it panics with a message where a script asks for what cannot be.
//!
//! - [`clock`]: virtual time
//! - [`link`](mod@link): a datagram path with loss, delay, jitter, reordering and duplicates
//! - [`signal`]: chords, cadences, keys, noise
//! - [`tone`]: sines, the frequency and level of a signal
//! - [`g711`]: µ-law and A-law, for tests that look at samples
//! - [`rtp`]: RTP packets and telephone events
//! - [`message`]: SIP messages as text: read one, draft one
//! - [`sdp`]: session descriptions of one audio stream
//! - [`phone`]: a scripted SIP peer made of those
//! - [`voice`]: what sounds like speech
//! - [`openai`]: a server that speaks like the OpenAI API
//! - [`rng`]: the seeded random numbers behind all of it

pub mod clock;
pub mod g711;
pub mod link;
pub mod message;
pub mod openai;
pub mod phone;
pub mod rng;
pub mod rtp;
pub mod sdp;
pub mod signal;
pub mod tone;
pub mod voice;
