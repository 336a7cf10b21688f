//! Ctrl-C and SIGTERM: the first stops in order, the second at once. Neither loses anything. A terminal that is closed
//! (SIGHUP) stops nothing: what can't be said any more is dropped.

use prompt_ratchet::worker::Leader;
use tokio_util::sync::CancellationToken;

use super::exit::Exit;

/// What is said at the first signal.
const STOPPING: &str = "stopping: calls under way have some seconds to end; once more stops at once";

/// Cancelled by the first Ctrl-C or SIGTERM, which `note` is told of; the second ends the process
/// and those that it has started.
pub fn interrupt(note: impl Fn(&str) + Send + 'static) -> CancellationToken {
    outlive_terminal();
    let token = CancellationToken::new();
    let first = token.clone();
    tokio::spawn(async move {
        signalled().await;
        first.cancel();
        // Whoever reads it may have stopped reading: the second signal must be heard all the same.
        tokio::task::spawn_blocking(move || note(STOPPING));
        signalled().await;
        Leader::end_all();
        std::process::exit(Exit::Interrupted as i32);
    });
    token
}

/// From now on SIGHUP does nothing: who listens for it, if only once, has it kept from the process for good.
fn outlive_terminal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        // Where that can't be had, the process ends with its terminal, and can be resumed.
        let _ = signal(SignalKind::hangup());
    }
}

/// Ends with the next Ctrl-C or SIGTERM.
async fn signalled() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
