//! What a client's commands do: each finds its call, and hands the rest to the actor concerned.

use std::time::Instant;

use actix::Context;
use bytes::Bytes;
use model::{
    command::{self, Command, CommandError, Mode, Selection},
    event::Event,
    id::CallId,
};
use tracing::{info, warn};

use super::{
    super::message::{AgentMedia, AgentOrder, CallCommand, Listen, PlaceCall, TransferCall},
    WsClient,
};

impl WsClient {
    pub(super) fn line(&mut self, line: &str, ctx: &mut Context<Self>) {
        self.parsed(command::parse_with(line, self.audio_form().codec), ctx);
    }

    pub(super) fn binary(&mut self, message: Bytes, ctx: &mut Context<Self>) {
        if self.mode == Mode::Multi {
            self.parsed(command::parse_binary(message, self.audio_form().codec), ctx);
        } else {
            self.refuse(400, "this connection takes text messages", "BINARY", ctx);
        }
    }

    fn parsed(&mut self, command: Result<Command, CommandError>, ctx: &mut Context<Self>) {
        match command {
            Ok(command) if command.is_multi_only() && self.mode != Mode::Multi => {
                let verb = command.verb();
                self.refuse(400, "this word needs mode=multi", verb, ctx);
            }
            Ok(command) => self.command(command, ctx),
            Err(error) => self.bad_command(&error, ctx),
        }
    }

    fn bad_command(&mut self, error: &CommandError, ctx: &mut Context<Self>) {
        info!(client = self.id.0, verb = error.verb, "bad command: {}", error.text);
        self.say(&error.event(), ctx);
    }

    fn command(&mut self, command: Command, ctx: &mut Context<Self>) {
        let verb = command.verb();
        self.settings.metrics.clients.command(verb);
        match command {
            Command::Call { phone } => {
                self.switchboard.place.do_send(PlaceCall { client: self.id, phone, options: None });
            }
            Command::Rtp { call, audio } => {
                let media = AgentMedia::Audio { payload: audio, rate: self.audio_form().rate };
                self.play(call.as_ref(), media, verb, ctx);
            }
            Command::Hangup { call, drain: true, .. } => {
                self.play(call.as_ref(), AgentMedia::Drain, verb, ctx)
            }
            Command::Hangup { call, .. } => self.hang_up(call.as_ref(), verb, ctx),
            Command::CallAns { call } => self.answer_or_focus(&call, verb, ctx),
            Command::RingAns { target } => {
                let ringing = self.calls.ringing_match(&target).map(|call| call.handle.id.clone());
                match ringing {
                    Some(call) => self.order(&call, CallCommand::Answer, verb, ctx),
                    None => self.no_such_call(verb, ctx),
                }
            }
            Command::Ignore { call, status, .. } => {
                let (status, reason) = status.map_or((603, None), |(status, reason)| (status, Some(reason)));
                self.order(&call, CallCommand::Decline { status, reason }, verb, ctx);
            }
            Command::Mode(mode) => self.switch_mode(mode, ctx),
            Command::Subscribe(selection) => self.subscribe(selection, false, verb, ctx),
            Command::Unsubscribe(selection) => self.subscribe(selection, true, verb, ctx),
            Command::Dtmf { call, digits, duration } => {
                let each = duration.unwrap_or(DTMF_DURATION);
                self.play(Some(&call), AgentMedia::Dtmf { digits, each }, verb, ctx);
            }
            Command::Mark { call, name } => self.play(Some(&call), AgentMedia::Mark(name), verb, ctx),
            Command::Clear { call } => self.play(Some(&call), AgentMedia::Clear, verb, ctx),
            Command::Ping(text) => self.say(&Event::Pong(text), ctx),
            Command::Play { call, file } => self.play(Some(&call), AgentMedia::Play(file), verb, ctx),
            Command::Hold { call } => {
                self.order(&call, CallCommand::Hold { client: self.id, on: true }, verb, ctx);
            }
            Command::Resume { call } => {
                self.order(&call, CallCommand::Hold { client: self.id, on: false }, verb, ctx);
            }
            Command::Transfer { call, target } if self.calls.get(&call).is_some() => {
                self.switchboard.transfer.do_send(TransferCall { client: self.id, call, target });
            }
            Command::Transfer { .. } => self.no_such_call(verb, ctx),
        }
    }

    /// Hands media to a call. A call that does not keep up loses audio, and only audio.
    fn play(
        &mut self,
        call: Option<&CallId>,
        media: AgentMedia,
        verb: &'static str,
        ctx: &mut Context<Self>,
    ) {
        let is_audio = matches!(media, AgentMedia::Audio { .. });
        let Some(call) = self.calls.meant(call, self.mode) else {
            // Audio may have been on its way when the call ended.
            if !(is_audio && self.calls.ended_lately(call, self.mode, Instant::now())) {
                self.no_such_call(verb, ctx);
            }
            return;
        };
        let order = AgentOrder { client: self.id, media };
        if !is_audio {
            return call.handle.audio.do_send(order);
        }
        if call.handle.audio.try_send(order).is_err() {
            self.refused_audio += 1;
            self.settings.metrics.drops.session_mailbox.inc();
            if self.refused_audio.is_power_of_two() {
                warn!(
                    client = self.id.0,
                    dropped = self.refused_audio,
                    "audio messages dropped: too many at once"
                );
            }
        }
    }

    fn hang_up(&mut self, named: Option<&CallId>, verb: &'static str, ctx: &mut Context<Self>) {
        let call = match named {
            Some(_) => self.calls.meant(named, self.mode),
            None => self.calls.to_hang_up(self.id, self.mode),
        };
        match call.map(|call| call.handle.id.clone()) {
            Some(call) => self.order(&call, CallCommand::Hangup, verb, ctx),
            None => self.no_such_call(verb, ctx),
        }
    }

    fn order(&mut self, call: &CallId, order: CallCommand, verb: &'static str, ctx: &mut Context<Self>) {
        match self.calls.get(call) {
            Some(known) => known.handle.commands.do_send(order),
            None => self.no_such_call(verb, ctx),
        }
    }

    fn answer_or_focus(&mut self, call: &CallId, verb: &'static str, ctx: &mut Context<Self>) {
        match self.calls.get(call) {
            None => self.no_such_call(verb, ctx),
            Some(known) if known.is_ringing_inbound() => known.handle.commands.do_send(CallCommand::Answer),
            Some(_) if self.mode == Mode::Multi => {}
            Some(_) => {
                let mut focused = false;
                self.listen_after(ctx, |calls| focused = calls.focus_on(call));
                if focused {
                    self.say(&Event::CallAns { call: call.clone() }, ctx);
                }
            }
        }
    }

    fn switch_mode(&mut self, mode: Mode, ctx: &mut Context<Self>) {
        for call in self.calls.heard(self.mode) {
            call.handle.listeners.do_send(Listen::Off(self.id));
        }
        let leaves_multi = self.mode == Mode::Multi && mode != Mode::Multi;
        self.mode = mode;
        if let Some(call) = self.calls.focus().cloned().filter(|_| leaves_multi) {
            self.say(&Event::CallAns { call }, ctx);
        }
        self.listen(None, ctx);
    }

    fn subscribe(&mut self, selection: Selection, muted: bool, verb: &'static str, ctx: &mut Context<Self>) {
        let mut known = true;
        self.listen_after(ctx, |calls| match selection {
            Selection::All => calls.mute_all(muted),
            Selection::One(call) => known = calls.mute(&call, muted),
        });
        if !known {
            self.no_such_call(verb, ctx);
        }
    }
}

const DTMF_DURATION: std::time::Duration = std::time::Duration::from_millis(160);
