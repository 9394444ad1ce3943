//! What went wrong, as the client is told: RFC 9457, `application/problem+json`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio_postgres::error::{DbError, SqlState};
use utoipa::ToSchema;

/// An answer that is no success. It holds no text that anyone sent.
#[derive(Clone, Debug, Serialize, ToSchema, thiserror::Error)]
#[error("{title}: {detail}")]
pub struct Problem {
    /// Always about:blank: the status says of what kind it is
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words
    title: &'static str,
    /// The HTTP status
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong, and what helps
    #[schema(value_type = String)]
    detail: Box<str>,
    /// Where in the request's JSON it is wrong, as `[3].body`, or in which parameter or header
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    at: Option<Box<str>>,
    /// What PostgreSQL calls it, where it was the database that refused
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    sqlstate: Option<Box<str>>,
    #[serde(skip)]
    retry_after: Option<u64>,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Problem {
        Problem {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into().into(),
            at: None,
            sqlstate: None,
            retry_after: None,
        }
    }

    /// 400: this is no JSON, or no request of this kind.
    pub fn malformed(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 422: it can be read, but not done.
    pub fn unusable(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// 503: it may go better in a while.
    pub fn unavailable(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(1)
    }

    /// 500: a fault of the gateway or of its set-up, of which the client is told nothing more.
    pub fn internal() -> Problem {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the gateway failed; its log says more")
    }

    /// Says where in the request it is.
    pub fn at(mut self, path: impl Into<String>) -> Problem {
        self.at = Some(path.into().into());
        self
    }

    /// Says after how many seconds to try again.
    pub fn retry_after(mut self, seconds: u64) -> Problem {
        self.retry_after = Some(seconds);
        self
    }

    /// Whether the same request may succeed later.
    pub fn is_passing(&self) -> bool {
        self.status == StatusCode::SERVICE_UNAVAILABLE.as_u16()
    }

    /// Whether the database refused what it was to store (data, constraints, limits, an operator's trigger): it will do so
    /// again, and may take other data.
    pub fn is_of_data(&self) -> bool {
        self.status() == StatusCode::UNPROCESSABLE_ENTITY && self.sqlstate.as_deref().is_some_and(is_of_data)
    }

    /// Whether the database may manage less at once where it did not manage this: it took too long, or too much memory.
    pub fn is_of_amount(&self) -> bool {
        matches!(self.sqlstate.as_deref(), Some("57014" | "53200"))
    }

    /// The same where the client named neither model nor table: what is missing is the operator's to mend. What the database
    /// says of the data may come from a trigger of the operator's, and quote them: it is not repeated.
    pub fn of_set_up(mut self) -> Problem {
        match (self.status(), &self.sqlstate) {
            (_, None) => self,
            (StatusCode::UNPROCESSABLE_ENTITY, _) => {
                self.detail = self.refusal().into();
                self
            }
            (StatusCode::NOT_FOUND | StatusCode::CONFLICT, _) => {
                let detail =
                    "what is scored by or stored in is missing in the database: see sentiment.default_model";
                tracing::warn!(sqlstate = self.sqlstate, "{detail}");
                Problem { sqlstate: self.sqlstate, ..Problem::unavailable(detail) }
            }
            _ => self,
        }
    }

    /// What the database refused of a model, or of a table that the client named: a right that is missing there is told.
    pub fn of_model(error: tokio_postgres::Error) -> Problem {
        match error.as_db_error() {
            Some(refused) if *refused.code() == SqlState::INSUFFICIENT_PRIVILEGE => {
                Problem::worded(StatusCode::FORBIDDEN, refused)
            }
            _ => error.into(),
        }
    }

    /// A refusal in the words of the database.
    fn worded(status: StatusCode, refused: &DbError) -> Problem {
        let hint = refused.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
        let problem = Problem::new(status, format!("{}{hint}", refused.message()));
        Problem { sqlstate: Some(refused.code().code().into()), ..problem }
    }

    /// What is wrong, without the status.
    pub fn detail(&self) -> String {
        self.detail.to_string()
    }

    /// That the database refused something, and as what; never its own words, which may quote what it refused.
    pub fn refusal(&self) -> String {
        format!("the database refused it, SQLSTATE {}", self.sqlstate.as_deref().unwrap_or("unknown"))
    }

    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (self.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED.as_u16() {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// What an SQLSTATE means over HTTP. Messages and hints of these states hold no text: pg_sentiment's never do, and
/// PostgreSQL's own name relations and columns.
fn status_of(state: &SqlState) -> Option<StatusCode> {
    Some(match state.code() {
        // Unknown model or version, table, schema.
        "42704" | "42P01" | "3F000" => StatusCode::NOT_FOUND,
        // Nothing deployed, nothing to roll back to; in use; a shipped model.
        "55000" | "55006" | "2BP01" | "42939" => StatusCode::CONFLICT,
        // Names, options, columns, kinds of relations, and limits of training.
        "22023" | "42602" | "42622" | "42703" | "42804" | "42809" | "0A000" | "53200" | "54000" => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        _ => return None,
    })
}

/// The classes of SQLSTATE that are PostgreSQL's own, of all its versions.
const CLASSES: [&str; 44] = [
    "00", "01", "02", "03", "08", "09", "0A", "0B", "0F", "0L", "0P", "0Z", "10", "20", "21", "22", "23",
    "24", "25", "26", "27", "28", "2B", "2D", "2F", "34", "38", "39", "3B", "3D", "3F", "40", "42", "44",
    "53", "54", "55", "57", "58", "72", "F0", "HV", "P0", "XX",
];

/// States of data that are refused as they are: PostgreSQL's of data, constraints, views, limits and RAISE, and all that an
/// operator's trigger may have made up.
fn is_of_data(state: &str) -> bool {
    let is_class = |class: &&str| state.starts_with(*class);
    ["22", "23", "44", "54", "P0"].iter().any(is_class) || !CLASSES.iter().any(is_class)
}

/// States that pass: connections lost, the server starting or ending, deadlocks, time-outs, a standby, a session that was
/// idle for too long.
fn passes(state: &SqlState) -> bool {
    let code = state.code();
    let class = ["08", "57", "53", "40"].iter().any(|class| code.starts_with(class));
    class || ["25006", "25P03", "25P04", "55P03"].contains(&code)
}

/// What a client is told where statements that were prepared are not there, or others are: a pooler deals out sessions anew.
const SHARED_SESSIONS: &str = "the gateway's sessions are not its own: it needs the database itself, \
    or a pooler that pools sessions and not transactions";

/// What a client is told whose message has no partition to go to.
const NO_PARTITION: &str =
    "the table of messages has no partition for today: sentiment-gateway migrate makes it";

/// Whether no partition takes a row: nothing is wrong with that. The state is that of a constraint which the row breaks, yet it is
/// of a table without one; of what a trigger raises the server knows no table.
fn lacks_partition(refused: &DbError) -> bool {
    refused.table().is_some() && refused.constraint().is_none()
}

impl From<&DbError> for Problem {
    fn from(error: &DbError) -> Problem {
        let state = error.code();
        if let Some(status) = status_of(state) {
            return Problem::worded(status, error);
        }
        let problem = match state.code() {
            "42501" => Problem::unavailable("the gateway's role lacks a right in the database"),
            "26000" | "42P05" => Problem::unavailable(SHARED_SESSIONS),
            "23514" if lacks_partition(error) => Problem::unavailable(NO_PARTITION),
            _ if passes(state) => Problem::unavailable("the database cannot do this now: try again"),
            // What is no name (a.b.c.d), and what a constraint, a trigger or a view of the operator's refuses. The words of these
            // states may quote it.
            code if code == "42601" || is_of_data(code) => Problem::unusable(""),
            _ => Problem::internal(),
        };
        let problem = Problem { sqlstate: Some(state.code().into()), ..problem };
        match problem.status() {
            StatusCode::UNPROCESSABLE_ENTITY => Problem { detail: problem.refusal().into(), ..problem },
            _ => problem,
        }
    }
}

impl From<tokio_postgres::Error> for Problem {
    fn from(error: tokio_postgres::Error) -> Problem {
        if let Some(refused) = error.as_db_error() {
            let problem = Problem::from(refused);
            if problem.status().is_server_error() {
                tracing::warn!(sqlstate = refused.code().code(), "the database refused a statement");
            }
            return problem;
        }
        if error.is_closed()
            || std::error::Error::source(&error).is_some_and(|source| source.is::<std::io::Error>())
        {
            tracing::warn!("the connection to the database was lost");
            return Problem::unavailable("the connection to the database was lost: try again");
        }
        // The driver's own words name types and columns, never values.
        tracing::error!("the database driver failed: {error}");
        Problem::internal()
    }
}

impl From<deadpool_postgres::PoolError> for Problem {
    fn from(error: deadpool_postgres::PoolError) -> Problem {
        use deadpool_postgres::PoolError;
        match error {
            PoolError::Backend(error) => {
                let state = error.code().map_or("none", |state| state.code()).to_owned();
                tracing::warn!(sqlstate = state, "cannot connect to the database");
            }
            PoolError::Timeout(_) => tracing::warn!("no connection to the database was free in time"),
            _ => tracing::error!("no connection to the database"),
        }
        Problem::unavailable("no connection to the database: try again")
    }
}
