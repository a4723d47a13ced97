//! `Playback` knows what of the model's speech the caller has heard.
//!
//! In: pieces of speech as they come, far ahead of real time; what the relay says of marks. Out: audio, marks and CLEAR for
//! the relay; the fate of every item. Time is the relay's: before an item goes a mark, another one behind it, and one more
//! right before CLEAR. All come back with the position in the played audio, exact to a frame; so nothing is guessed from
//! clocks, unless the relay stays silent.
//!
//! ```text
//!  MARK r1.0 │ RTP RTP RTP ... │ MARK r1.1          interruption: MARK c1, CLEAR
//!      └ played##P0                └ played: whole       └ cleared##P1: P1 - P0 of r1 was heard
//! ```

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use model::{
    command::{AgentPayload, Command},
    event::MarkOutcome,
    id::CallId,
};

/// See above.
pub(super) struct Playback {
    call: CallId,
    payload_type: u8,
    items: VecDeque<Item>,
    serial: u64,
    cut: Option<Cut>,
    cuts: u64,
    /// Responses and items of which nothing more is played.
    muted: VecDeque<String>,
}

/// Something that is spoken. The items of different sessions have different sources.
struct Item {
    source: u64,
    id: String,
    response: String,
    content_index: u64,
    serial: u64,
    received: u64,
    /// Less than a frame, kept until the rest of it comes.
    tail: Vec<u8>,
    /// All of it has come.
    complete: bool,
    sent_at: Instant,
    /// Position in the call's audio at which it began, and when that was heard of.
    begin: Option<(Duration, Instant)>,
}

/// An interruption of which the relay has not yet said where it was.
struct Cut {
    serial: u64,
    at: Instant,
    items: VecDeque<Item>,
}

/// What became of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) source: u64,
    pub(super) item: String,
    pub(super) content_index: u64,
    /// How much of it was heard; never more than was received.
    pub(super) heard: Duration,
    pub(super) received: Duration,
    /// It was cut off, and the server may have more of it than was heard.
    pub(super) cut: bool,
}

/// A piece of speech.
pub(super) struct Piece<'a> {
    pub(super) source: u64,
    pub(super) response: &'a str,
    pub(super) item: &'a str,
    pub(super) content_index: u64,
    pub(super) audio: Vec<u8>,
}

impl Playback {
    pub(super) fn new(call: CallId, payload_type: u8) -> Self {
        Self {
            call,
            payload_type,
            items: VecDeque::new(),
            serial: 0,
            cut: None,
            cuts: 0,
            muted: VecDeque::new(),
        }
    }

    /// Queues a piece behind what is queued. True if it began an item.
    pub(super) fn audio(&mut self, now: Instant, piece: Piece<'_>, say: &mut impl FnMut(Command)) -> bool {
        if self.is_muted(piece.response) || self.is_muted(piece.item) || piece.audio.is_empty() {
            return false;
        }
        let known = |item: &Item| item.source == piece.source && item.id == piece.item;
        let at = self.items.iter().rposition(known);
        let begins = at.is_none();
        // The new item is the last.
        if begins {
            self.begin(now, &piece, say);
        }
        let call = self.call.clone();
        let payload_type = self.payload_type;
        let at = at.unwrap_or(self.items.len() - 1);
        let Some(item) = self.items.get_mut(at) else { return false };
        item.received += piece.audio.len() as u64;
        item.sent_at = now;
        let mut audio = std::mem::take(&mut item.tail);
        audio.extend_from_slice(&piece.audio);
        // A relay whose queue runs dry fills an incomplete frame up with silence.
        item.tail = audio.split_off(audio.len() - audio.len() % FRAME_BYTES);
        if !audio.is_empty() {
            say(rtp(&call, payload_type, audio));
        }
        begins
    }

    fn begin(&mut self, now: Instant, piece: &Piece<'_>, say: &mut impl FnMut(Command)) {
        // What is behind this many others is known to be over.
        if self.items.len() >= MOST_ITEMS {
            self.items.pop_front();
        }
        self.serial += 1;
        self.items.push_back(Item {
            source: piece.source,
            id: piece.item.to_owned(),
            response: piece.response.to_owned(),
            content_index: piece.content_index,
            serial: self.serial,
            received: 0,
            tail: Vec::new(),
            complete: false,
            sent_at: now,
            begin: None,
        });
        say(Command::Mark { call: self.call.clone(), name: format!("r{}.0", self.serial) });
    }

    /// All of an item has come.
    pub(super) fn complete(&mut self, source: u64, id: &str, say: &mut impl FnMut(Command)) {
        self.complete_where(|item| item.source == source && item.id == id, say);
    }

    /// All of a response has come. An empty name stands for all responses.
    pub(super) fn complete_response(&mut self, source: u64, response: &str, say: &mut impl FnMut(Command)) {
        let of_it = |item: &Item| item.source == source && (response.is_empty() || item.response == response);
        self.complete_where(of_it, say);
    }

    fn complete_where(&mut self, wanted: impl Fn(&Item) -> bool, say: &mut impl FnMut(Command)) {
        for item in self.items.iter_mut().filter(|item| !item.complete && wanted(item)) {
            item.complete = true;
            let tail = std::mem::take(&mut item.tail);
            if !tail.is_empty() {
                say(rtp(&self.call, self.payload_type, tail));
            }
            say(Command::Mark { call: self.call.clone(), name: format!("r{}.1", item.serial) });
        }
    }

    /// The caller speaks: what waits is dropped, and nothing more of it or of `response` is played. True if there was
    /// something to drop.
    pub(super) fn interrupt(
        &mut self,
        now: Instant,
        response: Option<&str>,
        say: &mut impl FnMut(Command),
    ) -> bool {
        if let Some(response) = response {
            self.mute(response.to_owned());
        }
        if self.items.is_empty() {
            return false;
        }
        self.cuts += 1;
        say(Command::Mark { call: self.call.clone(), name: format!("c{}", self.cuts) });
        say(Command::Clear { call: self.call.clone() });
        let items = std::mem::take(&mut self.items);
        items.iter().for_each(|item| self.mute(item.id.clone()));
        // What a relay never answered is left as it was.
        self.cut = Some(Cut { serial: self.cuts, at: now, items });
        true
    }

    /// A mark came back.
    pub(super) fn mark(
        &mut self,
        now: Instant,
        name: &str,
        outcome: MarkOutcome,
        played: Duration,
    ) -> Vec<Fate> {
        match read_name(name) {
            Some(Name::Begin(serial)) => {
                let cut = self.cut.iter_mut().flat_map(|cut| cut.items.iter_mut());
                if let Some(item) = self.items.iter_mut().chain(cut).find(|item| item.serial == serial) {
                    item.begin = Some((played, now));
                }
                Vec::new()
            }
            Some(Name::End(serial)) if outcome == MarkOutcome::Played => self.ended(serial),
            Some(Name::Cut(serial)) if self.cut.as_ref().is_some_and(|cut| cut.serial == serial) => self
                .end_cut(|item| item.begin.map_or(Duration::ZERO, |(begin, _)| played.saturating_sub(begin))),
            _ => Vec::new(),
        }
    }

    /// The caller has heard all of an item.
    fn ended(&mut self, serial: u64) -> Vec<Fate> {
        let whole = |item: Item| Fate { heard: length(item.received), ..item.fate(Duration::ZERO, false) };
        let of = |items: &mut VecDeque<Item>| {
            let at = items.iter().position(|item| item.serial == serial)?;
            items.remove(at)
        };
        let ended = of(&mut self.items).or_else(|| of(&mut self.cut.as_mut()?.items));
        ended.map(whole).into_iter().collect()
    }

    fn end_cut(&mut self, heard: impl Fn(&Item) -> Duration) -> Vec<Fate> {
        let Some(cut) = self.cut.take() else { return Vec::new() };
        let fate = |item: Item| {
            let heard = heard(&item);
            item.fate(heard, true)
        };
        cut.items.into_iter().map(fate).collect()
    }

    /// Passes of time: an interruption that the relay says nothing of is judged by the clock, and what must have been
    /// played is taken for played.
    pub(super) fn timeout(&mut self, now: Instant) -> Vec<Fate> {
        let mut fates = Vec::new();
        if let Some(cut) = &self.cut
            && now >= cut.at + ANSWERED
        {
            let at = cut.at;
            fates = self.end_cut(|item| {
                item.begin.map_or(Duration::ZERO, |(_, begin)| at.saturating_duration_since(begin))
            });
        }
        if self.overdue().is_some_and(|at| now >= at) {
            let items = std::mem::take(&mut self.items);
            fates.extend(
                items
                    .into_iter()
                    .map(|item| Fate { heard: length(item.received), ..item.fate(Duration::ZERO, false) }),
            );
        }
        fates
    }

    /// When to call [`Self::timeout`].
    pub(super) fn deadline(&self) -> Option<Instant> {
        let answered = self.cut.as_ref().map(|cut| cut.at + ANSWERED);
        [answered, self.overdue()].into_iter().flatten().min()
    }

    /// When all of it must have been played, whatever the relay says of marks.
    fn overdue(&self) -> Option<Instant> {
        let last = self.items.iter().map(|item| item.sent_at).max()?;
        let bytes = self.items.iter().map(|item| item.received).sum();
        self.items.iter().all(|item| item.complete).then(|| last + length(bytes) + GRACE)
    }

    /// Whether the caller hears, or will hear, any of it.
    pub(super) fn is_playing(&self) -> bool {
        !self.items.is_empty()
    }

    /// Whether everything has its fate.
    pub(super) fn is_settled(&self) -> bool {
        self.items.is_empty() && self.cut.is_none()
    }

    fn is_muted(&self, id: &str) -> bool {
        !id.is_empty() && self.muted.iter().any(|muted| muted == id)
    }

    fn mute(&mut self, id: String) {
        if self.muted.len() >= MOST_ITEMS {
            self.muted.pop_front();
        }
        self.muted.push_back(id);
    }
}

impl Item {
    fn fate(self, heard: Duration, cut: bool) -> Fate {
        let received = length(self.received);
        let heard = heard.min(received);
        Fate {
            source: self.source,
            item: self.id,
            content_index: self.content_index,
            heard,
            received,
            cut: cut && !(self.complete && heard == received),
        }
    }
}

enum Name {
    Begin(u64),
    End(u64),
    Cut(u64),
}

fn read_name(name: &str) -> Option<Name> {
    if let Some(serial) = name.strip_prefix('c') {
        return serial.parse().ok().map(Name::Cut);
    }
    let (serial, end) = name.strip_prefix('r')?.split_once('.')?;
    let serial = serial.parse().ok()?;
    match end {
        "0" => Some(Name::Begin(serial)),
        "1" => Some(Name::End(serial)),
        _ => None,
    }
}

fn rtp(call: &CallId, payload_type: u8, audio: Vec<u8>) -> Command {
    let payload = Bytes::from(audio);
    Command::Rtp { call: Some(call.clone()), audio: AgentPayload::Payload { payload_type, payload } }
}

/// Of G.711: 8 bytes a millisecond.
fn length(bytes: u64) -> Duration {
    Duration::from_micros(bytes * 125)
}

/// 20 ms of G.711.
const FRAME_BYTES: usize = 160;
const MOST_ITEMS: usize = 32;
/// Time for the relay's answer to an interruption.
const ANSWERED: Duration = Duration::from_secs(1);
/// Time for the relay's last words about what it plays.
const GRACE: Duration = Duration::from_secs(5);
