//! Answers of every kind, and what a browser may do with them.

use hyper::body::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use maud::Markup;
use serde_json::Value;

use super::Answered;
use crate::web::download::Content;

/// A text of this kind.
pub fn text(status: u16, kind: &'static str, text: &str) -> Answered {
    let mut answer = Response::new(Content::from(Bytes::copy_from_slice(text.as_bytes())));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// A page.
pub fn html(status: u16, markup: &Markup) -> Answered {
    text(status, "text/html; charset=utf-8", &markup.0)
}

/// What a program is answered.
pub fn json(status: u16, body: &Value) -> Answered {
    text(status, "application/json", &format!("{body}\n"))
}

/// After a form the browser looks at a page, so that loading it again sends nothing twice.
pub fn to(place: &str) -> Answered {
    let mut answer = text(303, "text/plain; charset=utf-8", "");
    if let Ok(place) = HeaderValue::from_str(place) {
        answer.headers_mut().insert(header::LOCATION, place);
    }
    answer
}

/// The same, which also sets a cookie no script reads.
pub fn with_cookie(mut answer: Answered, name: &str, value: &str, seconds: u64) -> Answered {
    let cookie = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={seconds}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
    answer
}

/// What a browser may do with any answer.
pub fn guard(answer: &mut Answered) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
}

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";
