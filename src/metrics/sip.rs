//! What is counted about SIP: the tables of the core, its faults, and the datagrams of its socket.

use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use sip::Stats;

use super::{grow, shelf::Shelf};

/// See the module's documentation.
#[derive(Debug)]
pub struct SipMetrics {
    /// Datagrams read from the socket.
    pub datagrams_received: Counter,
    /// Datagrams that the socket took.
    pub datagrams_sent: Counter,
    /// Datagrams that the socket did not take.
    pub send_errors: Counter,
    /// Datagrams from outside `SIP_ALLOWED_PEERS`, which are not read.
    pub not_allowed: Counter,
    /// Requests with a user or password that `SIP_AUTH_USERS` does not have.
    pub credentials_refused: Counter,
    /// 1 when the PBX accepted the last registration.
    pub registered: Gauge,
    /// Registrations that the PBX refused or did not answer.
    pub registration_failures: Counter,
    transactions: Gauge,
    dialogs: Gauge,
    calls: Gauge,
    timers: Gauge,
    malformed: Counter,
    dropped: Counter,
    retransmissions_received: Counter,
    retransmissions_sent: Counter,
    rejected_by_limit: Counter,
    unauthorised: Counter,
}

impl SipMetrics {
    pub(super) fn new(shelf: &mut Shelf<'_>) -> Self {
        let [datagrams_received, datagrams_sent] =
            shelf.counters("sip_datagrams", "SIP datagrams", "direction", BOTH);
        let [retransmissions_received, retransmissions_sent] =
            shelf.counters("sip_retransmissions", "SIP messages that were sent again", "direction", BOTH);
        Self {
            datagrams_received,
            datagrams_sent,
            send_errors: shelf.counter("sip_send_errors", "SIP datagrams that the socket did not take"),
            not_allowed: shelf.counter("sip_not_allowed", "SIP datagrams from outside SIP_ALLOWED_PEERS"),
            credentials_refused: shelf
                .counter("sip_credentials_refused", "SIP requests with a wrong user or password"),
            registered: shelf.gauge("sip_registered", "1 when the PBX accepted the last registration"),
            registration_failures: shelf
                .counter("sip_registration_failures", "Registrations refused or not answered"),
            transactions: shelf.gauge("sip_transactions", "SIP transactions, client and server"),
            dialogs: shelf.gauge("sip_dialogs", "SIP dialogs, early ones included"),
            calls: shelf.gauge("sip_calls", "Calls whose signalling is not finished"),
            timers: shelf.gauge("sip_timers", "Armed SIP timers"),
            malformed: shelf.counter("sip_malformed", "Datagrams that are no SIP message"),
            dropped: shelf.counter("sip_dropped", "SIP messages that belong to nothing"),
            retransmissions_received,
            retransmissions_sent,
            rejected_by_limit: shelf
                .counter("sip_rejected_by_limit", "SIP requests answered 503 because a table was full"),
            unauthorised: shelf.counter("sip_unauthorised", "SIP requests answered 401"),
        }
    }

    /// Brings the metrics to what the core says now. `settled`: what it said the last time.
    pub fn settle(&self, settled: &mut Stats, now: &Stats) {
        self.transactions.set(size(now.transactions));
        self.dialogs.set(size(now.dialogs));
        self.calls.set(size(now.calls));
        self.timers.set(size(now.timers));
        grow(&self.malformed, &mut settled.malformed, now.malformed);
        grow(&self.dropped, &mut settled.dropped, now.dropped);
        grow(&self.retransmissions_received, &mut settled.retransmissions_in, now.retransmissions_in);
        grow(&self.retransmissions_sent, &mut settled.retransmissions_out, now.retransmissions_out);
        grow(&self.rejected_by_limit, &mut settled.rejected_by_limit, now.rejected_by_limit);
        grow(&self.unauthorised, &mut settled.unauthorised, now.unauthorised);
    }
}

fn size(table: usize) -> i64 {
    i64::try_from(table).unwrap_or(i64::MAX)
}

const BOTH: [&str; 2] = ["received", "sent"];
