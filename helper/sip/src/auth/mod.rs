//! Digest authentication, both sides (RFC 3261 §22, RFC 7616, RFC 8760).
//!
//! Client: the challenges of a 401 or 407 and the credentials go in, the Authorization headers of the next attempt come out,
//! or the verdict that another attempt is useless. Server: Authorization headers go in, admission or the challenges of a 401
//! come out. Knows nothing of messages or transactions.

mod challenge;
mod digest;
mod nonce;
mod server;
mod session;

pub use challenge::{Algorithm, Challenge, Qop};
pub use digest::{DigestInput, authorization};
pub use server::AuthServer;
pub(crate) use server::{Authenticator, Petition, Refusal};
pub use session::{AuthSession, ChallengedBy, GiveUp};
