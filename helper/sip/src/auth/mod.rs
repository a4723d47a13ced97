//! Digest authentication of a user agent client (RFC 3261 §22, RFC 7616, RFC 8760).
//!
//! In: the challenges of a 401 or 407, the credentials. Out: the Authorization headers of the next attempt, or the
//! verdict that another attempt is useless. Knows nothing of messages or transactions.

mod challenge;
mod digest;
mod session;

pub use challenge::{Algorithm, Challenge, Qop};
pub use digest::{DigestInput, authorization};
pub use session::{AuthSession, ChallengedBy, GiveUp};
