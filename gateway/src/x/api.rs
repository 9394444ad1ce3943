//! What is asked of X over HTTP, and what its refusals mean.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::RootCertStore;
use serde::de::DeserializeOwned;

use super::back_off::Fault;
use super::post::Problem;
use crate::config;
use crate::database::{Failure, trusting};

/// How long X may take to answer; of a stream, to begin it.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most bytes of an answer that is no stream: a page of a thousand rules.
const LARGEST: usize = 16 << 20;

/// Why something that was asked for is not there: what it means, what it is counted as, and what X calls it.
#[derive(Debug)]
pub struct Refusal {
    pub fault: Fault,
    pub reason: &'static str,
    pub detail: String,
}

impl Refusal {
    pub fn lost(reason: &'static str, detail: impl Into<String>) -> Refusal {
        Refusal { fault: Fault::Lost, reason, detail: detail.into() }
    }

    pub fn settings(detail: impl Into<String>) -> Refusal {
        Refusal { fault: Fault::Settings, reason: "settings", detail: detail.into() }
    }
}

/// X's API, with the token of an app.
pub struct Api {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    settings: config::X,
}

impl Api {
    pub fn new(settings: &config::X) -> Result<Api, Failure> {
        let base = settings.x_url.trim_end_matches('/').to_owned();
        let scheme = base.parse::<Uri>().ok().and_then(|uri| uri.scheme_str().map(str::to_owned));
        match scheme.as_deref() {
            Some("https") => {}
            Some("http") => tracing::warn!("x-url is not https: the token is sent as it is"),
            _ => return Err(Failure::Other("x-url is no URL of http or https".into())),
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(PATIENCE));
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(trusting(roots)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        // A connection is asked once: the stream takes it, and rules are asked for too seldom.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Api { client, base, settings: settings.clone() })
    }

    /// Begins the stream.
    pub async fn stream(&self) -> Result<Response<Incoming>, Refusal> {
        let mut path = String::from(
            "/2/tweets/search/stream?tweet.fields=author_id,created_at,note_tweet,withheld&expansions=author_id",
        );
        if self.settings.x_backfill_minutes > 0 {
            path += &format!("&backfill_minutes={}", self.settings.x_backfill_minutes);
        }
        let response = self.send(Method::GET, &path, Bytes::new()).await?;
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let body = collect(response).await.unwrap_or_default();
        Err(refusal(status, &headers, &body))
    }

    /// Asks for something, or to do something, that is answered by JSON; also gives what may be of use of a refusal.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        is_answer: impl Fn(StatusCode, &T) -> bool,
    ) -> Result<T, Refusal> {
        let response = self.send(method, path, body).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = collect(response).await?;
        match serde_json::from_slice::<T>(&body) {
            Ok(answer) if is_answer(status, &answer) => Ok(answer),
            Err(_) if status.is_success() => Err(Refusal {
                fault: Fault::Refused,
                reason: "refused",
                detail: "an answer that is no JSON of its".into(),
            }),
            _ => Err(refusal(status, &headers, &body)),
        }
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Response<Incoming>, Refusal> {
        let mut authorisation = HeaderValue::from_str(&format!("Bearer {}", self.token().await?))
            .map_err(|_| Refusal::settings("the token cannot be sent"))?;
        authorisation.set_sensitive(true);
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(AUTHORIZATION, authorisation)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("sentiment-gateway/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body))
            .map_err(|_| Refusal::settings("the URL cannot be asked"))?;
        match tokio::time::timeout(PATIENCE, self.client.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(Refusal::lost("network", chain(&error))),
            Err(_) => Err(Refusal::lost("network", "no answer in time")),
        }
    }

    /// The token; one in a file may have been changed.
    async fn token(&self) -> Result<String, Refusal> {
        if let Some(token) = &self.settings.x_token {
            return Ok(token.trim().to_owned());
        }
        let Some(file) = &self.settings.x_token_file else {
            return Err(Refusal::settings("there is no token"));
        };
        let read = tokio::task::spawn_blocking({
            let file = file.clone();
            move || std::fs::read_to_string(file)
        });
        match read.await {
            Ok(Ok(token)) => Ok(token.trim().to_owned()),
            _ => Err(Refusal::settings("the token's file cannot be read")),
        }
    }
}

async fn collect(response: Response<Incoming>) -> Result<Bytes, Refusal> {
    let body = Limited::new(response.into_body(), LARGEST).collect();
    match tokio::time::timeout(PATIENCE, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(_)) => Err(Refusal::lost("network", "an answer ended before it was whole")),
        Err(_) => Err(Refusal::lost("network", "no answer in time")),
    }
}

/// What a status means, and how long it holds.
fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Refusal {
    let named = serde_json::from_slice::<Problem>(body).ok();
    let name = named.as_ref().and_then(Problem::name).map(|name| format!(" ({name})")).unwrap_or_default();
    let (fault, reason) = match status.as_u16() {
        429 => (Fault::Limited(reset(headers, SystemTime::now())), "limited"),
        408 => (Fault::Refused, "refused"),
        400..=499 => (Fault::Settings, "settings"),
        _ => (Fault::Refused, "refused"),
    };
    Refusal { fault, reason, detail: format!("HTTP {status}{name}") }
}

/// How long until X takes requests again, if it says so: x-rate-limit-reset is a time in seconds since 1970. Where requests
/// are left, it is the number of connections that is limited, and the header is about something else.
fn reset(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    if number("x-rate-limit-remaining").is_some_and(|left| left > 0) {
        return None;
    }
    let reset = UNIX_EPOCH.checked_add(Duration::from_secs(number("x-rate-limit-reset")?))?;
    reset.duration_since(now).ok()
}

/// The words of an error and of what caused it: of connecting, of TLS, of HTTP. They name addresses, and no contents.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(remaining: Option<&'static str>, reset: Option<&'static str>) -> HeaderMap {
        let named = [("x-rate-limit-remaining", remaining), ("x-rate-limit-reset", reset)];
        let named = named
            .into_iter()
            .filter_map(|(name, value)| Some((name.parse().ok()?, HeaderValue::from_static(value?))));
        named.collect()
    }

    #[test]
    fn a_rate_limit_says_when_it_ends() {
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        let minute = Some(Duration::from_secs(60));
        assert_eq!(reset(&headers(Some("0"), Some("1060")), now), minute);
        assert_eq!(reset(&headers(None, Some("1060")), now), minute);
        // Too many connections, a clock that differs, no time, none that there is.
        assert_eq!(reset(&headers(Some("49"), Some("1060")), now), None);
        assert_eq!(reset(&headers(Some("0"), Some("999")), now), None);
        assert_eq!(reset(&headers(Some("0"), Some("soon")), now), None);
        assert_eq!(reset(&headers(Some("0"), None), now), None);
    }

    #[test]
    fn statuses_say_whether_it_makes_sense_to_ask_again() {
        let fault =
            |status: u16| refusal(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), b"").fault;
        for status in [500, 502, 503, 504, 408, 302] {
            assert_eq!(fault(status), Fault::Refused, "{status}");
        }
        for status in [400, 401, 402, 403, 404, 409] {
            assert_eq!(fault(status), Fault::Settings, "{status}");
        }
        assert_eq!(fault(429), Fault::Limited(None));
    }
}
