//! `Desk` knows who talks in a call and who does the work: it makes agents, and runs their jobs as tasks.

use std::{sync::Arc, time::Instant};

use actix::{Actor, Recipient};
use model::id::CallId;
use tokio::task::AbortHandle;

use super::{
    agent::{Agent, Echo, Job, News, Parrot},
    buffered::Buffered,
    conversation::{Conversation, Rules, TOOLS},
    message::{LinkOrder, LinkReport},
    realtime::{
        Plan, RealtimeAgent, SessionConfig,
        link::{LinkOwner, LinkSettings, RealtimeLink},
    },
    round_trip,
    speech::{Api, OpenAiLlm, OpenAiStt, OpenAiTts, Reply, SpeechError, Synthesize, Transcribe},
};
use crate::{
    config::{AgentKind, CallCenterConfig, ConversationMode, LoadedCallCenter, Secret},
    relay::random_u64,
};

/// Takes what comes of a job.
pub type JobReport = Box<dyn Fn(News) + Send + Sync>;

/// See above.
pub struct Desk {
    staff: Staff,
}

enum Staff {
    Simple(AgentKind),
    Services { config: Box<CallCenterConfig>, services: Arc<Services>, realtime: LinkSettings },
}

/// The services, and the folder for their files.
pub struct Services {
    /// Speech to text.
    pub stt: Box<dyn Transcribe>,
    /// Chat.
    pub llm: Box<dyn Reply>,
    /// Text to speech.
    pub tts: Box<dyn Synthesize>,
    /// What the callers speak.
    pub language: String,
    /// What the chat model is told first.
    pub system_prompt: String,
    /// Where `convented` and `response` are.
    pub output_dir: std::path::PathBuf,
}

impl Desk {
    /// Agents that need no services.
    pub fn without_services(agent: AgentKind) -> Self {
        Self { staff: Staff::Simple(agent) }
    }

    /// Agents with the services that the configuration names.
    ///
    /// # Errors
    /// [`SpeechError`] when the key cannot be used.
    pub fn with_services(key: &str, loaded: &LoadedCallCenter) -> Result<Self, SpeechError> {
        let config = loaded.config.clone();
        let api = Api::new(key, &config.services.stt)?;
        let stt = OpenAiStt::with_api(api.clone()).with_model(&config.stt_model);
        let llm = OpenAiLlm::with_api(api.at(&config.services.llm)).with_model(&config.llm_model);
        let tts = OpenAiTts::with_api(api.at(&config.services.tts))
            .with_model(&config.tts_model)
            .with_voice(&config.tts_voice, config.tts_speed);
        let services = Arc::new(Services {
            stt: Box::new(stt),
            llm: Box::new(llm),
            tts: Box::new(tts),
            language: config.language.clone(),
            system_prompt: config.system_prompt.clone(),
            output_dir: loaded.output_dir.clone(),
        });
        let realtime = LinkSettings { url: config.realtime.address(), key: Secret::new(key) };
        Ok(Self { staff: Staff::Services { config: Box::new(config), services, realtime } })
    }

    /// Who talks in a call. `multi`: the relay has the words of multi mode, which taking turns needs.
    pub fn agent(&self, call: &CallId, multi: bool) -> Box<dyn Agent> {
        let call = call.clone();
        match &self.staff {
            Staff::Simple(AgentKind::Echo) => Box::new(Echo::new(call)),
            Staff::Simple(AgentKind::Parrot) => Box::new(Parrot::new(call)),
            Staff::Services { config, .. } if multi && config.mode == ConversationMode::Turns => {
                Box::new(Conversation::new(call, rules(config), Instant::now()))
            }
            Staff::Services { config, .. } if multi && config.mode == ConversationMode::Realtime => {
                Box::new(RealtimeAgent::new(call, rules(config), plan(config), Instant::now()))
            }
            Staff::Services { config, .. } => Box::new(Buffered::new(call, config.buffer_size, config.vad)),
        }
    }

    /// Opens a connection to the Realtime API on this thread; none where there are no services.
    pub fn open_link(&self, owner: LinkOwner, to: Recipient<LinkReport>) -> Option<Recipient<LinkOrder>> {
        match &self.staff {
            Staff::Simple(_) => None,
            Staff::Services { realtime, .. } => {
                Some(RealtimeLink::new(realtime.clone(), owner, to).start().recipient())
            }
        }
    }

    /// Begins a job on this thread's runtime.
    pub fn start(&self, job: Job, report: JobReport) -> AbortHandle {
        let services = match &self.staff {
            Staff::Simple(_) => None,
            Staff::Services { services, .. } => Some(services.clone()),
        };
        let task = async move {
            let Some(services) = services else {
                return report(News::Failed("there are no services".to_owned()));
            };
            if let Err(why) = services.carry_out(job, &report).await {
                report(News::Failed(why));
            }
        };
        tokio::task::spawn_local(task).abort_handle()
    }
}

impl Services {
    /// Does a job and reports what comes of it. The error is for the log.
    async fn carry_out(&self, job: Job, report: &JobReport) -> Result<(), String> {
        let at = |stage: &'static str| move |error: SpeechError| format!("{stage}: {error}");
        match job {
            Job::RoundTrip { pcm } => {
                let answer = round_trip::run(self, pcm).await.map_err(|error| error.to_string())?;
                report(News::Answer(answer));
            }
            Job::Transcribe { pcm } => {
                let wav = round_trip::wav(&pcm).map_err(at("recording"))?;
                let text =
                    self.stt.transcribe_wav(wav, &self.language).await.map_err(at("speech to text"))?;
                report(News::Transcript(text));
            }
            Job::Reply { messages, tools } => {
                let piece = |text: &str| report(News::Piece(text.to_owned()));
                let calls = self.llm.reply_in_pieces(&messages, &tools, &piece).await.map_err(at("chat"))?;
                report(News::ReplyEnd(calls));
            }
            Job::Speak { text } => {
                let piece = |pcm| report(News::Audio(pcm));
                self.tts.synthesize_in_pieces(&text, &piece).await.map_err(at("text to speech"))?;
                report(News::SpeechEnd);
            }
        }
        Ok(())
    }
}

/// What the configuration says of taking turns; what it leaves open is said in the callers' language, where we have it.
fn rules(config: &CallCenterConfig) -> Rules {
    let chinese = config.language == "zh";
    let text = |given: &Option<String>, zh: &str, en: &str| {
        given.clone().unwrap_or_else(|| if chinese { zh } else { en }.to_owned())
    };
    let tools = TOOLS.into_iter().filter(|tool| config.tools.iter().any(|name| name == tool.name));
    Rules {
        system_prompt: config.system_prompt.clone(),
        tools: tools.collect(),
        patience: config.silence,
        prompt: text(&config.silence_prompt, "请问您还在吗？", "Are you still there?"),
        farewell: text(&config.farewell, "谢谢来电，再见。", "Thank you for calling. Goodbye."),
        apology: text(
            &config.apology,
            "抱歉，我现在无法回答，请稍后再说一次。",
            "I am sorry, I cannot answer right now. Please say that again in a moment.",
        ),
    }
}

/// What the configuration says of talking by the Realtime API.
fn plan(config: &CallCenterConfig) -> Plan {
    let realtime = &config.realtime;
    let tools = TOOLS.into_iter().filter(|tool| config.tools.iter().any(|name| name == tool.name));
    Plan {
        session: SessionConfig {
            instructions: config.system_prompt.clone(),
            tools: tools.collect(),
            codec: realtime.codec,
            turn_detection: realtime.turn_detection,
            transcription: (config.stt_model.clone(), config.language.clone()),
            noise_reduction: realtime.noise_reduction,
            voice: realtime.voice.clone(),
            speed: config.tts_speed.min(FASTEST),
        },
        greeting: realtime.greeting.clone(),
        lifetime: realtime.roll_over,
        lost_action: realtime.lost_action,
        seed: random_u64(),
    }
}

/// The Realtime API speaks no faster.
const FASTEST: f64 = 1.5;
