//! `Registrar` keeps the relay registered with the PBX, and says in the log how that goes.
//!
//! In: the trunk, the core's events. Out: commands to the core. When to register again, the core decides.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix::Recipient;
use sip::{Endpoint, Registration, RegistrationKey};
use tracing::{debug, error, info, warn};

use super::{message::RegistrationNews, sip_listener::Trunk};
use crate::metrics::Metrics;

/// The registration of one trunk.
#[derive(Debug)]
pub struct Registrar {
    key: Option<RegistrationKey>,
    registered: bool,
    news: Option<Recipient<RegistrationNews>>,
    metrics: Arc<Metrics>,
}

impl Registrar {
    /// Not registered. `news`: who else hears how it goes.
    pub fn new(news: Option<Recipient<RegistrationNews>>, metrics: Arc<Metrics>) -> Self {
        Self { key: None, registered: false, news, metrics }
    }

    fn tell(&self, news: RegistrationNews) {
        if let Some(listener) = &self.news {
            listener.do_send(news);
        }
    }

    /// Registers, where the trunk wants it.
    pub fn begin(&mut self, endpoint: &mut Endpoint, trunk: Option<&Trunk>) {
        let Some(registration) = trunk.filter(|trunk| trunk.register).and_then(Trunk::registration) else {
            return;
        };
        info!(registrar = %registration.registrar, "registering");
        match endpoint.register(Instant::now(), registration) {
            Ok(key) => self.key = Some(key),
            // The configuration has checked what goes into it; a program may ask for anything.
            Err(error) => {
                error!(%error, "not registered");
                self.tell(RegistrationNews::Failed { status: 400, reason: error.to_string() });
            }
        }
    }

    /// Gives the registration up; calls that are up go on.
    pub fn end(&mut self, endpoint: &mut Endpoint) {
        if let Some(key) = self.key.take() {
            endpoint.unregister(Instant::now(), key);
        }
    }

    /// The registrar took our contact.
    pub fn registered(&mut self, expires: Duration) {
        self.metrics.sip.registered.set(1);
        self.tell(RegistrationNews::Registered { expires });
        let expires = expires.as_secs();
        if std::mem::replace(&mut self.registered, true) {
            debug!(expires, "registered again");
        } else {
            info!(expires, "registered");
        }
    }

    /// It refused, or did not answer.
    pub fn failed(&mut self, status: u16, reason: &str, retry_in: Duration) {
        self.registered = false;
        self.metrics.sip.registered.set(0);
        self.metrics.sip.registration_failures.inc();
        self.tell(RegistrationNews::Failed { status, reason: reason.to_owned() });
        let (reason, retry_in) = (reason.escape_debug(), retry_in.as_secs());
        match status {
            401 | 403 | 407 => {
                warn!(status, %reason, retry_in, "not registered: SIP_USERNAME or SIP_PASSWORD refused");
            }
            _ => warn!(status, %reason, retry_in, "not registered"),
        }
    }

    /// The registration is over.
    pub fn over(&mut self) {
        self.registered = false;
        self.metrics.sip.registered.set(0);
        self.tell(RegistrationNews::Over);
        info!("no longer registered");
    }
}

impl Trunk {
    /// What to register; `None` without a user.
    fn registration(&self) -> Option<Registration> {
        let registration = Registration::new(self.address_of_record()?, self.domain(), self.destination);
        Some(Registration { credentials: self.credentials.clone(), expires: self.expires, ..registration })
    }
}
