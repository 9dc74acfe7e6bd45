//! The `godwit` executable: configuration, adapters, roles, REST, and a dev mode.
//!
//! It is the one place that knows every other crate, and it knows them only to join them. Read it
//! in this order: [`cli`], what can be typed; [`config`]; [`command`] and [`dev`], what is done;
//! [`wire`], how the roles are joined and taken apart; [`auth`], who may do what; [`api`], REST.

mod api;
mod auth;
mod cli;
mod clock;
mod command;
mod config;
mod dev;
mod failure;
mod files;
mod limits;
mod listeners;
mod lock;
mod logging;
mod metrics;
mod secret;
mod signals;
mod store;
mod supervisor;
#[cfg(test)]
mod testing;
mod wire;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};

/// `inbox check` found what differs.
const EXIT_DIFFERS: u8 = 1;

/// What could not be done, with its reason on standard error.
const EXIT_FAILURE: u8 = 2;

fn main() -> ExitCode {
    let done = match &Cli::parse().command {
        Command::Dev(asked) => dev::run(asked),
        Command::Serve(settings) => command::serve::run(settings),
        Command::Token(asked) => command::token::run(asked),
        Command::Migrate(asked) => command::migrate::run(&asked.action),
        Command::Config(asked) => command::config::run(&asked.action),
        Command::Inbox(asked) => match command::inbox::run(&asked.action) {
            Ok(true) => Ok(()),
            Ok(false) => return ExitCode::from(EXIT_DIFFERS),
            Err(failure) => Err(failure),
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(EXIT_FAILURE)
        }
    }
}
