//! Conversations in virtual time: the agent between a relay that plays frames, and a service that a test speaks for.

mod faults;
mod interruptions;
mod talk;
mod world;
