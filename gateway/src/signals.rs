//! What a process is told from outside: to end. In a container it is the first one, which signals end only if it listens to them.

use tokio::signal::unix::{SignalKind, signal};

use crate::database::Failure;

/// SIGTERM, as service managers send it, or SIGINT, as Ctrl-C does.
pub fn told_to_end() -> Result<impl Future<Output = ()>, std::io::Error> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Does work until it is done or told to end; then it is dropped. What was not committed by then is not done.
pub async fn unless_told(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let told = told_to_end()?;
    tokio::select! {
        done = work => done,
        () = told => Err(Failure::Other("it was told to end before it was done".into())),
    }
}
