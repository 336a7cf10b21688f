//! The log: off, unless RUST_LOG says what to write to stderr, as in `RUST_LOG=debug` or `RUST_LOG=prompt_ratchet::model=warn`.

use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use super::exit::Failure;

/// The variable that turns the log on.
const VARIABLE: &str = "RUST_LOG";

/// Whether there will be a log.
pub fn is_on() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|value| !value.is_empty())
}

/// Begins the log where it is asked for; as JSON lines where `as_json`.
///
/// Only this program's own lines are let through, whatever the variable says: a library's may hold what was sent.
pub fn begin(as_json: bool) -> Result<(), Failure> {
    if !is_on() {
        return Ok(());
    }
    let filter = EnvFilter::try_from_default_env()
        .map_err(|error| Failure::usage(anyhow::anyhow!("{VARIABLE}: {error}; write it like {VARIABLE}=debug")))?;
    let own = filter_fn(|metadata| matches!(metadata.target().split("::").next(), Some("prompt_ratchet" | "ratchet")));
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(console::colors_enabled_stderr());
    let lines = if as_json { lines.json().boxed() } else { lines.boxed() };
    tracing_subscriber::registry().with(lines.with_filter(filter).with_filter(own)).init();
    Ok(())
}
