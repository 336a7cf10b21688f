//! The `ratchet` binary: parse, run, exit.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
// A write that fails makes these panic: `cli::say` and `cli::report::print` don't.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
