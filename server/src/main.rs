//! The `godwit` executable: configuration, adapters, roles, REST, and a dev mode.
//!
//! It is the one place that knows every other crate, and it knows them only to join them. Read it
//! in this order: [`cli`], what can be typed; [`config`]; [`command`] and [`dev`], what is done;
//! [`wire`], how the roles are joined and taken apart; [`auth`], who may do what; [`api`], REST.

mod api;
mod audit;
mod auth;
mod cli;
mod clock;
mod command;
mod config;
mod descriptors;
mod dev;
mod exposure;
mod failure;
mod files;
mod lease;
mod limits;
mod listeners;
mod lock;
mod logging;
mod memory;
mod metrics;
mod process;
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

/// `inbox check` found what differs; `migrate status` has migrations to apply.
const EXIT_DIFFERS: u8 = 1;

/// What could not be done, with its reason on standard error.
const EXIT_FAILURE: u8 = 2;

fn main() -> ExitCode {
    files::keep_to_ourselves();
    godwit_heap::keep_little();
    let done = match &Cli::parse().command {
        Command::Dev(asked) => dev::run(asked),
        Command::Serve(settings) => command::serve::run(settings),
        Command::Token(asked) => command::token::run(asked),
        Command::Key(asked) => command::key::run(&asked.action),
        Command::Admin(asked) => command::admin::run(&asked.action),
        Command::Config(asked) => command::config::run(&asked.action),
        Command::Migrate(asked) => return ended(command::migrate::run(&asked.action)),
        Command::Inbox(asked) => return ended(command::inbox::run(&asked.action)),
    };
    ended(done.map(|()| true))
}

/// `Ok(false)`: it was looked at, and is not as it should be.
fn ended(done: failure::Result<bool>) -> ExitCode {
    logging::flush();
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(EXIT_DIFFERS),
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(EXIT_FAILURE)
        }
    }
}
