//! The speech services as a program uses them: `OpenAiStt`, `OpenAiLlm`, `OpenAiTts`, `VoicePipeline`.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::scene;
use common::temp::TempDir;
use sip_relay::call_center::speech::{
    Api, ChatMessage, OpenAiLlm, OpenAiStt, OpenAiTts, Reply as _, Retries, Role, SpeechError, Synthesize,
    ToolCall, VoicePipeline,
};
use testkit::openai::{Ending, Reply, Server, Stage};
use testkit::tone;

#[actix::test]
async fn wrong_arguments_are_refused_with_the_documented_texts_before_anything_is_sent() {
    let server = Server::start();
    let empty = "API key cannot be empty";
    assert_eq!(OpenAiStt::new("").unwrap_err().to_string(), empty);
    assert_eq!(OpenAiLlm::new("").unwrap_err().to_string(), empty);
    assert_eq!(OpenAiTts::new("").unwrap_err().to_string(), empty);

    let missing = stt(&server).transcribe(Path::new("/no/such.wav"), "zh").await.unwrap_err();
    assert_eq!(missing.to_string(), "Audio file not found: /no/such.wav");
    let tts = tts(&server);
    for text in ["", " \n"] {
        let error = tts.speak(text, None, None, None).await.unwrap_err();
        assert_eq!(error.to_string(), "Text cannot be empty");
    }
    for speed in [0.24, 4.01, f64::NAN] {
        let error = tts.speak("hi", None, None, Some(speed)).await.unwrap_err();
        assert_eq!(error.to_string(), "Speed must be between 0.25 and 4.0");
    }
    assert_eq!(llm(&server).chat("", None).await.unwrap_err().to_string(), "Message cannot be empty");
    assert_eq!(server.requests().len(), 0);

    server.next(Stage::Chat, Reply::chat(""));
    assert_eq!(llm(&server).chat("hi", None).await.unwrap_err().to_string(), "OpenAI Error");
}

#[actix::test]
async fn pipeline_hears_replies_and_speaks_from_file_to_file() {
    let (server, dir) = (Server::start(), TempDir::new("pipeline"));
    let input = dir.write("in.wav", scene::wav(8000, 1, &tone::tone(300.0, 8000, 200)));
    let output = dir.path().join("out.wav");
    let pipeline = VoicePipeline::new(stt(&server), llm(&server), tts(&server));
    let turn = pipeline.process(&input, &output, None).await.unwrap();
    assert_eq!((turn.text.as_str(), turn.reply.as_str()), ("hello", "Good day."));
    assert_eq!(std::fs::read(&output).unwrap(), turn.audio);
    assert_eq!(server.requests()[0].field("language").as_deref(), Some("zh"));
    assert!(server.requests()[1].json.contains(OpenAiLlm::SYSTEM_PROMPT));

    server.next(Stage::Transcription, Reply::transcript(" "));
    let turn = pipeline.process(&input, &dir.path().join("none.wav"), Some("en")).await.unwrap();
    assert!(turn.reply.is_empty() && turn.audio.is_empty() && !dir.path().join("none.wav").exists());
}

#[actix::test]
async fn voice_and_speed_of_a_call_win_over_those_of_the_service() {
    let server = Server::start();
    let tts = tts(&server).with_voice("nova", 1.5);
    for (voice, speed, expected) in
        [(None, None, ("nova", "1.5")), (Some("echo"), Some(0.25), ("echo", "0.25"))]
    {
        tts.speak("hi", None, voice, speed).await.unwrap();
        let request = server.requests().pop().unwrap();
        let (voice, speed) = (request.field("voice").unwrap(), request.field("speed").unwrap());
        assert_eq!((voice.as_str(), speed.as_str()), expected);
    }
}

#[actix::test]
async fn streamed_reply_comes_in_pieces_with_its_tools() {
    let server = Server::start();
    server.next(Stage::Chat, Reply::tool("你好 café.", "transfer", r#"{"target": "09\"12"}"#));
    let pieces = Mutex::new(Vec::new());
    let piece = |text: &str| pieces.lock().unwrap().push(text.to_owned());
    let calls = llm(&server).reply_in_pieces(&[user("hi")], &[], &piece).await.unwrap();
    assert_eq!(*pieces.lock().unwrap(), ["你好 ", "café."]);
    assert_eq!(calls, [ToolCall { name: "transfer".into(), argument: "09\"12".into() }]);
}

#[actix::test]
async fn streamed_reply_that_breaks_off_is_an_error() {
    let server = Server::start();
    for after in [0, 200] {
        server.next(Stage::Chat, Reply::chat("One two three.").ending(Ending::Drop { after }));
        let outcome = llm(&server).reply_in_pieces(&[user("hi")], &[], &|_| {}).await;
        assert!(matches!(outcome, Err(SpeechError::Connection(_))), "{outcome:?}");
    }
    server.next(Stage::Chat, Reply::bytes("text/event-stream", "data: {\ndata: x\n\ndata: [DONE]\n\n"));
    let outcome = llm(&server).reply_in_pieces(&[user("hi")], &[], &|_| {}).await;
    assert!(matches!(outcome, Err(SpeechError::NoContent)), "{outcome:?}");
}

#[actix::test]
async fn speech_is_given_as_it_comes_whatever_the_chunks() {
    let server = Server::start();
    let spoken = tone::tone(440.0, 24_000, 600);
    // Odd chunks cut samples in two.
    server.next(Stage::Speech, Reply::pcm(&spoken).chunks(4801, Duration::from_millis(60)));
    let start = Instant::now();
    let pieces = Mutex::new(Vec::new());
    let piece = |pcm: Vec<i16>| pieces.lock().unwrap().push((start.elapsed(), pcm));
    tts(&server).synthesize_in_pieces("hi", &piece).await.unwrap();
    let pieces = pieces.into_inner().unwrap();
    assert!(pieces[0].0 + Duration::from_millis(200) < start.elapsed(), "{:?}", pieces[0].0);
    let pcm: Vec<i16> = pieces.into_iter().flat_map(|(_, pcm)| pcm).collect();
    assert!((4800..4900).contains(&pcm.len()), "{}", pcm.len());
    assert!(tone::is_tone(&pcm[200..4700], 8000, 440.0, 1.0));

    // A server that sends a file, whatever it was asked for.
    server.next(Stage::Speech, Reply::wav(16_000, &tone::tone(440.0, 16_000, 500)));
    let pcm = Mutex::new(Vec::new());
    let piece = |piece: Vec<i16>| pcm.lock().unwrap().extend(piece);
    tts(&server).synthesize_in_pieces("hi", &piece).await.unwrap();
    assert_eq!(pcm.into_inner().unwrap().len(), 4000);
}

#[actix::test]
async fn connections_are_kept_except_for_whole_replies() {
    let server = Server::start();
    let api = api(&server);
    let (llm, tts) = (OpenAiLlm::with_api(api.clone()), OpenAiTts::with_api(api));
    for _ in 0..5 {
        llm.reply_in_pieces(&[user("hi")], &[], &|_| {}).await.unwrap();
        tts.synthesize("hi").await.unwrap();
    }
    assert_eq!(server.connections(), 1);
    llm.reply(&[user("hi")]).await.unwrap();
    assert_eq!(server.connections(), 2);
}

#[actix::test]
async fn retries_end_and_the_key_is_never_in_an_error() {
    let server = Server::start();
    server.always(Stage::Chat, Reply::error(500, "key sk-test is broken"));
    let retries = Retries { attempts: 2, pause: Duration::from_millis(20), longest: Duration::from_secs(1) };
    let llm = OpenAiLlm::with_api(api(&server).with_retries(retries));
    let error = llm.chat("hi", None).await.unwrap_err();
    assert_eq!(error.to_string(), "500 key *** is broken");
    assert_eq!(server.requests().len(), 2);
    let error = llm.reply_in_pieces(&[user("hi")], &[], &|_| {}).await.unwrap_err();
    assert_eq!(error.to_string(), "500 key *** is broken");
    assert_eq!(server.requests().len(), 4);
    // An hour is too long for somebody on the telephone.
    server.always(Stage::Chat, Reply::error(429, "later").header("Retry-After", "3600"));
    let error = llm.reply_in_pieces(&[user("hi")], &[], &|_| {}).await.unwrap_err();
    assert_eq!((error.to_string().as_str(), server.requests().len()), ("429 later", 5));
}

fn api(server: &Server) -> Api {
    // The program does so at its start.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Api::new("sk-test", &server.base_url()).unwrap()
}

fn stt(server: &Server) -> OpenAiStt {
    OpenAiStt::with_api(api(server))
}

fn llm(server: &Server) -> OpenAiLlm {
    OpenAiLlm::with_api(api(server))
}

fn tts(server: &Server) -> OpenAiTts {
    OpenAiTts::with_api(api(server))
}

fn user(text: &str) -> ChatMessage {
    ChatMessage { role: Role::User, text: text.to_owned() }
}
