//! `Desk` knows who talks in a call and who does the work: it makes agents, and runs their jobs as tasks.

use std::{fmt, panic::AssertUnwindSafe, path::PathBuf, rc::Rc, sync::Arc, time::Instant};

use actix::{Actor, Recipient};
use futures_util::FutureExt;
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
    metrics::CallCenterMetrics,
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
    Services {
        config: Box<CallCenterConfig>,
        recording: Arc<[i16]>,
        api: Api,
        services: Arc<Services>,
        realtime: LinkSettings,
    },
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
    /// Where failures are counted.
    pub metrics: Arc<CallCenterMetrics>,
}

impl Desk {
    /// Agents that need no services.
    pub fn without_services(agent: AgentKind) -> Self {
        Self { staff: Staff::Simple(agent), numbers: None }
    }

    /// Agents with the services that the configuration names. `recording`: the apology when there is no voice, at 8 kHz.
    ///
    /// # Errors
    /// [`SpeechError`] when the key cannot be used.
    pub fn with_services(
        key: &str,
        loaded: &LoadedCallCenter,
        recording: Arc<[i16]>,
        metrics: Arc<CallCenterMetrics>,
    ) -> Result<Self, SpeechError> {
        let config = &loaded.config;
        let api = Api::new(key, &config.services.stt)?.with_timeout(config.service_timeout);
        let output_dir = loaded.output_dir.clone();
        Ok(Self::with_api(api, Secret::new(key), config.clone(), recording, output_dir, metrics))
    }

    fn with_api(
        api: Api,
        key: Secret,
        config: CallCenterConfig,
        recording: Arc<[i16]>,
        output_dir: PathBuf,
        metrics: Arc<CallCenterMetrics>,
    ) -> Self {
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
            metrics,
        });
        let realtime = LinkSettings { url: config.realtime.address(), key };
        let staff = Staff::Services { config: Box::new(config), recording, api, services, realtime };
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
            (Staff::Services { config, recording, api, services, realtime }, Some(did)) => {
                let config = number::config_for(&did, config);
                let (key, output_dir) = (realtime.key.clone(), services.output_dir.clone());
                let (recording, metrics) = (recording.clone(), services.metrics.clone());
                Rc::new(Self::with_api(api.clone(), key, config, recording, output_dir, metrics))
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
            Staff::Services { config, recording, .. } if multi && config.mode == ConversationMode::Turns => {
                let now = Instant::now();
                let mut conversation = Conversation::new(call, rules(config, recording.clone()), now);
                if let Some(greeting) = &config.greeting {
                    conversation.greet(now, greeting);
                }
                Box::new(conversation)
            }
            Staff::Services { config, recording, .. }
                if multi && config.mode == ConversationMode::Realtime =>
            {
                let rules = rules(config, recording.clone());
                Box::new(RealtimeAgent::new(call, rules, plan(config), Instant::now()))
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
            // Whoever waits for a job must hear of its end, however that comes about.
            match AssertUnwindSafe(services.carry_out(job, &report)).catch_unwind().await {
                Ok(Ok(())) => {}
                Ok(Err(failure)) => {
                    services.metrics.failed(failure.service.name(), failure.error.kind());
                    report(News::Failed(failure.to_string()));
                }
                Err(_) => report(News::Failed("a job ended before its time".to_owned())),
            }
        };
        tokio::task::spawn_local(task).abort_handle()
    }
}

/// Which service it was that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Speech to text.
    Transcription,
    /// The chat model.
    Chat,
    /// Text to speech.
    Speech,
}

impl Service {
    /// As metrics call it.
    pub fn name(self) -> &'static str {
        match self {
            Service::Transcription => "transcription",
            Service::Chat => "chat",
            Service::Speech => "speech",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Service::Transcription => "speech to text",
            Service::Chat => "chat",
            Service::Speech => "text to speech",
        })
    }
}

/// Why nothing came of a job.
#[derive(Debug, thiserror::Error)]
#[error("{service}: {error}")]
pub struct JobError {
    /// Where it failed.
    pub service: Service,
    /// How.
    pub error: SpeechError,
}

impl Services {
    /// Does a job and reports what comes of it.
    async fn carry_out(&self, job: Job, report: &JobReport) -> Result<(), JobError> {
        let at = |service: Service| move |error: SpeechError| JobError { service, error };
        match job {
            Job::RoundTrip { pcm } => {
                let answer = round_trip::run(self, pcm).await?;
                report(News::Answer(answer));
            }
            Job::Transcribe { pcm } => {
                let transcribing = at(Service::Transcription);
                let wav = round_trip::wav(&pcm).map_err(transcribing)?;
                let text = self.stt.transcribe_wav(wav, &self.language).await.map_err(transcribing)?;
                report(News::Transcript(text));
            }
            Job::Reply { messages, tools } => {
                let piece = |text: &str| report(News::Piece(text.to_owned()));
                let calls = self.llm.reply_in_pieces(&messages, &tools, &piece).await;
                report(News::ReplyEnd(calls.map_err(at(Service::Chat))?));
            }
            Job::Speak { text } => {
                let piece = |pcm| report(News::Audio(pcm));
                self.tts.synthesize_in_pieces(&text, &piece).await.map_err(at(Service::Speech))?;
                report(News::SpeechEnd);
            }
        }
        Ok(())
    }
}

/// What the configuration says of taking turns; what it leaves open is said in the callers' language, where we have it.
fn rules(config: &CallCenterConfig, recording: Arc<[i16]>) -> Rules {
    let chinese = config.language == "zh";
    let text = |given: &Option<String>, zh: &str, en: &str| {
        given.clone().unwrap_or_else(|| if chinese { zh } else { en }.to_owned())
    };
    let tools = TOOLS.into_iter().filter(|tool| config.tools.iter().any(|name| name == tool.name));
    Rules {
        system_prompt: config.system_prompt.clone(),
        tools: tools.collect(),
        end_of_turn: config.end_of_turn,
        patience: config.silence,
        prompt: text(&config.silence_prompt, "请问您还在吗？", "Are you still there?"),
        farewell: text(&config.farewell, "谢谢来电，再见。", "Thank you for calling. Goodbye."),
        apology: text(
            &config.apology,
            "抱歉，我现在无法回答，请稍后再说一次。",
            "I am sorry, I cannot answer right now. Please say that again in a moment.",
        ),
        recording,
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
