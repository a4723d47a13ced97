//! `Desk` knows who talks in a call and who does the work: it makes agents, and runs their jobs as tasks.

use std::{path::PathBuf, rc::Rc, sync::Arc, time::Instant};

use actix::{Actor, Recipient};
use model::id::CallId;
use tokio::task::AbortHandle;

use super::{
    agent::{Agent, Echo, Job, News, Parrot},
    buffered::Buffered,
    conversation::{Conversation, Rules, TOOLS},
    message::{LinkOrder, LinkReport},
    number,
    realtime::{
        Plan, RealtimeAgent, SessionConfig,
        link::{LinkOwner, LinkSettings, RealtimeLink},
    },
    round_trip,
    speech::{Api, OpenAiLlm, OpenAiStt, OpenAiTts, Reply, SpeechError, Synthesize, Transcribe},
};
use crate::{
    config::{AgentKind, CallCenterConfig, ConversationMode, LoadedCallCenter, Secret},
    gateway::DidRouter,
    relay::random_u64,
};

/// Takes what comes of a job.
pub type JobReport = Box<dyn Fn(News) + Send + Sync>;

/// See above.
pub struct Desk {
    staff: Staff,
    numbers: Option<DidRouter>,
}

enum Staff {
    Simple(AgentKind),
    Services { config: Box<CallCenterConfig>, api: Api, services: Arc<Services>, realtime: LinkSettings },
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
    pub output_dir: PathBuf,
}

impl Desk {
    /// Agents that need no services.
    pub fn without_services(agent: AgentKind) -> Self {
        Self { staff: Staff::Simple(agent), numbers: None }
    }

    /// Agents with the services that the configuration names.
    ///
    /// # Errors
    /// [`SpeechError`] when the key cannot be used.
    pub fn with_services(key: &str, loaded: &LoadedCallCenter) -> Result<Self, SpeechError> {
        let api = Api::new(key, &loaded.config.services.stt)?;
        Ok(Self::with_api(api, Secret::new(key), loaded.config.clone(), loaded.output_dir.clone()))
    }

    fn with_api(api: Api, key: Secret, config: CallCenterConfig, output_dir: PathBuf) -> Self {
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
            output_dir,
        });
        let realtime = LinkSettings { url: config.realtime.address(), key };
        let staff = Staff::Services { config: Box::new(config), api, services, realtime };
        Self { staff, numbers: None }
    }

    /// With a table that has settings of their own for calls to some numbers.
    pub fn with_numbers(self, numbers: Option<DidRouter>) -> Self {
        Self { numbers, ..self }
    }

    /// The desk for calls to this number: this one, unless the table has settings for it. Both share their connections.
    pub fn for_number(self: &Rc<Self>, called: Option<&str>) -> Rc<Self> {
        let did = called.and_then(|number| self.numbers.as_ref()?.lookup(number));
        match (&self.staff, did) {
            (Staff::Services { config, api, services, realtime }, Some(did)) => {
                let config = number::config_for(&did, config);
                let (key, output_dir) = (realtime.key.clone(), services.output_dir.clone());
                Rc::new(Self::with_api(api.clone(), key, config, output_dir))
            }
            _ => self.clone(),
        }
    }

    /// Who talks in a call. `multi`: the relay has the words of multi mode, which taking turns needs.
    pub fn agent(&self, call: &CallId, multi: bool) -> Box<dyn Agent> {
        let call = call.clone();
        match &self.staff {
            Staff::Simple(AgentKind::Echo) => Box::new(Echo::new(call)),
            Staff::Simple(AgentKind::Parrot) => Box::new(Parrot::new(call)),
            Staff::Services { config, .. } if multi && config.mode == ConversationMode::Turns => {
                let now = Instant::now();
                let mut conversation = Conversation::new(call, rules(config), now);
                if let Some(greeting) = &config.greeting {
                    conversation.greet(now, greeting);
                }
                Box::new(conversation)
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
