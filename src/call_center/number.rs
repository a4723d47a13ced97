//! What the table of numbers says of the calls to one number: settings of its own, in place of the general ones.

use crate::{
    config::{CallCenterConfig, RealtimeConfig},
    gateway::DidConfig,
};

/// The settings of calls to the number of `did`. What the table does not say is as in general.
pub fn config_for(did: &DidConfig, general: &CallCenterConfig) -> CallCenterConfig {
    let text = |key: &str, general: &String| said(did, key).map_or_else(|| general.clone(), str::to_owned);
    let speed = said(did, "speed").and_then(speed);
    let greeting = said(did, "greeting").map(str::to_owned);
    let realtime = RealtimeConfig {
        model: text("realtime_model", &general.realtime.model),
        voice: text("realtime_voice", &general.realtime.voice),
        greeting: greeting.clone().or_else(|| general.realtime.greeting.clone()),
        ..general.realtime.clone()
    };
    CallCenterConfig {
        llm_model: text("llm_model", &general.llm_model),
        system_prompt: text("system_prompt", &general.system_prompt),
        tts_voice: text("tts_voice", &general.tts_voice),
        tts_model: text("tts_model", &general.tts_model),
        stt_model: text("stt_model", &general.stt_model),
        language: text("language", &general.language),
        greeting: greeting.clone().or_else(|| general.greeting.clone()),
        tts_speed: speed.unwrap_or(general.tts_speed),
        realtime,
        ..general.clone()
    }
}

/// Whether the call center can use what the table says of a number.
///
/// # Errors
/// What is expected instead.
pub fn check(did: &DidConfig) -> Result<(), String> {
    let keys =
        ["language", "speed", "greeting", "stt_model", "tts_model", "realtime_model", "realtime_voice"];
    let is_text = |key: &str| did.extra.get(key).is_none_or(|value| value.as_text().is_some());
    if let Some(key) = keys.into_iter().find(|key| !is_text(key)) {
        return Err(format!("{key}: expected text"));
    }
    match said(did, "speed") {
        Some(text) if speed(text).is_none() => Err(format!("speed={text}: expected 0.25 to 4.0")),
        _ => Ok(()),
    }
}

/// What the table says; an empty text says nothing.
fn said<'a>(did: &'a DidConfig, key: &str) -> Option<&'a str> {
    did.text(key).filter(|text| !text.trim().is_empty())
}

fn speed(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|speed| (0.25..=4.0).contains(speed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::DidRouter;

    const TABLE: &str = "dids:
  100:
    llm_model: m
    system_prompt: |
      Two
      lines.
    tts_voice: v
    stt_model: s
    tts_model: t
    language: en
    speed: 1.50
    greeting: Hello!
    realtime_model: rm
    realtime_voice: rv
    other: [1]
  200: {user_id: a, language: '', speed: ~}
";

    fn general() -> CallCenterConfig {
        let documented = CallCenterConfig::documented("log".into());
        CallCenterConfig { greeting: Some("General".to_owned()), ..documented }
    }

    #[test]
    fn number_has_what_the_table_says_and_the_general_rest() {
        let router = DidRouter::of_text(TABLE).expect("it can be used");
        let general = general();
        let config = |number| config_for(&router.lookup(number).expect("it is there"), &general);
        let expected = CallCenterConfig {
            llm_model: "m".to_owned(),
            system_prompt: "Two\nlines.\n".to_owned(),
            tts_voice: "v".to_owned(),
            stt_model: "s".to_owned(),
            tts_model: "t".to_owned(),
            language: "en".to_owned(),
            tts_speed: 1.5,
            greeting: Some("Hello!".to_owned()),
            realtime: RealtimeConfig {
                model: "rm".to_owned(),
                voice: "rv".to_owned(),
                greeting: Some("Hello!".to_owned()),
                ..general.realtime.clone()
            },
            ..general.clone()
        };
        assert_eq!(config("100"), expected);
        assert!(config("100").realtime.address().ends_with("model=rm"));
        // What the gateway assumes where nothing is said (llama3.2:7b and so on) is not said.
        assert_eq!(config("200"), general);
    }

    #[test]
    fn values_that_cannot_be_used_are_found() {
        let check_of = |text: &str| {
            let router = DidRouter::of_text(&format!("dids: {{100: {{{text}}}}}")).expect("it can be read");
            check(&router.lookup("100").expect("it is there"))
        };
        for fine in ["speed: 0.25", "speed: 4", "speed: ''", "language: auto", "other: [1]", ""] {
            assert_eq!(check_of(fine), Ok(()), "{fine}");
        }
        for wrong in ["fast", "0.24", "4.01", "nan"] {
            let expected = format!("speed={wrong}: expected 0.25 to 4.0");
            assert_eq!(check_of(&format!("speed: {wrong}")), Err(expected));
        }
        assert_eq!(check_of("greeting: [a]"), Err("greeting: expected text".to_owned()));
        assert_eq!(check_of("speed: ~"), Err("speed: expected text".to_owned()));
    }
}
