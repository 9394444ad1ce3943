//! What every request passes through on its way to a route and back, whatever becomes of it.
//!
//! It is one layer, for axum clones and boxes each of its layers for each request.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use futures_util::future::Either;
use tower::Service;

use crate::problem::Problem;
use crate::request::is_utf8;
use crate::telemetry::Observation;

/// What all answers say, unless they say otherwise.
const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
];

/// Around a route: refuses what cannot be read, observes, survives panics, and adds [`HEADERS`].
#[derive(Clone, Debug)]
pub struct Passage<S>(pub S);

impl<S> Service<Request> for Passage<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let observation = Observation::begin(&request);
        let answer = match refuse(&request) {
            Some(refusal) => Err(refusal),
            None => Ok(self.0.call(request)),
        };
        Box::pin(async move {
            let mut response = match answer {
                Err(refusal) => refusal,
                Ok(answer) => match AssertUnwindSafe(answer).catch_unwind().await {
                    Ok(answered) => answered?,
                    Err(_) => Problem::internal().into_response(),
                },
            };
            observation.end(response.status());
            for (name, value) in HEADERS {
                response.headers_mut().entry(name).or_insert(value);
            }
            Ok(response)
        })
    }
}

/// Around what answers to pages of other origins: observes the questions that it answers by itself, before they come to a [`Passage`].
/// It takes all of the method OPTIONS for such.
#[derive(Clone, Debug)]
pub struct Preflights<S>(pub S);

impl<S> Service<Request> for Preflights<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<S::Future, Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if request.method() != Method::OPTIONS {
            return Either::Left(self.0.call(request));
        }
        let observation = Observation::begin(&request);
        let answer = self.0.call(request);
        Either::Right(Box::pin(async move {
            let response = answer.await?;
            observation.end(response.status());
            Ok(response)
        }))
    }
}

/// What no route would say as well: that a path cannot be read, or that a body is packed.
fn refuse(request: &Request) -> Option<Response> {
    if !is_utf8(request.uri().path()) {
        return Some(Problem::malformed("the path is not UTF-8").into_response());
    }
    let mut codings = request.headers().get_all(header::CONTENT_ENCODING).iter();
    if codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return None;
    }
    let refusal =
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body has to come without a Content-Encoding");
    Some(([(header::ACCEPT_ENCODING, "identity")], refusal).into_response())
}
