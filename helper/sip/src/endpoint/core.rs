//! `Core` is what transactions and calls share: settings, timers, the outbox, randomness and counters.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

use super::config::{EndpointConfig, Stats};
use super::random::Random;
use crate::auth::Authenticator;
use crate::tx::{ClientKey, ServerKey, Timer, TimerKey, TimerQueue};
use crate::ua::{CallKey, CallTimer, Event, Output, RegistrationKey};

/// What an armed timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fire {
    Client(ClientKey, Timer),
    Server(ServerKey, Timer),
    Call(CallKey, CallTimer),
    Registration(RegistrationKey),
}

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: EndpointConfig,
    pub(crate) draining: bool,
    pub(crate) random: Random,
    pub(crate) authenticator: Authenticator,
    pub(crate) timers: TimerQueue<Fire>,
    pub(crate) outbox: VecDeque<Output>,
    /// Only the counters are kept here; the sizes are filled in when asked for.
    pub(crate) counters: Stats,
}

impl Core {
    pub(crate) fn new(config: EndpointConfig, seed: [u8; 32]) -> Self {
        let mut random = Random::new(seed);
        Self {
            config,
            draining: false,
            authenticator: Authenticator::new(random.key()),
            random,
            timers: TimerQueue::new(),
            outbox: VecDeque::new(),
            counters: Stats::default(),
        }
    }

    pub(crate) fn send(&mut self, destination: SocketAddr, payload: Bytes) {
        self.outbox.push_back(Output::Transmit { destination, payload });
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.outbox.push_back(Output::Event(event));
    }

    pub(crate) fn arm_call(&mut self, at: Instant, call: CallKey, timer: CallTimer) -> TimerKey {
        self.timers.arm(at, Fire::Call(call, timer))
    }

    pub(crate) fn cancel(&mut self, timer: Option<TimerKey>) {
        if let Some(timer) = timer {
            self.timers.cancel(timer);
        }
    }
}
