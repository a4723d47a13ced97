//! `OpenAiLlm` asks `/chat/completions`.
//!
//! A whole reply goes through `openai-api-rs`. Its client makes a connection for every request and cuts characters of a
//! streamed reply in two, so a reply in pieces goes over the kept connections of [`Api`], with the same request types.

use openai_api_rs::v1::{
    api::OpenAIClient,
    chat_completion::{
        self, ChatCompletionMessage, Content, MessageRole, ToolType, chat_completion::ChatCompletionRequest,
    },
    error::APIError,
    types::{Function, FunctionParameters, JSONSchemaDefine, JSONSchemaType},
};
use reqwest::StatusCode;
use serde_json::Value;

use super::{
    Api, ChatMessage, DEFAULT_BASE_URL, Reply, Role, SpeechError, Tool, ToolCall, Work,
    api::is_worth_another, sse::Events,
};

/// A chat model of OpenAI, or of a server that speaks like it.
#[derive(Debug, Clone)]
pub struct OpenAiLlm {
    api: Api,
    model: String,
}

impl OpenAiLlm {
    /// With the model `gpt-4o-mini` of OpenAI itself.
    ///
    /// # Errors
    /// [`SpeechError::EmptyKey`].
    pub fn new(api_key: &str) -> Result<Self, SpeechError> {
        Ok(Self::with_api(Api::new(api_key, DEFAULT_BASE_URL)?))
    }

    /// With the model `gpt-4o-mini` of another service.
    pub fn with_api(api: Api) -> Self {
        Self { api, model: "gpt-4o-mini".to_owned() }
    }

    /// With another model.
    pub fn with_model(self, model: &str) -> Self {
        Self { model: model.to_owned(), ..self }
    }

    /// The reply to one message. `system_prompt`: `None` for [`Self::SYSTEM_PROMPT`].
    ///
    /// # Errors
    /// [`SpeechError::EmptyMessage`] before anything is sent, [`SpeechError::NoContent`] where the model says nothing; else
    /// whatever the service does.
    pub async fn chat(&self, message: &str, system_prompt: Option<&str>) -> Result<String, SpeechError> {
        let system = system_prompt.unwrap_or(Self::SYSTEM_PROMPT).to_owned();
        self.reply(&[
            ChatMessage { role: Role::System, text: system },
            ChatMessage { role: Role::User, text: message.to_owned() },
        ])
        .await
    }

    /// What the model is told unless something else is wanted.
    pub const SYSTEM_PROMPT: &str = "use one sentence to summarize";

    fn request(&self, messages: &[ChatMessage]) -> Result<ChatCompletionRequest, SpeechError> {
        let last = messages.last().filter(|last| last.role == Role::User);
        if last.is_some_and(|last| last.text.trim().is_empty()) {
            return Err(SpeechError::EmptyMessage);
        }
        Ok(ChatCompletionRequest::new(self.model.clone(), messages.iter().map(message).collect()))
    }

    async fn whole(&self, request: ChatCompletionRequest) -> Result<String, SpeechError> {
        let client = OpenAIClient::builder()
            .with_endpoint(self.api.base())
            .with_api_key(self.api.key().expose())
            .with_timeout(self.api.timeout().as_secs().max(1))
            .build()
            .map_err(|error| SpeechError::Connection(error.to_string()))?;
        let mut done = 0;
        loop {
            done += 1;
            let error = match client.chat_completion(request.clone()).await {
                Ok(answer) => {
                    let choice = answer.inner.choices.into_iter().next();
                    let content = choice.and_then(|choice| choice.message.content);
                    return content.filter(|text| !text.trim().is_empty()).ok_or(SpeechError::NoContent);
                }
                Err(APIError::ReqwestError(error)) => self.api.connection(&error),
                Err(APIError::CustomError { message }) => self.refused(&message),
            };
            let again = match &error {
                SpeechError::Refused { status, .. } => {
                    StatusCode::from_u16(*status).is_ok_and(is_worth_another)
                }
                SpeechError::Connection(_) => true,
                _ => false,
            };
            // This client does not say for how long the service wants to be left alone.
            match self.api.retries().pause_after(done, None).filter(|_| again) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(error),
            }
        }
    }

    /// The client's text is "{status} {phrase}: {body}", or what it could not read.
    fn refused(&self, message: &str) -> SpeechError {
        let status = message.get(..3).and_then(|digits| digits.parse().ok());
        match (status, message.split_once(": ")) {
            (Some(status), Some((_, body))) => SpeechError::Refused { status, message: self.api.said(body) },
            _ => SpeechError::Answer(self.api.said(message)),
        }
    }
}

impl Reply for OpenAiLlm {
    fn reply<'a>(&'a self, messages: &'a [ChatMessage]) -> Work<'a, String> {
        Box::pin(async move { self.whole(self.request(messages)?).await })
    }

    fn reply_in_pieces<'a>(
        &'a self,
        messages: &'a [ChatMessage],
        tools: &'a [Tool],
        piece: &'a (dyn Fn(&str) + Sync),
    ) -> Work<'a, Vec<ToolCall>> {
        Box::pin(async move {
            let mut request = self.request(messages)?;
            if !tools.is_empty() {
                request.tools = Some(tools.iter().map(tool).collect());
            }
            let unreadable = |error: serde_json::Error| SpeechError::Answer(error.to_string());
            let mut body = serde_json::to_value(&request).map_err(unreadable)?;
            body["stream"] = Value::Bool(true);
            let mut response = self.api.post("/chat/completions", |r| Ok(r.json(&body))).await?;
            let mut events = Events::default();
            let mut pieces = Pieces::default();
            while let Some(chunk) = self.api.piece(&mut response).await? {
                if !events.take(&chunk, |data| pieces.take(data, piece)) {
                    return Err(SpeechError::Answer("a line without end".to_owned()));
                }
            }
            match (pieces.said, pieces.calls.is_empty()) {
                (false, true) => Err(SpeechError::NoContent),
                _ if !pieces.done => Err(SpeechError::Connection("the reply broke off".to_owned())),
                _ => Ok(pieces.calls.into_iter().map(PartialCall::finish).collect()),
            }
        })
    }
}

/// What has come of a streamed reply.
#[derive(Default)]
struct Pieces {
    said: bool,
    done: bool,
    calls: Vec<PartialCall>,
}

#[derive(Default)]
struct PartialCall {
    name: String,
    arguments: String,
}

impl Pieces {
    /// Takes the data of one event. What is no chunk of a completion is left out.
    fn take(&mut self, data: &str, piece: &(dyn Fn(&str) + Sync)) {
        if data == "[DONE]" {
            self.done = true;
            return;
        }
        let chunk: Value = serde_json::from_str(data).unwrap_or_default();
        let choice = &chunk["choices"][0];
        // Not every server ends with [DONE].
        self.done |= choice["finish_reason"].is_string();
        if let Some(text) = choice["delta"]["content"].as_str().filter(|text| !text.is_empty()) {
            self.said = true;
            piece(text);
        }
        for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let index = call["index"].as_u64().unwrap_or(0) as usize;
            if index >= MOST_CALLS {
                continue;
            }
            while self.calls.len() <= index {
                self.calls.push(PartialCall::default());
            }
            let partial = &mut self.calls[index];
            partial.name.push_str(call["function"]["name"].as_str().unwrap_or_default());
            partial.arguments.push_str(call["function"]["arguments"].as_str().unwrap_or_default());
        }
    }
}

impl PartialCall {
    /// The tools have one argument at most.
    fn finish(self) -> ToolCall {
        let arguments: Value = serde_json::from_str(&self.arguments).unwrap_or_default();
        let first = arguments.as_object().and_then(|object| object.values().next());
        let argument = match first {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        ToolCall { name: self.name, argument }
    }
}

fn message(message: &ChatMessage) -> ChatCompletionMessage {
    let role = match message.role {
        Role::System => MessageRole::system,
        Role::User => MessageRole::user,
        Role::Assistant => MessageRole::assistant,
    };
    let content = Content::Text(message.text.clone());
    ChatCompletionMessage { role, content, name: None, tool_calls: None, tool_call_id: None }
}

fn tool(tool: &Tool) -> chat_completion::Tool {
    let define = |description: &str| {
        Box::new(JSONSchemaDefine {
            schema_type: Some(JSONSchemaType::String),
            description: Some(description.to_owned()),
            ..JSONSchemaDefine::default()
        })
    };
    let properties = tool.argument.iter().map(|(name, what)| ((*name).to_owned(), define(what))).collect();
    let required = tool.argument.iter().map(|(name, _)| (*name).to_owned()).collect();
    chat_completion::Tool {
        r#type: ToolType::Function,
        function: Function {
            name: tool.name.to_owned(),
            description: Some(tool.description.to_owned()),
            parameters: FunctionParameters {
                schema_type: JSONSchemaType::Object,
                properties: Some(properties),
                required: Some(required),
            },
        },
    }
}

/// Tools that one reply may call.
const MOST_CALLS: usize = 8;
