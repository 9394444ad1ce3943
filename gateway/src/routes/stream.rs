//! Messages as they are committed, as server-sent events.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Application;
use crate::config::Scope;
use crate::feed::{Cursor, Filter, Shown};
use crate::keys::Caller;
use crate::message::check_text;
use crate::problem::Problem;
use crate::request::{Query, streamed};

/// Which messages
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// Only messages with this label
    #[param(pattern = r"^[^\u0000]*$")]
    label: Option<String>,
    /// Only messages of this source
    #[param(pattern = r"^[^\u0000]*$")]
    source: Option<String>,
    /// Only messages scored by this version, as english@2
    #[param(pattern = r"^[^\u0000]*$")]
    model_version: Option<String>,
    /// As the header Last-Event-ID, for clients that cannot send one: 0-0 is all that is kept
    #[param(pattern = r"^[0-9]{1,18}-[0-9]{1,18}$")]
    last_event_id: Option<String>,
}

/// Follow messages live, with their sentiment
///
/// Server-sent events of type message, in the order in which they were committed; data is a message as JSON. With the
/// header Last-Event-ID the stream goes on after that event and leaves nothing out; where a new one begins, and how far one is that
/// has nothing to show, is told by an id without data. A reader who cannot keep up is
/// disconnected, and may come back with the id of the last event that it has. A stream ends when its key is revoked or expires.
#[utoipa::path(
    get, path = "/v1/stream", tag = "out", security(("key" = [])),
    params(Wanted, ("Last-Event-ID" = Option<String>, Header, description = "the id of the last event that was received",
        pattern = r"^[0-9]{1,18}-[0-9]{1,18}$")),
    responses(
        (status = 200, description = "events, without end", body = Shown, content_type = "text/event-stream"),
        (status = "4XX", description = "refused", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", description = "failed", body = Problem, content_type = "application/problem+json")
    )
)]
pub async fn stream(
    State(application): State<Application>,
    caller: Option<Extension<Caller>>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let last = headers
        .get("last-event-id")
        .map(|last| last.to_str().unwrap_or("?").to_owned())
        .or(wanted.last_event_id);
    let after = last.map(|last| {
        Cursor::parse(&last)
            .ok_or_else(|| Problem::malformed("Last-Event-ID is no id of an event").at("Last-Event-ID"))
    });
    let filter = Filter { label: wanted.label, source: wanted.source, model_version: wanted.model_version };
    for (name, value) in
        [("label", &filter.label), ("source", &filter.source), ("model_version", &filter.model_version)]
    {
        value.as_deref().map_or(Ok(()), |value| check_text(value, name))?;
    }
    let lease = application.gate.lease(caller.map(|Extension(caller)| caller), Scope::Read);
    let reader = application.feed.read(filter, after.transpose()?, lease)?;
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // A proxy that gathers answers would hold events back.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, streamed(reader.into_stream())).into_response())
}
