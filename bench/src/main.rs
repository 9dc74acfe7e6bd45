//! `godwit-bench`: load and check an MQTT broker over real sockets.
//!
//! What it does: holds idle connections, sends between pairs in closed and open loop, fans out,
//! storms, lets a large group speak beside pairs, weighs typing; counts every message; tells latency, CPU and memory. What it refuses: averages without
//! a tail, latency from the time of the actual send, results of a machine busy with other things.
//!
//! Read in this order: `args` (what can be asked), `wire` (protocols as pure state machines),
//! `engine` (one thread, one epoll), `target` (whom it speaks to), `load` (the measurements),
//! `procfs` (CPU and memory), `report`.

mod args;
mod engine;
mod http;
mod limits;
mod load;
mod procfs;
mod report;
mod stamp;
mod target;
mod tls;
mod token;
mod wire;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Cli, Command};
use crate::report::Report;

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "godwit-bench: {error:?}");
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> miette::Result<ExitCode> {
    let json = match &command {
        Command::Idle(args) => args.output.json,
        Command::Pairs(args) => args.output.json,
        Command::Storm(args) => args.output.json,
        Command::Fanout(args) => args.output.json,
        Command::Isolation(args) => args.output.json,
        Command::Soak(args) => args.output.json,
        Command::Typing(args) => args.output.json,
    };
    let report = measure(command)?;
    let mut out = std::io::stdout().lock();
    // A reader that went away has seen all it wanted; the exit code still tells the verdict.
    let _ = report.write(json, &mut out);
    Ok(if report.sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(command: Command) -> miette::Result<Report> {
    match command {
        Command::Idle(args) => load::idle::idle(args),
        Command::Pairs(args) => load::pairs::pairs(args),
        Command::Storm(args) => load::storm::storm(args),
        Command::Fanout(args) => load::pairs::fanout(args),
        Command::Isolation(args) => load::isolation::isolation(&args),
        Command::Soak(args) => load::soak::soak(args),
        Command::Typing(args) => load::typing::typing(args),
    }
}
