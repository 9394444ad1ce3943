//! Connections: how many there may be, how slow they may be, and how they end.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::config::Limits;
use crate::linger::{Lingering, Patience};

/// The most bytes of a request's head.
const HEAD: usize = 32 << 10;
/// How long to wait when the system has no connection to give.
const REST: Duration = Duration::from_millis(100);

/// Serves connections until `end` is there; then lets requests in progress end, for as long as the limits say.
pub async fn serve(listener: TcpListener, router: Router, limits: &Limits, end: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(limits.max_connections));
    let graceful = GracefulShutdown::new();
    let (connections, too_late) = (TaskTracker::new(), CancellationToken::new());
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(limits.header_timeout).max_buf_size(HEAD);
    let patience = Patience { bytes: limits.max_bodies.max(limits.max_body), time: limits.body_timeout };
    let mut end = pin!(end);
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut end => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("no connection can be accepted: {error}");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        let router = router.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo::<SocketAddr>(peer));
            let (head, body) = request.into_parts();
            let body = axum::body::Body::new(Lingering::new(body, &head.headers, patience));
            router.clone().oneshot(Request::from_parts(head, body))
        });
        let connection =
            server.serve_connection(TokioIo::new(patient(stream, limits.write_timeout)), service);
        let connection = graceful.watch(connection);
        let too_late = too_late.clone();
        connections.spawn(async move {
            metrics::gauge!("sentiment_gateway_connections").increment(1);
            // Its end is the client's affair, however it ends.
            let _ = too_late.run_until_cancelled(connection).await;
            metrics::gauge!("sentiment_gateway_connections").decrement(1);
            drop(place);
        });
    }
    drop(listener);
    let left = graceful.count();
    if tokio::time::timeout(limits.shutdown_timeout, graceful.shutdown()).await.is_err() {
        tracing::warn!(
            connections = left,
            "requests were still in progress when the time to end them was over"
        );
        // What they asked of the database is cancelled when they are dropped.
        too_late.cancel();
        connections.close();
        connections.wait().await;
    }
}

/// A connection that ends when its client does not take what is written for it.
fn patient(stream: TcpStream, timeout: Duration) -> std::pin::Pin<Box<TimeoutStream<TcpStream>>> {
    // Answers are small and wait for nothing.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(timeout));
    Box::pin(stream)
}
