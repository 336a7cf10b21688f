//! The fake provider as a program: `cargo run --example fake-provider -- --port 8000 --server-errors 0.1`.
//! Prints its port as one line on stdout; `GET /stats` tells what it was asked.

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use prompt_ratchet::model::embedded::Embedded;
use server::{Answers, Behaviour, Fault, Outage, PerMinute, Rates, Server};

mod server;
mod wire;

/// Serves the embedded model, or a fixed answer, as an OpenAI-compatible endpoint on loopback.
#[derive(Parser)]
struct Flags {
    /// Port to listen on; 0 for any that is free.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Always this answer, instead of the embedded model's.
    #[arg(long)]
    answer: Option<String>,
    /// Milliseconds before each response.
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// Share of requests answered with status 500.
    #[arg(long, default_value_t = 0.0)]
    server_errors: f64,
    /// Share of requests answered with status 429.
    #[arg(long, default_value_t = 0.0)]
    rate_limited: f64,
    /// `Retry-After` of those, in seconds or as a date.
    #[arg(long, default_value = "1")]
    retry_after: String,
    /// Requests a minute; `x-ratelimit-*` headers tell what is left
    #[arg(long)]
    per_minute: Option<u32>,
    /// Seconds after the first request at which nothing works any more
    #[arg(long, default_value_t = 0.0, requires = "outage_seconds")]
    outage_after: f64,
    /// For how many seconds nothing works
    #[arg(long)]
    outage_seconds: Option<f64>,
    /// Share of requests whose connection is reset.
    #[arg(long, default_value_t = 0.0)]
    resets: f64,
    /// Share of requests whose response ends half way.
    #[arg(long, default_value_t = 0.0)]
    cuts: f64,
    /// Share of requests that are never answered.
    #[arg(long, default_value_t = 0.0)]
    stalls: f64,
    /// Share of requests answered with an error object and status 200.
    #[arg(long, default_value_t = 0.0)]
    error_bodies: f64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    let answers = match flags.answer {
        Some(text) => Answers::Fixed(text),
        None => Answers::Chat(Arc::new(Embedded::new())),
    };
    let rates = vec![
        (flags.server_errors, Fault::ServerError),
        (flags.rate_limited, Fault::RateLimited(flags.retry_after)),
        (flags.resets, Fault::Reset),
        (flags.cuts, Fault::Cut),
        (flags.stalls, Fault::Stall),
        (flags.error_bodies, Fault::ErrorBody),
    ];
    let rates = Rates(rates.into_iter().filter(|(rate, _)| *rate > 0.0).collect());
    let latency = Duration::from_millis(flags.latency_ms);
    let outage = flags.outage_seconds.map(|seconds| Outage {
        from: Duration::from_secs_f64(flags.outage_after),
        until: Duration::from_secs_f64(flags.outage_after + seconds),
    });
    let per_minute = flags.per_minute.map(PerMinute);
    let behaviour = Behaviour { latency, rates, per_minute, outage, ..Behaviour::default() };
    let server = Server::start(flags.port, answers, behaviour).await?;
    println!("{}", server.address.port());
    tokio::signal::ctrl_c().await?;
    Ok(())
}
