//! `Engine` is a telephone in this process, without a WebSocket: the same SIP core, calls and media as the relay, with
//! a program as its agent. [`client`](crate::client) and [`backend`](crate::backend) are made of it.
//!
//! In: [`EngineSettings`], orders to place calls. Out: [`News`] to an [`Ear`]. A call is commanded through its
//! [`CallHandle`](crate::relay::message::CallHandle), whose recipients may be used from any thread.

mod agent;
mod dtmf;
mod runtime;

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use actix::{Actor, Addr};
use model::audio::Codec;
use sip::{AuthServer, EndpointConfig, Timers, Toward};
use tokio::sync::oneshot;

use self::{
    agent::{Agent, Exchange, Join, Place},
    runtime::Runtime,
};
pub use self::{
    agent::{Ear, News, Refused},
    dtmf::DtmfEvent,
};
pub use crate::relay::{
    rtp_session::{Attention, Hearing},
    sip_listener::Trunk,
    switchboard::{Admission, MediaAddress},
};
use crate::{
    config::{LostAction, route_source},
    relay::{
        call::CallSettings,
        message::{CallHandle, ClientId, DialOptions, Dismiss, RtpForm, Shutdown},
        rtp_ports::RtpPorts,
        rtp_session::MediaSettings,
        sip_listener::{Door, Peers},
        stack::{Stack, bind_sip},
        switchboard::{Switchboard, SwitchboardSettings},
    },
};

/// How a telephone of the library is set up.
pub struct EngineSettings {
    /// Where SIP is spoken; port 0 lets the operating system choose.
    pub sip: SocketAddr,
    /// The address that peers are told in Via and Contact.
    pub advertised: IpAddr,
    /// For peers toward whom this machine has another address, that one.
    pub by_route: bool,
    /// The address in SDP.
    pub media_address: MediaAddress,
    /// User-Agent of requests and Server of responses.
    pub user_agent: String,
    /// User part of Contact.
    pub contact_user: Option<String>,
    /// Where calls go that name no other place, and where we register.
    pub trunk: Option<Trunk>,
    /// The timers of RFC 3261 §17.
    pub timers: Timers,
    /// Who may call us, by digest; `None`: everybody.
    pub auth: Option<AuthServer>,
    /// Where media goes.
    pub ports: RtpPorts,
    /// The habits of calls.
    pub call: CallSettings,
    /// The habits of their media.
    pub media: rtp::SessionConfig,
    /// What is heard of callers besides their audio.
    pub hearing: Hearing,
    /// Calls at once; `None`: as many as there are ports.
    pub max_calls: Option<usize>,
    /// Who else decides about inbound calls.
    pub admission: Option<Admission>,
    /// In which form callers are heard.
    pub form: RtpForm,
}

/// Why a telephone does not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The SIP socket cannot be bound.
    #[error("cannot listen for SIP on {address}: {source}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// The operating system gives no thread.
    #[error("no thread for SIP: {0}")]
    Thread(io::Error),
}

/// See the module's documentation. Dropping it ends its calls in the background; [`stop`](Self::stop) waits for that.
pub struct Engine {
    switchboard: Addr<Switchboard>,
    agent: Addr<Agent>,
    client: ClientId,
    runtime: Runtime,
    sip_address: SocketAddr,
    stopped: bool,
}

/// A telephone that is being put away, whether this is awaited or not. Resolves when its sockets are closed.
#[derive(Debug)]
#[must_use = "sockets are still open until this resolves"]
pub struct Stopping(oneshot::Receiver<()>);

impl Future for Stopping {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // An error means that the process ends: then everything is closed.
        Pin::new(&mut self.0).poll(context).map(|_| ())
    }
}

/// Carries out a job on the thread of all telephones, whose runtime has a clock and sockets: whoever waits for it needs
/// no runtime. The job goes on when nobody waits any more.
pub async fn run<T: Send + 'static>(job: impl Future<Output = T> + Send + 'static) -> Result<T, EngineError> {
    let (done, outcome) = oneshot::channel();
    let job = async move {
        // Nobody may be waiting.
        let _ = done.send(job.await);
    };
    spawn(job).map_err(EngineError::Thread)?;
    outcome.await.map_err(|_| EngineError::Thread(io::Error::other("the job did not end")))
}

/// The same for a job that nobody waits for.
pub fn spawn(job: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    let runtime = Runtime::of_process()?;
    let taken = runtime.threads.home.spawn(job);
    taken.then_some(()).ok_or_else(|| io::Error::other("the thread of telephones has ended"))
}

impl Engine {
    /// Binds the SIP socket and starts the actors; registers where the trunk says so.
    pub fn start(settings: EngineSettings, ear: impl Ear) -> Result<Self, EngineError> {
        let runtime = Runtime::of_process().map_err(EngineError::Thread)?;
        let bind_error = |source| EngineError::Bind { address: settings.sip, source };
        let socket = bind_sip(settings.sip).map_err(bind_error)?;
        let sip_address = socket.local_addr().map_err(bind_error)?;

        let mut endpoint = EndpointConfig::new(SocketAddr::new(settings.advertised, sip_address.port()));
        endpoint.toward = settings.by_route.then(|| Toward::new(|peer| route_source(peer).ok()));
        endpoint.user_agent = settings.user_agent;
        endpoint.contact_user = settings.contact_user;
        endpoint.auth = settings.auth;
        endpoint.timers = settings.timers;

        let (form, ear): (RtpForm, Box<dyn Ear>) = (settings.form, Box::new(ear));
        let client = agent::next_client();
        let agent = Agent::start_in_arbiter(&runtime.threads.home, move |_| Agent::new(client, ear));
        let call = Arc::new(settings.call);
        let stack = Stack {
            socket,
            endpoint,
            door: Door {
                trunk: settings.trunk,
                peers: Peers::new(Vec::new(), None),
                registration: Some(agent.clone().recipient()),
            },
            ports: settings.ports,
            switchboard: SwitchboardSettings {
                dialling: None,
                max_calls: settings.max_calls,
                lost_action: LostAction::Hangup,
                media_address: settings.media_address,
                admission: settings.admission,
                call: call.clone(),
            },
            call,
            media: Arc::new(MediaSettings {
                session: settings.media,
                hearing: settings.hearing,
                stereo: false,
            }),
            insider: Some(agent::introduction(client, &agent, form)),
            recorder: None,
            metrics: runtime.metrics.clone(),
            readiness: Default::default(),
        };
        let switchboard = stack.start(&runtime.threads);
        agent.do_send(Join(Exchange {
            disconnect: switchboard.clone().recipient(),
            place: switchboard.clone().recipient(),
        }));
        Ok(Self { switchboard, agent, client, runtime, sip_address, stopped: false })
    }

    /// Where SIP is spoken.
    pub fn sip_address(&self) -> SocketAddr {
        self.sip_address
    }

    /// Whom orders to calls come from, so that what they lead to is news.
    pub fn client(&self) -> ClientId {
        self.client
    }

    /// Places a call as soon as the future is polled; resolves when it exists. `phone` is the number at the trunk, unless the
    /// options name a target. A call that nobody waits for any more by then is hung up.
    pub fn dial(
        &self,
        phone: String,
        options: DialOptions,
    ) -> impl Future<Output = Result<CallHandle, Refused>> + Send + use<> {
        let (agent, (asked, answer)) = (self.agent.clone(), oneshot::channel());
        let place = Place { phone, options: Box::new(options), asked };
        async move {
            agent.do_send(place);
            answer.await.unwrap_or_else(|_| Err(Refused::gone()))
        }
    }

    /// Ends every call, gives the registration up, and resolves when the sockets are closed.
    pub fn stop(mut self) -> Stopping {
        self.put_away()
    }

    fn put_away(&mut self) -> Stopping {
        self.stopped = true;
        let (done, stopping) = oneshot::channel();
        let switchboard = self.switchboard.clone();
        // False once the process ends: then there is nobody left to hang up on.
        self.runtime.threads.home.spawn(async move {
            put_away(switchboard).await;
            // Nobody may be waiting.
            let _ = done.send(());
        });
        Stopping(stopping)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if !self.stopped {
            // Nobody waits for it.
            drop(self.put_away());
        }
    }
}

/// Orderly: calls over, wire quiet, agent told, sockets closed. Each step has a limit of its own in the actors.
async fn put_away(switchboard: Addr<Switchboard>) {
    // An error is an actor that is gone already.
    let _ = switchboard.send(Shutdown).timeout(STOP_DEADLINE).await;
    let _ = switchboard.send(Dismiss).timeout(STOP_DEADLINE).await;
}

const STOP_DEADLINE: Duration = Duration::from_secs(4);

/// What most telephones have in common.
pub fn session_config(silence_fill: bool) -> rtp::SessionConfig {
    let mut session = rtp::SessionConfig::new(0, 0, 0, 0);
    session.silence_fill = silence_fill;
    session
}

/// Calls that offer and take these codecs, in this order.
pub fn call_settings(codecs: Vec<Codec>, answer_after: Option<Duration>) -> CallSettings {
    CallSettings {
        codecs,
        telephone_event: 101,
        answer_after,
        ring_timeout: Duration::from_secs(180),
        max_duration: None,
        delayed_offer: true,
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, net::UdpSocket};

    use model::{audio::SampleRate, call::EndLabel, command::AgentPayload, event::Event, id::CallId};
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;
    use crate::relay::message::{AgentMedia, AgentOrder, CallCommand, ClientId};

    const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn telephone(start: u16, end: u16, answer: Option<Duration>) -> (Engine, UnboundedReceiver<News>) {
        let (sender, news) = unbounded_channel();
        let settings = EngineSettings {
            sip: (HOST, 0).into(),
            advertised: HOST,
            by_route: false,
            media_address: MediaAddress::Route(HOST),
            user_agent: "test".into(),
            contact_user: None,
            trunk: None,
            timers: Timers::default(),
            auth: None,
            ports: RtpPorts::new(HOST, start, end, 2).expect("a range"),
            call: call_settings(vec![Codec::G722, Codec::Pcmu], answer),
            media: session_config(true),
            hearing: Hearing::default(),
            max_calls: None,
            admission: None,
            form: RtpForm::Samples(None),
        };
        let ear = move |news| {
            // The test may be over.
            let _ = sender.send(news);
        };
        (Engine::start(settings, ear).expect("it starts"), news)
    }

    async fn until<T>(news: &mut UnboundedReceiver<News>, mut wanted: impl FnMut(News) -> Option<T>) -> T {
        let found = async {
            loop {
                if let Some(found) = wanted(news.recv().await.expect("the telephone lives")) {
                    return found;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(5), found).await.expect("it happens within 5 s")
    }

    fn is_up(news: News) -> Option<CallId> {
        match news {
            News::Event(Event::CallAns { call }) => Some(call),
            _ => None,
        }
    }

    #[tokio::test]
    async fn one_telephone_calls_another_and_leaves_its_sockets_free() {
        let (callee, mut at_callee) = telephone(42_100, 42_109, Some(Duration::ZERO));
        let (caller, mut at_caller) = telephone(42_110, 42_119, None);
        let options = DialOptions {
            target: Some(format!("sip:bob@{}", callee.sip_address())),
            destination: Some(callee.sip_address()),
            from: Some("sip:alice@example.com".into()),
            headers: vec![("X-Room-ID".into(), "42".into())],
            ..DialOptions::default()
        };
        let call = caller.dial("bob".into(), options).await.expect("it is placed");
        assert_eq!(until(&mut at_caller, is_up).await, call.id);

        let invite = until(&mut at_callee, |news| match news {
            News::Call(handle) => handle.invite,
            _ => None,
        });
        let invite = invite.await;
        assert_eq!(invite.from, "sip:alice@example.com");
        assert_eq!(invite.headers, [("X-Room-ID".to_owned(), "42".to_owned())]);
        let facts = until(&mut at_callee, |news| match news {
            News::Media(_, facts) => Some(facts),
            _ => None,
        });
        assert_eq!(facts.await.codec, Codec::G722);

        let samples = vec![1000; 320 * 10];
        let payload = AgentPayload::Pcm(model::audio::le_bytes(&samples).collect());
        let media = AgentMedia::Audio { payload, rate: SampleRate::Hz16000 };
        call.audio.do_send(AgentOrder { client: ClientId(0), media });
        let heard = until(&mut at_callee, |news| match news {
            News::Audio { rate, pcm, .. } => {
                let loud = i16::from_le_bytes([pcm[400], pcm[401]]) > 800;
                loud.then_some((rate, pcm.len()))
            }
            _ => None,
        });
        assert_eq!(heard.await, (SampleRate::Hz16000, 640));

        call.commands.do_send(CallCommand::Hangup);
        let over = until(&mut at_callee, |news| match news {
            News::Over { reason, .. } => Some(reason.label),
            _ => None,
        });
        assert_eq!(over.await, EndLabel::RemoteBye);

        let addresses = [callee.sip_address(), caller.sip_address()];
        let (first, second) = (callee.stop(), caller.stop());
        tokio::join!(first, second);
        for address in addresses {
            UdpSocket::bind(address).expect("the SIP port is free");
        }
        for port in [42_100, 42_101, 42_110, 42_111] {
            UdpSocket::bind((HOST, port)).expect("the RTP port is free");
        }
    }

    #[tokio::test]
    async fn telephone_is_put_away_although_nobody_waits_for_it() {
        let (telephone, _news) = telephone(42_130, 42_131, None);
        let address = telephone.sip_address();
        drop(telephone.stop());
        let free = async {
            while UdpSocket::bind(address).is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), free).await.expect("the SIP port is free");
    }

    #[tokio::test]
    async fn call_to_nowhere_is_refused_and_the_next_one_is_placed() {
        let (telephone, mut news) = telephone(42_120, 42_121, None);
        let options = || DialOptions {
            target: Some("sip:bob@127.0.0.1".into()),
            destination: Some("127.0.0.1:9".parse().expect("an address")),
            ..DialOptions::default()
        };
        telephone.dial("bob".into(), options()).await.expect("there is a port");
        let refused = telephone.dial("bob".into(), options()).await.expect_err("there is no second port");
        assert_eq!((refused.status, refused.reason.as_str()), (503, "No RTP ports available"));
        telephone.stop().await;
        let over = until(&mut news, |news| matches!(news, News::Over { .. }).then_some(()));
        over.await;
    }
}
