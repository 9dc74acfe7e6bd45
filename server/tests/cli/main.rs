//! The executable as an operator meets it: exit codes, messages, `godwit dev` from start to end.

#![allow(clippy::unwrap_used, reason = "helpers of tests are test code")]

mod commands;
mod dev;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of its own, removed at the end.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("godwit-cli-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The executable, with no configuration of this machine.
fn godwit(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_godwit"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("GODWIT__")) {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

/// Standard output of a success.
fn done(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Standard error of a refusal: exit code 2, one message, a way out.
fn refused(output: &Output) -> String {
    let error = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert_eq!(error.matches("error:").count(), 1, "{error}");
    assert!(error.lines().count() >= 2, "no way out: {error}");
    assert!(!error.contains("panicked"), "{error}");
    error
}
