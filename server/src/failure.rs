//! Why the executable cannot go on, told once: what happened, and the way out.

use std::fmt;

/// A failure of a command. The process ends with exit code 2 after printing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    what: String,
    way_out: String,
}

/// The result of a command's step.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// `what` happened, and what the operator can do about it.
    pub(crate) fn new(what: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { what: what.into(), way_out: way_out.into() }
    }

    /// Writing to standard output failed: nobody reads it any more.
    pub(crate) fn output(error: &std::io::Error) -> Self {
        Self::new(
            format!("standard output cannot be written: {error}"),
            "Run the command with its output going somewhere that stays open.",
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        for line in self.way_out.lines() {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_and_the_way_out() {
        let failure = Failure::new("the port is busy", "Choose another.\nOr stop the other one.");
        assert_eq!(
            failure.to_string(),
            "error: the port is busy\n  Choose another.\n  Or stop the other one."
        );
    }
}
