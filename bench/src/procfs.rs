//! CPU time and memory of processes, and of the machine, from /proc.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::time::Instant;

use miette::{IntoDiagnostic as _, WrapErr as _, miette};
use serde::Serialize;

use crate::limits::FOREIGN_SHARE_MAX;

/// /proc counts in hundredths of a second on every Linux that has been built since 2.4
/// (`USER_HZ`, proc(5)).
const TICKS_PER_S: f64 = 100.0;

/// A process to watch: `NAME=PID`.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    pub(crate) name: String,
    pub(crate) pid: u32,
}

impl FromStr for Watched {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, pid) = text.split_once('=').ok_or("must be NAME=PID")?;
        let pid = pid.parse().map_err(|error| format!("{pid}: {error}"))?;
        Ok(Self { name: name.to_owned(), pid })
    }
}

/// What to watch during a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watch {
    /// Single processes.
    pub(crate) alone: Vec<Watched>,
    /// Processes with all their descendants.
    pub(crate) trees: Vec<Watched>,
}

/// One reading of everything watched.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    at: Instant,
    /// Per watched name: CPU ticks and resident bytes.
    named: Vec<(String, u64, u64)>,
    own_ticks: u64,
    machine: Machine,
}

#[derive(Debug, Clone, Copy, Default)]
struct Machine {
    /// user, nice, system and steal: what somebody used.
    used_ticks: u64,
    /// irq and softirq: mostly the loopback's own work for this very traffic.
    interrupt_ticks: u64,
    cores: u32,
}

/// What one process, or tree of processes, used between two samples.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Usage {
    pub(crate) name: String,
    pub(crate) cpu_s: f64,
    /// Resident bytes at the first and at the second sample; shared pages count in each process.
    pub(crate) rss_bytes_before: u64,
    pub(crate) rss_bytes: u64,
}

/// What the machine did between two samples.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machinery {
    pub(crate) seconds: f64,
    pub(crate) cores: u32,
    pub(crate) processes: Vec<Usage>,
    /// CPU of the load generator itself.
    pub(crate) generator_cpu_s: f64,
    /// Interrupt time, counted by the kernel for nobody.
    pub(crate) interrupt_cpu_s: f64,
    /// The share of the machine that processes outside of this run used, 0 to 1.
    pub(crate) foreign_share: f64,
    /// The foreign share was too large for the run to count.
    pub(crate) void: bool,
}

impl Watch {
    /// Reads everything now. Errors: a watched process is gone.
    pub(crate) fn sample(&self) -> miette::Result<Sample> {
        let mut named = Vec::with_capacity(self.alone.len() + self.trees.len());
        for watched in &self.alone {
            let process = read_process(watched.pid)?;
            named.push((watched.name.clone(), process.ticks, process.rss_bytes));
        }
        if !self.trees.is_empty() {
            let all = read_all();
            for watched in &self.trees {
                let root = all.get(&watched.pid).ok_or_else(|| gone(watched.pid))?;
                // Waited-for descendants of the root count too, or a backend that ends in
                // between would take its time with it.
                let (mut ticks, mut rss_bytes) = (root.ticks + root.reaped_ticks, root.rss_bytes);
                for (&pid, process) in &all {
                    if pid != watched.pid && descends(&all, pid, watched.pid) {
                        ticks += process.ticks + process.reaped_ticks;
                        rss_bytes += process.rss_bytes;
                    }
                }
                named.push((watched.name.clone(), ticks, rss_bytes));
            }
        }
        Ok(Sample {
            at: Instant::now(),
            named,
            own_ticks: read_process(std::process::id())?.ticks,
            machine: read_machine()?,
        })
    }
}

impl Sample {
    /// What happened from this sample to a later one of the same watch.
    pub(crate) fn until(&self, later: &Self) -> Machinery {
        let seconds = later.at.duration_since(self.at).as_secs_f64();
        let cores = later.machine.cores;
        let processes: Vec<_> = self
            .named
            .iter()
            .zip(&later.named)
            .map(|((name, ticks, rss), (_, later_ticks, later_rss))| Usage {
                name: name.clone(),
                cpu_s: cpu_s(*ticks, *later_ticks),
                rss_bytes_before: *rss,
                rss_bytes: *later_rss,
            })
            .collect();
        let generator_cpu_s = cpu_s(self.own_ticks, later.own_ticks);
        let ours = generator_cpu_s + processes.iter().map(|usage| usage.cpu_s).sum::<f64>();
        let used_s = cpu_s(self.machine.used_ticks, later.machine.used_ticks);
        let foreign_share = ((used_s - ours) / (seconds * f64::from(cores))).max(0.0);
        Machinery {
            seconds,
            cores,
            processes,
            generator_cpu_s,
            interrupt_cpu_s: cpu_s(self.machine.interrupt_ticks, later.machine.interrupt_ticks),
            foreign_share,
            void: foreign_share > FOREIGN_SHARE_MAX,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "ticks of a run are far below 2^52")]
fn cpu_s(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 / TICKS_PER_S
}

struct Process {
    parent: u32,
    ticks: u64,
    /// Of children that ended and were waited for.
    reaped_ticks: u64,
    rss_bytes: u64,
}

fn gone(pid: u32) -> miette::Report {
    miette!("process {pid} is gone, or hides from /proc")
}

fn read_process(pid: u32) -> miette::Result<Process> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).into_diagnostic().wrap_err_with(|| gone(pid))?;
    parse_stat(&text).ok_or_else(|| miette!("{path} is not as proc(5) describes it"))
}

fn read_all() -> HashMap<u32, Process> {
    let Ok(entries) = fs::read_dir(Path::new("/proc")) else { return HashMap::new() };
    entries
        .filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            Some((pid, read_process(pid).ok()?))
        })
        .collect()
}

fn descends(all: &HashMap<u32, Process>, pid: u32, root: u32) -> bool {
    let mut at = pid;
    // A chain of parents is never longer than there are processes.
    for _ in 0..all.len() {
        match all.get(&at) {
            Some(process) if process.parent == root => return true,
            Some(process) => at = process.parent,
            None => return false,
        }
    }
    false
}

/// Fields of /proc/PID/stat behind the name, which may hold anything but ends with `)`.
fn parse_stat(text: &str) -> Option<Process> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |nth: usize| fields.get(nth)?.parse::<u64>().ok();
    Some(Process {
        parent: u32::try_from(number(1)?).ok()?,
        ticks: number(11)? + number(12)?,
        reaped_ticks: number(13)? + number(14)?,
        rss_bytes: number(21)? * u64::try_from(rustix::param::page_size()).ok()?,
    })
}

fn read_machine() -> miette::Result<Machine> {
    let text = fs::read_to_string("/proc/stat").into_diagnostic()?;
    Ok(parse_machine(&text))
}

fn parse_machine(text: &str) -> Machine {
    let mut machine = Machine::default();
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace();
        match fields.next() {
            Some("cpu") => {
                let ticks: Vec<u64> = fields.filter_map(|field| field.parse().ok()).collect();
                let at = |nth: usize| ticks.get(nth).copied().unwrap_or(0);
                machine.used_ticks = at(0) + at(1) + at(2) + at(7);
                machine.interrupt_ticks = at(5) + at(6);
            }
            Some(name) if name.starts_with("cpu") => machine.cores += 1,
            _ => {}
        }
    }
    machine
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let text = "7 (a) b) S 3 7 7 0 -1 0 0 0 0 0 11 22 33 44 20 0 1 0 9 1000 5 0 0";
        let process = parse_stat(text).unwrap();
        assert_eq!((process.parent, process.ticks, process.reaped_ticks), (3, 33, 77));
        assert_eq!(process.rss_bytes, 5 * u64::try_from(rustix::param::page_size()).unwrap());
        assert!(parse_stat("7 (a) S 3").is_none());
    }

    #[test]
    fn the_machines_time_is_split_into_use_and_interrupts() {
        let machine = parse_machine("cpu  1 2 4 100 7 8 16 32 0 0\ncpu0 1 2\ncpu1 1 2\nintr 5\n");
        assert_eq!((machine.used_ticks, machine.interrupt_ticks, machine.cores), (39, 24, 2));
    }

    #[test]
    fn foreign_time_is_what_nobody_here_used() {
        let watch = Watch::default();
        let mut before = watch.sample().unwrap();
        let mut after = before.clone();
        before.named.push(("server".to_owned(), 100, 1));
        after.named.push(("server".to_owned(), 400, 2));
        after.at += std::time::Duration::from_secs(10);
        after.own_ticks += 200;
        after.machine.used_ticks += 800;
        after.machine.cores = 2;
        let seen = before.until(&after);
        assert!((seen.foreign_share - 0.15).abs() < 1e-9, "{seen:?}");
        assert!(seen.void);
        assert!((seen.processes[0].cpu_s - 3.0).abs() < 1e-9);
    }

    #[test]
    fn a_tree_holds_its_children() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let all = read_all();
        assert!(descends(&all, child.id(), std::process::id()));
        assert!(!descends(&all, std::process::id(), child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        let none = Watched { name: "x".to_owned(), pid: u32::MAX };
        assert!(Watch { alone: vec![none], trees: vec![] }.sample().is_err());
    }
}
