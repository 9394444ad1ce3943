//! The routes: one file for what belongs together. Their types and comments are the OpenAPI document.

mod feedback;
mod health;
mod messages;
mod models;
mod page;
mod passage;
mod sentiment;
mod sms;
mod stream;
mod summary;

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use deadpool_postgres::Pool;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tower::Layer;
use tower::layer::layer_fn;
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{OpenApi, openapi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use crate::auth::{Gate, require};
use crate::config::{Scope, Sms, listed};
use crate::database::{Address, Failure, Session};
use crate::feed::Feed;
use crate::problem::Problem;
use crate::request::{Bounds, Nothing};
use crate::room::{Room, share};
use crate::scoring::Scorer;
use passage::{Passage, Preflights};

/// What the API's description may load: its own files, and what its style has within it; it writes styles into its page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// How long a request waits for a place to read.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the routes work with: each request has it, so that it is cheap to clone.
#[derive(Clone)]
pub struct Application(Arc<Parts>);

impl Application {
    pub fn new(parts: Parts) -> Application {
        Application(Arc::new(parts))
    }

    /// A session for what may read much of the table, and a place to do so.
    pub async fn reading(&self) -> Result<(SemaphorePermit<'_>, Session), Problem> {
        match tokio::time::timeout(PATIENCE, self.readers.acquire()).await {
            Ok(Ok(place)) => Ok((place, self.address.session(&self.pool).await?)),
            _ => Err(Problem::unavailable("as many pages and sums are read as may be at once: try again")),
        }
    }
}

impl std::ops::Deref for Application {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// The parts of the application.
pub struct Parts {
    pub address: Address,
    pub pool: Pool,
    pub scorer: Scorer,
    pub gate: Arc<Gate>,
    pub feed: Feed,
    pub sms: Sms,
    pub bounds: Bounds,
    pub room: Room,
    /// Room for what clients have asked for and not taken yet.
    pub answers: Room,
    /// Places for what runs at length: it leaves most connections to others.
    pub lengthy: Semaphore,
    /// Places for what reads the table, from its beginning to its end if little of it is wanted: the same.
    pub readers: Semaphore,
    pub metrics: PrometheusHandle,
    pub ending: watch::Receiver<bool>,
}

/// The OpenAPI document, before the routes add themselves.
#[derive(OpenApi)]
#[openapi(
    info(title = "sentiment-gateway", description = "Messages stream in, sentiment streams out: the gateway of pg_sentiment. \
        Failures are answered with application/problem+json."),
    components(schemas(Nothing)),
    tags(
        (name = "in", description = "What comes in"),
        (name = "out", description = "What goes out"),
        (name = "models", description = "The models that score"),
        (name = "health", description = "How the gateway is")
    )
)]
struct Document;

/// All routes, with what every request passes through.
pub fn router(application: Application, cors_origins: &[String]) -> Result<Router, Failure> {
    let gate = &application.gate;
    let needs = |scope: Scope| from_fn_with_state((gate.clone(), scope), require);
    let read = OpenApiRouter::new()
        .routes(routes!(sentiment::score))
        .routes(routes!(sentiment::explain))
        .routes(routes!(messages::list))
        .routes(routes!(summary::summary))
        .routes(routes!(stream::stream))
        .routes(routes!(models::list))
        .route_layer(needs(Scope::Read));
    let write = OpenApiRouter::new()
        .routes(routes!(messages::store))
        .routes(routes!(feedback::learn))
        .route_layer(needs(Scope::Write));
    let admin = OpenApiRouter::new()
        .routes(routes!(models::train))
        .routes(routes!(models::refresh))
        .routes(routes!(models::deploy))
        .routes(routes!(models::rollback))
        .route_layer(needs(Scope::Admin));
    let mut documented =
        OpenApiRouter::with_openapi(Document::openapi()).merge(read).merge(write).merge(admin);
    if application.sms.sms_auth_token.is_some() {
        documented = documented.merge(OpenApiRouter::new().routes(routes!(sms::receive)));
    }
    let (router, mut document) = documented.merge(open()).split_for_parts();
    let key = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    document.components.get_or_insert_default().add_security_scheme("key", key);
    let router = router
        .merge(page::router())
        .merge(description(document))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(Extension(application.bounds.clone()))
        .layer(from_fn_with_state(application.room.clone(), share))
        .layer(layer_fn(Passage));
    // Outermost: a page sees no answer, and no refusal, that does not name its origin.
    let router = match cors(cors_origins)? {
        Some(cors) => router.layer(layer_fn(move |inner| Preflights(cors.layer(inner)))),
        None => router,
    };
    Ok(router.with_state(application))
}

/// The API's description, to read and for programs. What is not there is told as everywhere: the library says nothing.
fn description(document: openapi::OpenApi) -> Router<Application> {
    let router = Router::from(SwaggerUi::new("/docs").url("/openapi.json", document));
    router.layer(map_response(async |mut answer: Response| match answer.status() {
        StatusCode::NOT_FOUND => no_such_path().await.into_response(),
        _ => {
            answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
            answer
        }
    }))
}

/// The routes that say how the gateway is, alone.
pub fn health(application: Application) -> Router {
    let router = Router::from(open()).fallback(no_such_path).method_not_allowed_fallback(no_such_method);
    router.layer(layer_fn(Passage)).with_state(application)
}

fn open() -> OpenApiRouter<Application> {
    OpenApiRouter::new()
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
}

async fn no_such_path() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is no such path")
}

async fn no_such_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path has no such method: see the header Allow")
}

/// No origin by default.
fn cors(given: &[String]) -> Result<Option<CorsLayer>, Failure> {
    let origins: Vec<&str> = listed(given).collect();
    let origins = match origins[..] {
        [] => return Ok(None),
        ["*"] => AllowOrigin::any(),
        _ if origins.contains(&"*") => {
            return Err(Failure::Other("the CORS origin * is any, and stands alone".into()));
        }
        _ => AllowOrigin::list(origins.into_iter().map(origin).collect::<Result<Vec<_>, _>>()?),
    };
    let headers = [header::AUTHORIZATION, header::CONTENT_TYPE, HeaderName::from_static("last-event-id")];
    let methods = [Method::GET, Method::POST];
    let cors = CorsLayer::new().allow_origin(origins).allow_methods(methods).allow_headers(headers);
    // Pages may read few headers unless they are named.
    Ok(Some(cors.expose_headers([header::RETRY_AFTER])))
}

/// An origin as browsers write it. What they never send would be allowed in vain, and nobody told.
fn origin(given: &str) -> Result<HeaderValue, Failure> {
    let written = given.to_ascii_lowercase();
    let is_origin = written.split_once("://").is_some_and(|(scheme, host)| {
        !scheme.is_empty() && !host.is_empty() && !host.contains(['/', '?', '#', '@', '*'])
    });
    let read = (is_origin || written == "null").then(|| written.parse().ok()).flatten();
    read.ok_or_else(|| {
        let reason =
            "is none: a scheme, a host, and a port if it is not the usual one, as https://example.org";
        Failure::Other(format!("the CORS origin {given} {reason}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_browsers_send() {
        assert_eq!(origin("https://Example.org").unwrap(), "https://example.org");
        for good in ["http://localhost:3000", "http://[::1]:8080", "null", "capacitor://localhost"] {
            assert_eq!(origin(good).unwrap(), good);
        }
        for bad in [
            "example.org",
            "https://example.org/",
            "https://example.org/app",
            "https://*.example.org",
            "://a",
            "https://",
        ] {
            assert!(origin(bad).is_err(), "{bad}");
        }
        let cors =
            |origins: &[&str]| cors(&origins.iter().map(|origin| (*origin).to_owned()).collect::<Vec<_>>());
        assert!(cors(&["", " "]).unwrap().is_none());
        assert!(cors(&["*", " "]).unwrap().is_some() && cors(&[" * ", "https://a"]).is_err());
    }
}
