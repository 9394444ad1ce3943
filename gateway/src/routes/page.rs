//! The page, served from the program itself: no build step, nothing from anywhere else.

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Application;
use crate::config::Scope;

/// What the page may load: its own files. A text that is shown cannot become a program.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page and its files.
pub fn router() -> Router<Application> {
    Router::new()
        .route("/", get(index))
        .route("/page/page.css", get(async || file("text/css", include_str!("../../page/page.css"))))
        .route("/page/page.js", get(async || file("text/javascript", include_str!("../../page/page.js"))))
        .route("/page/icon.svg", get(async || file("image/svg+xml", include_str!("../../page/icon.svg"))))
}

/// The page; it is told whether it may read without a key, so that it need not try.
async fn index(State(application): State<Application>) -> Response {
    let public = application.gate.is_public(Scope::Read).to_string();
    let page = include_str!("../../page/index.html").replace("{public}", &public);
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, page).into_response()
}

fn file(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text).into_response()
}
