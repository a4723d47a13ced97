//! Where a request shows its token.

use std::collections::HashMap;

use actix_web::{HttpRequest, http::header, web};

use crate::config::Secret;

/// Whether a request shows the token: in `?token=`, else in `Authorization: Bearer`.
pub fn shows_token(request: &HttpRequest, token: &Secret) -> bool {
    let query = web::Query::<HashMap<String, String>>::from_query(request.query_string());
    let query = query.map(web::Query::into_inner).unwrap_or_default();
    let shown = query.get("token").map(String::as_str).or_else(|| bearer(request));
    shown.is_some_and(|shown| token.matches(shown))
}

fn bearer(request: &HttpRequest) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
