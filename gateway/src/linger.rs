//! What is still to come of a body that nobody reads on: it is taken and thrown away for a while.
//!
//! A client that is refused while it sends would else find its connection broken, and never see why. Most look for an answer only
//! once all is sent.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How long nothing may come.
const SILENCE: Duration = Duration::from_secs(2);

/// How much is taken, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub bytes: usize,
    pub time: Duration,
}

/// A body. Dropped before its end, it is read to that elsewhere.
#[derive(Debug)]
pub struct Lingering {
    /// Nothing once it has ended.
    body: Option<Incoming>,
    /// Nothing where the client asks before it sends.
    patience: Option<Patience>,
}

impl Lingering {
    pub fn new(body: Incoming, headers: &HeaderMap, patience: Patience) -> Lingering {
        // Whoever is refused at once does not begin; to read on would be to ask for it.
        let asks = headers.contains_key(header::EXPECT);
        Lingering { body: Some(body), patience: (!asks).then_some(patience) }
    }
}

impl Body for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        if let Poll::Ready(None | Some(Err(_))) = polled {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let rest = self.body.take().filter(|body| !body.is_end_stream());
        let (Some(body), Some(patience), Ok(runtime)) = (rest, self.patience, Handle::try_current()) else {
            return;
        };
        runtime.spawn(timeout(patience.time, discard(body, patience.bytes)));
    }
}

/// Reads a body to its end, or until it is too much or does not come. Then it is dropped, and its connection closed.
async fn discard(mut body: Incoming, mut left: usize) {
    while let Ok(Some(Ok(frame))) = timeout(SILENCE, body.frame()).await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        if length > left {
            return;
        }
        left -= length;
    }
}
