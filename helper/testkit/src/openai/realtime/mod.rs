//! A scripted server that speaks like the OpenAI Realtime API, over WebSocket.
//!
//! In: connections on a free port of loopback. Out: what the script says, faster than real time unless told otherwise; a list
//! of what it was told. It hears speech in the audio that it gets, answers turns, takes back what is interrupted, and is
//! stricter than the real one: whatever is not of the published form is kept as a violation, and refused.

mod answer;
mod check;
mod session;
mod talk;

use std::{
    collections::VecDeque,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::lock;
pub use answer::Answer;

/// The server. It ends when it is dropped.
pub struct RealtimeServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What the server does with those who connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// Lets them in with this key; others get a 401.
    Key(String),
    /// Answers the handshake with this status and message.
    Refuse(u16, String),
    /// Never answers.
    Silent,
}

pub(super) struct Shared {
    door: Mutex<Door>,
    sessions: Mutex<Vec<Arc<Log>>>,
    changed: Condvar,
    next: Mutex<VecDeque<Answer>>,
    otherwise: Mutex<Answer>,
    violations: Mutex<Vec<String>>,
    attempts: Mutex<usize>,
    listens: AtomicBool,
    stop: AtomicBool,
}

/// What happened in one session.
pub(super) struct Log {
    entries: Mutex<Vec<Told>>,
    audio: Mutex<Vec<u8>>,
    open: AtomicBool,
    orders: mpsc::Sender<Order>,
}

/// Something that the server was told, audio apart.
#[derive(Debug, Clone)]
pub struct Told {
    /// When.
    pub at: Instant,
    /// The event.
    pub event: Value,
}

pub(super) enum Order {
    Start,
    Stop,
    Raw(String),
    Drop,
    Stall,
}

/// One session, for the test.
pub struct Session {
    log: Arc<Log>,
    shared: Arc<Shared>,
}

impl RealtimeServer {
    /// Starts on a free port. Until told otherwise it takes the key `sk-test` and answers every turn with a second of 440 Hz.
    pub fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            door: Mutex::new(Door::Key("sk-test".to_owned())),
            sessions: Mutex::default(),
            changed: Condvar::new(),
            next: Mutex::default(),
            otherwise: Mutex::new(Answer::tone("Good day.", 440.0, 1000)),
            violations: Mutex::default(),
            attempts: Mutex::default(),
            listens: AtomicBool::new(true),
            stop: AtomicBool::new(false),
        });
        let server = Self { address, shared: shared.clone() };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.stop.load(Ordering::Relaxed) {
                    return;
                }
                *lock(&shared.attempts) += 1;
                let shared = shared.clone();
                thread::spawn(move || session::serve(stream, &shared));
            }
        });
        server
    }

    /// Where it is: `ws://127.0.0.1:{port}/v1/realtime`.
    pub fn url(&self) -> String {
        format!("ws://{}/v1/realtime", self.address)
    }

    /// From now on it does this with those who connect.
    pub fn set_door(&self, door: Door) {
        *lock(&self.shared.door) = door;
    }

    /// Whether it hears speech by itself, or only where the test says so.
    pub fn set_listening(&self, on: bool) {
        self.shared.listens.store(on, Ordering::Relaxed);
    }

    /// The next response that has no answer yet gets this one.
    pub fn next(&self, answer: Answer) {
        lock(&self.shared.next).push_back(answer);
    }

    /// Responses that have no answer of their own get this one.
    pub fn always(&self, answer: Answer) {
        *lock(&self.shared.otherwise) = answer;
    }

    /// Connections so far, refused ones included.
    pub fn attempts(&self) -> usize {
        *lock(&self.shared.attempts)
    }

    /// Sessions so far.
    pub fn sessions(&self) -> usize {
        lock(&self.shared.sessions).len()
    }

    /// Sessions that are open.
    pub fn open_sessions(&self) -> usize {
        lock(&self.shared.sessions).iter().filter(|log| log.open.load(Ordering::Relaxed)).count()
    }

    /// Waits for session number `n` (from 0).
    pub fn session(&self, n: usize, timeout: Duration) -> Session {
        let shared = self.shared.clone();
        let find = || lock(&shared.sessions).get(n).cloned();
        let log = self.shared.wait(timeout, find).unwrap_or_else(|| panic!("no session {n} in {timeout:?}"));
        Session { log, shared: self.shared.clone() }
    }

    /// What was not of the published form.
    pub fn violations(&self) -> Vec<String> {
        lock(&self.shared.violations).clone()
    }
}

impl Drop for RealtimeServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

impl Session {
    /// Everything it was told, audio apart.
    pub fn told(&self) -> Vec<Told> {
        lock(&self.log.entries).clone()
    }

    /// The events of one type.
    pub fn told_of(&self, kind: &str) -> Vec<Told> {
        self.told().into_iter().filter(|told| told.event["type"] == kind).collect()
    }

    /// Waits until `n` events of a type have come and returns those of it.
    pub fn expect(&self, kind: &str, n: usize, timeout: Duration) -> Vec<Told> {
        let find = || Some(self.told_of(kind)).filter(|told| told.len() >= n);
        self.shared
            .wait(timeout, find)
            .unwrap_or_else(|| panic!("fewer than {n} of {kind} in {timeout:?}: {:?}", self.told()))
    }

    /// The caller's audio so far.
    pub fn audio(&self) -> Vec<u8> {
        lock(&self.log.audio).clone()
    }

    /// The server hears that the caller begins to speak.
    pub fn speech_started(&self) {
        self.order(Order::Start);
    }

    /// The server hears that he has finished.
    pub fn speech_stopped(&self) {
        self.order(Order::Stop);
    }

    /// The server sends this as it is.
    pub fn send_raw(&self, text: &str) {
        self.order(Order::Raw(text.to_owned()));
    }

    /// The connection breaks, without a word.
    pub fn drop_connection(&self) {
        self.order(Order::Drop);
    }

    /// From now on the server neither reads nor writes.
    pub fn stall(&self) {
        self.order(Order::Stall);
    }

    /// Whether the connection is there.
    pub fn is_open(&self) -> bool {
        self.log.open.load(Ordering::Relaxed)
    }

    fn order(&self, order: Order) {
        // A connection that is over takes no orders.
        let _ = self.log.orders.send(order);
    }
}

impl Shared {
    fn wait<T>(&self, timeout: Duration, find: impl Fn() -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + timeout;
        let guard = Mutex::new(());
        let mut held = lock(&guard);
        loop {
            if let Some(found) = find() {
                return Some(found);
            }
            if Instant::now() >= deadline {
                return None;
            }
            // What is waited for is behind other locks: look again soon, even without being woken.
            let nap = Duration::from_millis(20);
            held = self.changed.wait_timeout(held, nap).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn answer(&self) -> Answer {
        lock(&self.next).pop_front().unwrap_or_else(|| lock(&self.otherwise).clone())
    }

    fn violation(&self, what: String) {
        lock(&self.violations).push(what);
    }
}
