//! Requests, read with limits and refused in words.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::BytesMut;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use crate::config::Limits;
use crate::object::{Few, OVER, Object};
use crate::problem::Problem;
use crate::room::Share;

/// The limits, put into each request by a layer.
#[derive(Clone, Debug)]
pub struct Bounds(pub Arc<Limits>);

/// A body of JSON: one object, of at most so many bytes.
#[derive(Debug)]
pub struct Json<T, const MOST: usize = { usize::MAX }>(pub T);

impl<S: Send + Sync, T: DeserializeOwned, const MOST: usize> FromRequest<S> for Json<T, MOST> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Json<T, MOST>, Problem> {
        need_type(request.headers(), "application/json")?;
        let bytes = read(request, MOST).await?;
        parse(&bytes).map(|Object(value)| Json(value))
    }
}

/// An object without fields
///
/// What needs no body takes none, or this one: a field would be something that somebody asks for, and is not given.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// The most bytes of what says nothing.
const NOTHING: usize = 1 << 10;

impl<S: Send + Sync> FromRequest<S> for Nothing {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Nothing, Problem> {
        let is_json = need_type(request.headers(), "application/json");
        let bytes = read(request, NOTHING).await?;
        if bytes.is_empty() {
            return Ok(Nothing {});
        }
        is_json?;
        parse(&bytes).map(|Object(nothing)| nothing)
    }
}

/// One or many of something, as JSON has it: an object, or an array of at most so many.
#[derive(Debug)]
pub enum OneOrMany<T, const MOST: usize> {
    One(T),
    Many(Vec<T>),
}

impl<S: Send + Sync, T: DeserializeOwned, const MOST: usize> FromRequest<S> for OneOrMany<T, MOST> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<OneOrMany<T, MOST>, Problem> {
        need_type(request.headers(), "application/json")?;
        let bytes = read(request, usize::MAX).await?;
        // Which of the two is seen from the first character, so that errors tell of one kind only.
        match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'[') => {
                let many: Few<Object<T>, MOST> = parse(&bytes).map_err(too_many)?;
                Ok(OneOrMany::Many(many.0.into_iter().map(|Object(one)| one).collect()))
            }
            _ => parse(&bytes).map(|Object(one)| OneOrMany::One(one)),
        }
    }
}

/// Reads a form of at most so many bytes and fields: its fields in order.
pub async fn form(
    request: Request,
    most_bytes: usize,
    most_fields: usize,
) -> Result<Vec<(String, String)>, Problem> {
    need_type(request.headers(), "application/x-www-form-urlencoded")?;
    let bytes = read(request, most_bytes).await?;
    let mut fields = form_urlencoded::parse(&bytes).into_owned();
    let form = fields.by_ref().take(most_fields).collect();
    match fields.next() {
        None => Ok(form),
        Some(_) => {
            let detail = format!("the form has over {most_fields} fields");
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail))
        }
    }
}

/// The parameters after the question mark.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Query<T>, Problem> {
        if !is_utf8(parts.uri.query().unwrap_or_default()) {
            return Err(Problem::malformed("the parameters are not UTF-8"));
        }
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(parameters)| Query(parameters))
            // The words name parameters; values are told by their kind alone.
            .map_err(|_| Problem::malformed("a parameter is unknown, given twice, or not of its type"))
    }
}

/// More than there may be is not what is wrong with it, but how large it is.
fn too_many(problem: Problem) -> Problem {
    match problem.detail() {
        detail if detail.starts_with(OVER) => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail),
        _ => problem,
    }
}

/// Whether a part of an address is UTF-8 once it is decoded.
pub fn is_utf8(part: &str) -> bool {
    let mut decoded = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = |at: usize| tail.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        match (*first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high * 16 + low).unwrap_or_default());
                rest = &tail[2..];
            }
            _ => {
                decoded.push(*first);
                rest = tail;
            }
        }
    }
    std::str::from_utf8(&decoded).is_ok()
}

fn need_type(headers: &HeaderMap, needed: &'static str) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|given| given.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(needed) {
        return Ok(());
    }
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("the body has to be {needed}")))
}

/// Reads the body: at most so many bytes, not more than the limits, and not for longer.
async fn read(request: Request, most: usize) -> Result<Bytes, Problem> {
    let extensions = request.extensions();
    let (Some(Bounds(limits)), Some(share)) =
        (extensions.get::<Bounds>().cloned(), extensions.get::<Share>().cloned())
    else {
        return Err(Problem::internal());
    };
    let most = limits.max_body.min(most);
    let too_large = || {
        let detail = format!("the body has over {most} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    };
    let announced =
        request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > most as u64) {
        return Err(too_large());
    }
    let body = Limited::new(request.into_body(), most);
    match tokio::time::timeout(limits.body_timeout, collect(body, &share)).await {
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
        Ok(Err(Broken::NoRoom(problem))) => Err(problem),
        Ok(Err(Broken::Off(error))) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(Broken::Off(_))) => Err(Problem::malformed("the body ended before it was whole")),
        Ok(Ok(body)) => Ok(body),
    }
}

/// Why a body is not read to its end.
enum Broken {
    NoRoom(Problem),
    Off(Box<dyn std::error::Error + Send + Sync>),
}

/// Collects a body, and takes room for it as it comes.
async fn collect(mut body: Limited<Body>, share: &Share) -> Result<Bytes, Broken> {
    // One frame is most bodies: it is not copied.
    let mut whole = Bytes::new();
    let mut parts = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Broken::Off)?.into_data() else { continue };
        share.take(data.len()).map_err(Broken::NoRoom)?;
        if whole.is_empty() && parts.is_empty() {
            whole = data;
        } else {
            parts.extend_from_slice(&std::mem::take(&mut whole));
            parts.extend_from_slice(&data);
        }
    }
    Ok(if parts.is_empty() { whole } else { parts.freeze() })
}

/// Reads JSON. The words of an error say what and where it is, and repeat nothing of it.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    if std::str::from_utf8(bytes).is_err() {
        return Err(Problem::malformed("the body is not UTF-8"));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let mut path = error.path().to_string();
        let last = error.path().iter().next_back().map(|segment| segment.to_string().len());
        let inner = error.into_inner();
        let place = format!("line {}, column {}", inner.line(), inner.column());
        // The path to a field that is unknown ends with its name, which is the client's word, dots and all.
        if inner.to_string().starts_with("unknown field") {
            path.truncate(path.len() - last.unwrap_or(path.len()));
            path.truncate(path.trim_end_matches('.').len());
        }
        match inner.classify() {
            serde_json::error::Category::Data => {
                let problem = Problem::unusable(format!("{} at {place}", without_values(&inner.to_string())));
                // Of the whole it is "." or nothing.
                if path.len() > 1 { problem.at(path) } else { problem }
            }
            _ => Problem::malformed(format!("the body is no JSON: see {place}")),
        }
    })?;
    reader.end().map_err(|_| Problem::malformed("the body goes on after its JSON ends"))?;
    Ok(value)
}

/// How serde ends where nothing is expected.
const NO_FIELDS: &str = ", there are no fields";

/// serde quotes the value that it did not expect, and names of fields that it does not know: neither is repeated.
fn without_values(message: &str) -> String {
    let message = message.split(" at line ").next().unwrap_or_default();
    let quoted = ["invalid type: ", "invalid value: "].iter().any(|start| message.starts_with(start));
    if message.starts_with("unknown ") && message.ends_with(NO_FIELDS) {
        return "unknown field: there are none".to_owned();
    }
    match message.rfind(", expected ") {
        Some(place) if quoted => format!("expected {}", &message[place + ", expected ".len()..]),
        Some(place) if message.starts_with("unknown ") => {
            format!("unknown field or variant: expected {}", &message[place + ", expected ".len()..])
        }
        _ => message.to_owned(),
    }
}

/// The body of an answer that is streamed.
pub fn streamed<S>(stream: S) -> Body
where
    S: futures_util::Stream<Item = Result<Bytes, std::convert::Infallible>> + Send + 'static,
{
    Body::from_stream(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;

    fn refused(json: &[u8]) -> String {
        serde_json::to_string(&parse::<Vec<Object<Message>>>(json).unwrap_err()).unwrap()
    }

    #[test]
    fn an_error_says_where_it_is_and_repeats_no_value() {
        let wrong = refused(br#"[{"source":"a","body":"b"},{"source":"a","body":["ocelotquux"]}]"#);
        assert!(wrong.contains(r#""at":"[1].body""#) && wrong.contains("422"), "{wrong}");
        let number = refused(br#"[{"source":"a","body":"b","sent_at":"ocelotquux, expected"}]"#);
        assert!(number.contains("RFC 3339") && number.contains("[0].sent_at"), "{number}");
        let unknown = refused(br#"[{"source":"a","body":"b","ocelotquux":1}]"#);
        assert!(unknown.contains("external_id"), "{unknown}");
        let dotted = refused(br#"[{"source":"a","body":"b","ocelotquux.in.it":1}]"#);
        assert!(dotted.contains(r#""at":"[0]""#), "{dotted}");
        let array = refused(br#"[{"source":"a","body":"b"},["ocelotquux",null,null,"b",null]]"#);
        assert!(array.contains("expected an object") && array.contains(r#""at":"[1]""#), "{array}");
        for error in [&wrong, &number, &unknown, &dotted, &array] {
            assert!(!error.contains("ocelotquux"), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_with_the_whole_has_no_place() {
        for json in [r#"{"source":"a","body":"b","ocelotquux":1}"#, r#"{"source":"a","body":"b","body":"b"}"#]
        {
            let wrong = serde_json::to_value(parse::<Object<Message>>(json.as_bytes()).unwrap_err()).unwrap();
            assert!(wrong["status"] == 422 && wrong.get("at").is_none(), "{wrong}");
        }
    }

    #[test]
    fn what_is_to_be_nothing_repeats_no_field() {
        for json in [
            r#"{"ocelotquux":1}"#,
            r#"{"ocelotquux, expected":1}"#,
            r#"["ocelotquux"]"#,
            r#""ocelotquux""#,
            "null",
        ] {
            let wrong =
                serde_json::to_string(&parse::<Object<Nothing>>(json.as_bytes()).unwrap_err()).unwrap();
            assert!(wrong.contains("422") && !wrong.contains("ocelotquux"), "{wrong}");
        }
        assert!(parse::<Object<Nothing>>(b" {} ").is_ok());
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for bad in [&b"[{"[..], b"", b"[] []", b"\xff", b"[{\"source\":\"\xff\"}]"] {
            assert!(refused(bad).contains(r#""status":400"#), "{bad:?}");
        }
    }
}
