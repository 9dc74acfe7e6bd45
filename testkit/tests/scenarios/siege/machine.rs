//! What else the machine does meanwhile: a stretch of time in which others take the cores says nothing
//! about the server.

use std::fs;
use std::time::Instant;

use crate::scenarios::world::World;

/// Ticks in a second, in /proc (`USER_HZ`).
const TICKS_PER_S: f64 = 100.0;

/// Those that are watched: this test, the server, its Postgres.
pub(super) struct Machine {
    server: u32,
    postmaster: Option<u32>,
}

/// What had been used up at a moment, in ticks.
pub(super) struct Moment {
    at: Instant,
    all: u64,
    own: u64,
}

impl Machine {
    pub(super) fn of(world: &World) -> Self {
        let postmaster = world.on_postgres().then(|| {
            let folder = world.database().ask("SHOW data_directory");
            let file = fs::read_to_string(format!("{}/postmaster.pid", folder.trim()));
            let pid = file.expect("a running Postgres").lines().next().map(str::parse);
            pid.expect("a line").expect("a number")
        });
        Self { server: world.server.pid(), postmaster }
    }

    pub(super) fn now(&self) -> Moment {
        let stat = fs::read_to_string("/proc/stat").expect("/proc");
        let line = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
        let ticks: Vec<u64> = line.map(|n| n.parse().unwrap_or_default()).collect();
        // user, nice, system and what the host took; interrupts are nobody's.
        let all = [0, 1, 2, 7].into_iter().filter_map(|at| ticks.get(at)).sum();
        let mut own = used(std::process::id(), false) + used(self.server, false);
        if let Some(postmaster) = self.postmaster {
            let children = format!("/proc/{postmaster}/task/{postmaster}/children");
            let children = fs::read_to_string(children).unwrap_or_default();
            let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
            own += used(postmaster, true) + children.map(|pid| used(pid, false)).sum::<u64>();
        }
        Moment { at: Instant::now(), all, own }
    }

    /// How many cores others have used since.
    pub(super) fn foreign(&self, since: &Moment) -> f64 {
        let now = self.now();
        let used = (now.all - since.all).saturating_sub(now.own.saturating_sub(since.own));
        #[allow(clippy::cast_precision_loss, reason = "a few thousand")]
        let used = used as f64;
        used / TICKS_PER_S / (now.at - since.at).as_secs_f64()
    }
}

/// What a process has used, with what its ended children had if `with_children`.
fn used(pid: u32, with_children: bool) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in the middle may hold anything.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let fields = fields.skip(11).take(if with_children { 4 } else { 2 });
    fields.filter_map(|n| n.parse::<u64>().ok()).sum()
}
