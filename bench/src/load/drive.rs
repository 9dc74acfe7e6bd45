//! The loop: open what may be opened, send what is due, wait, read, until a condition holds.

use std::ops::Range;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use miette::{IntoDiagnostic as _, bail};

use crate::engine::{Engine, News};
use crate::limits::DESCRIPTORS_SPARE;
use crate::stamp::nanos;
use crate::wire::Event;

use super::lanes::Lanes;
use super::ramp::Ramp;

/// The longest wait without a look at the conditions.
const TURN: Duration = Duration::from_millis(50);
/// No connection came up for so long: the server is not going to.
const RAMP_STALL: Duration = Duration::from_secs(20);

/// A run under way.
pub(crate) struct Drive {
    pub(crate) engine: Engine,
    pub(crate) lanes: Lanes,
    bar: ProgressBar,
    drawn: Instant,
}

impl Drive {
    /// Checks that all connections fit. Errors: more than `RLIMIT_NOFILE` allows.
    pub(crate) fn new(engine: Engine, lanes: Lanes) -> miette::Result<Self> {
        let limit = connections_max()?;
        if engine.len() > limit {
            bail!("{} connections are too many; RLIMIT_NOFILE allows {limit}", engine.len());
        }
        // The template is a constant, so it always parses.
        let style = ProgressStyle::with_template("{prefix:>10} [{bar:30}] {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        let bar = ProgressBar::new(1_000).with_style(style);
        Ok(Self { engine, lanes, bar, drawn: Instant::now() })
    }

    /// Draws nothing: another drive has the terminal.
    pub(crate) fn quiet(mut self) -> Self {
        self.bar = ProgressBar::hidden();
        self
    }

    /// One turn: at most until `until_ns`.
    fn turn(&mut self, until_ns: u64, ramp: &mut Option<&mut Ramp>) -> miette::Result<()> {
        if let Some(ramp) = ramp {
            ramp.fill(&mut self.engine);
        }
        self.lanes.pump(&mut self.engine);
        self.engine.flush();
        let now = self.engine.clock().now_ns();
        let until = self.lanes.next_due_ns().map_or(until_ns, |due| due.min(until_ns));
        let wait = Duration::from_nanos(until.saturating_sub(now)).min(TURN);
        let mut ready = Vec::new();
        let lanes = &mut self.lanes;
        self.engine
            .poll(wait, |index, news, at_ns| match news {
                News::Event(Event::Delivered(Some(stamp))) => lanes.delivered(index, stamp, at_ns),
                News::Event(Event::Delivered(None)) => {}
                News::Event(Event::Passed) => lanes.passed(),
                News::Event(Event::Acked { id, code }) => lanes.acked(index, id, code, at_ns),
                News::Event(Event::AckedUpTo { count }) => lanes.acked_up_to(index, count, at_ns),
                News::Event(Event::Ready) => ready.push((index, at_ns)),
                News::Gone(reason) => {
                    let counted = ramp.as_mut().is_some_and(|ramp| ramp.gone(index, &reason));
                    if !counted {
                        lanes.gone(index, &reason);
                    }
                }
            })
            .into_diagnostic()?;
        if let Some(ramp) = ramp {
            for (index, at_ns) in ready {
                ramp.ready(index, self.engine.opened_ns(index), at_ns);
            }
        }
        Ok(())
    }

    /// Opens the connections of `range` while the lanes go on. Errors: the server does not
    /// answer for 20 s.
    pub(crate) fn ramp(&mut self, range: Range<usize>, concurrency: usize) -> miette::Result<Ramp> {
        let mut ramp = Ramp::new(range, concurrency)?;
        let mut last = (0, Instant::now());
        while !ramp.is_done() {
            self.turn(u64::MAX, &mut Some(&mut ramp))?;
            let (done, all) = ramp.progress();
            if done > last.0 {
                last = (done, Instant::now());
            } else if last.1.elapsed() > RAMP_STALL {
                bail!("after {done} of {all} connections none came up for {RAMP_STALL:?}");
            }
            self.draw("connecting", done, all);
        }
        Ok(ramp)
    }

    /// Runs the lanes until the clock shows `until_ns`.
    pub(crate) fn run_until(&mut self, name: &'static str, until_ns: u64) -> miette::Result<()> {
        let from = self.engine.clock().now_ns();
        loop {
            let now = self.engine.clock().now_ns();
            if now >= until_ns {
                return Ok(());
            }
            self.turn(until_ns, &mut None)?;
            let milli = |ns: u64| usize::try_from(ns / 1_000_000).unwrap_or(usize::MAX);
            self.draw(name, milli(now.saturating_sub(from)), milli(until_ns - from));
        }
    }

    /// Waits until everything sent has settled, but for at most `patience`.
    pub(crate) fn settle(&mut self, patience: Duration) -> miette::Result<()> {
        let until = self.engine.clock().now_ns().saturating_add(nanos(patience));
        while !self.lanes.is_settled() && self.engine.clock().now_ns() < until {
            self.turn(until, &mut None)?;
            self.draw("draining", 1, 1);
        }
        Ok(())
    }

    /// Ends all connections properly, so that the next run meets none of them.
    pub(crate) fn finish(&mut self) {
        self.bar.finish_and_clear();
        for index in 0..self.engine.len() {
            self.engine.close(index);
        }
    }

    /// Five times a second; only a terminal sees it.
    fn draw(&mut self, name: &'static str, done: usize, all: usize) {
        if self.drawn.elapsed() < Duration::from_millis(200) {
            return;
        }
        self.drawn = Instant::now();
        let share = done * 1_000 / all.max(1);
        self.bar.set_prefix(name);
        self.bar.set_message(format!("{} messages sent", self.lanes.sent()));
        self.bar.set_position(u64::try_from(share).unwrap_or(0));
    }
}

/// Raises the soft limit of descriptors to the hard one; how many connections it allows.
pub(crate) fn connections_max() -> miette::Result<usize> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit).into_diagnostic()?;
    }
    let connections = limit.current.unwrap_or(u64::MAX).saturating_sub(DESCRIPTORS_SPARE);
    Ok(usize::try_from(connections).unwrap_or(usize::MAX))
}
