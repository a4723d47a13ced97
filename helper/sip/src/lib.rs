//! (see Cargo.toml)

pub mod sdp;
