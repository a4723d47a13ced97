//! The one request of Twilio's REST API that bots hang up with: `Status=completed` of their call.
//!
//! In: `POST /2010-04-01/Accounts/{account}/Calls/{call}.json` with the account and its token. Out: the end of the call. It is
//! there where a token is set; without one nobody could be told from anybody.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use actix::Recipient;
use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::{self, ServiceConfig},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;
use tracing::info;

use super::super::message::CallCommand;
use crate::config::Secret;

/// The calls that bots have been told of, by the names that they were told. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct BotCalls(Arc<Mutex<HashMap<String, Recipient<CallCommand>>>>);

/// A call in [`BotCalls`] until this is dropped.
#[derive(Debug)]
pub struct Listed {
    calls: BotCalls,
    call_sid: String,
}

impl BotCalls {
    /// Lists a call.
    pub fn list(&self, call_sid: &str, commands: Recipient<CallCommand>) -> Listed {
        self.with(|calls| calls.insert(call_sid.to_owned(), commands));
        Listed { calls: self.clone(), call_sid: call_sid.to_owned() }
    }

    fn with<T>(&self, change: impl FnOnce(&mut HashMap<String, Recipient<CallCommand>>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.calls.with(|calls| calls.remove(&self.call_sid));
    }
}

/// The route, for each worker of an HTTP server.
#[derive(Debug, Clone)]
pub struct RestApi {
    /// What may be ended.
    pub calls: BotCalls,
    /// Whose they are.
    pub account_sid: String,
    /// What is asked for.
    pub auth_token: Secret,
}

impl RestApi {
    /// Adds the route to an application.
    pub fn configure(&self, app: &mut ServiceConfig) {
        let call = web::resource("/2010-04-01/Accounts/{account}/Calls/{call}.json");
        app.service(call.app_data(web::Data::new(self.clone())).route(web::post().to(update)));
    }

    fn knows(&self, request: &HttpRequest) -> bool {
        let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let credentials = header
            .and_then(|value| STANDARD.decode(value.strip_prefix("Basic ")?.trim()).ok())
            .and_then(|bytes| String::from_utf8(bytes).ok());
        credentials.as_deref().and_then(|text| text.split_once(':')).is_some_and(|(account, token)| {
            // Both are looked at, whichever is wrong.
            (account == self.account_sid) & self.auth_token.matches(token)
        })
    }
}

async fn update(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    form: web::Form<HashMap<String, String>>,
    api: web::Data<RestApi>,
) -> HttpResponse {
    if !api.knows(&request) {
        return refusal(StatusCode::UNAUTHORIZED, 20003, "Authenticate");
    }
    let (account, call) = path.into_inner();
    let commands = api.calls.with(|calls| calls.get(&call).cloned());
    let Some(commands) = commands.filter(|_| account == api.account_sid) else {
        return refusal(StatusCode::NOT_FOUND, 20404, "The requested resource was not found");
    };
    if form.get("Status").is_none_or(|status| status != "completed") {
        return refusal(StatusCode::BAD_REQUEST, 20001, "Only Status=completed is carried out here");
    }
    info!(call_sid = call, "the bot hangs up");
    commands.do_send(CallCommand::Hangup);
    HttpResponse::Ok().json(json!({"sid": call, "account_sid": account, "status": "completed"}))
}

/// An error as Twilio's libraries read it.
fn refusal(status: StatusCode, code: u32, message: &str) -> HttpResponse {
    let more = format!("https://www.twilio.com/docs/errors/{code}");
    let body = json!({"code": code, "message": message, "more_info": more, "status": status.as_u16()});
    HttpResponse::build(status).json(body)
}
