//! Whether the relay takes calls and clients: written down by the parts that must be there, read by `/ready`.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// A part without which the relay is not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Who owns the SIP socket.
    Sip,
    /// Who serves WebSocket clients.
    WebSocket,
}

/// The state of the parts. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<State>);

#[derive(Debug, Default)]
struct State {
    sip: AtomicBool,
    websocket: AtomicBool,
    stopping: AtomicBool,
}

/// A part is up until this is dropped, a panic included.
#[derive(Debug)]
pub struct Up {
    state: Arc<State>,
    part: Part,
}

impl Readiness {
    /// The part is up from now on.
    pub fn up(&self, part: Part) -> Up {
        self.0.of(part).store(true, Ordering::Release);
        Up { state: self.0.clone(), part }
    }

    /// The relay stops: it is not ready any more, whatever is up.
    pub fn stop(&self) {
        self.0.stopping.store(true, Ordering::Release);
    }

    /// Why the relay is not ready; `None` if it is.
    pub fn obstacle(&self) -> Option<&'static str> {
        let State { sip, websocket, stopping } = &*self.0;
        if stopping.load(Ordering::Acquire) {
            Some("the relay is stopping")
        } else if !sip.load(Ordering::Acquire) {
            Some("the SIP socket is not open")
        } else if !websocket.load(Ordering::Acquire) {
            Some("WebSocket clients are not served")
        } else {
            None
        }
    }
}

impl State {
    fn of(&self, part: Part) -> &AtomicBool {
        match part {
            Part::Sip => &self.sip,
            Part::WebSocket => &self.websocket,
        }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        self.state.of(self.part).store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_while_both_parts_are_up_and_nothing_stops() {
        let readiness = Readiness::default();
        let sip = readiness.up(Part::Sip);
        assert_eq!(readiness.obstacle(), Some("WebSocket clients are not served"));
        let _websocket = readiness.up(Part::WebSocket);
        assert_eq!(readiness.obstacle(), None);
        drop(sip);
        assert_eq!(readiness.obstacle(), Some("the SIP socket is not open"));
        let _sip = readiness.up(Part::Sip);
        assert_eq!(readiness.obstacle(), None);
        readiness.stop();
        assert_eq!(readiness.obstacle(), Some("the relay is stopping"));
    }
}
