//! One hostile user or address against twenty honest pairs: these must hardly notice.
//!
//! Each scenario lets the pairs talk in peace, begins the attack from a thread of its own, lets them
//! talk on under it, ends it, and so on in turns. Then it compares: from the moment when a message was due
//! until the other one has it, the slowest of a hundred takes at most twice as long (or [`FLOOR`], so that
//! a loaded machine is no failure; `GODWIT_ATTACK_STRICT=1` leaves that out, for a quiet machine and a
//! release build in `GODWIT_BIN`). What else runs on the machine is looked at ([`machine`]): a round in which
//! others used the cores is left out, and if too few are left the times are not judged (and the strict
//! run says so and fails). Memory stays within what the configuration allows to the attacker.
//! Nothing is lost: a pair goes on only when what was acknowledged has arrived, and the world asks for
//! the rest at its end.
//!
//! Where an attack is on something that the pairs do not do (asking the probes, coming by TLS), honest
//! [`witness`]es do it meanwhile, and are judged in the same way.
//!
//! The edges of these attacks, and what they do to others at the same address, stand in
//! [`super::attack`].
//!
//! Read [`honest`] and [`raid`] first; then one file for each kind of attack: `sessions` (F1), `web`
//! (F2), `handshakes` (F3), `mounts` (F4), `quotas` (F5), `rights` (F6), `revoked` (F7), `packets` (F8),
//! `strangers` (F9).

mod crowd;
mod handshakes;
mod honest;
mod machine;
mod mint;
mod mounts;
mod packets;
mod quotas;
mod raid;
mod revoked;
mod rights;
mod sessions;
mod strangers;
mod web;
mod witness;

use std::sync::Arc;
use std::time::Duration;

use godwit_testkit::server::Options;

use super::world::World;
use honest::{Pairs, Times};
use machine::Machine;
use raid::{Means, Raid};
use witness::Witness;

/// A slowest of a hundred below this is no harm, whatever it was before: two loaded cores show 120 ms in
/// peace; the attacks took 260 ms to 10 s before their cures.
const FLOOR: Duration = Duration::from_millis(250);

/// The same for who asks for strictness: what timers and two cores do by themselves.
const FLOOR_STRICT: Duration = Duration::from_millis(4);

/// Peace and war take turns so often, so that what else the machine does falls on both.
const ROUNDS: usize = 3;

/// Rounds in which others took the cores are left out and tried again, up to so many in all.
const ROUNDS_MAX: usize = 5;

/// Cores that others may use in a round that counts.
const FOREIGN_MAX: f64 = 0.2;

/// How long the pairs talk in peace, and how long under the attack, each time.
const PEACE: Duration = Duration::from_secs(1);
const WAR: Duration = Duration::from_millis(1500);

/// Before each: caches fill and connections find their pace, the attacker's sockets go.
const PAUSE: Duration = Duration::from_millis(300);

fn is_strict() -> bool {
    std::env::var_os("GODWIT_ATTACK_STRICT").is_some()
}

/// What an attack may cost the others.
struct Bounds {
    /// How much the server's resident memory may grow, in bytes: what the configuration gives to one
    /// user, and some for the allocator.
    grows: u64,
}

const MIB: u64 = 1024 * 1024;

/// The bounds for addresses elsewhere, for those of this machine: all that connect here are. For attacks
/// by connections that come and go. (The larger ones are for proxies, which bring everybody.)
fn elsewhere() -> Options {
    Options::default()
        .with("GODWIT__LIMITS__CONNECTIONS_PER_ADDRESS_MAX", "2000")
        .with("GODWIT__LIMITS__CONNECTS_PER_S_PER_ADDRESS", "200")
}

/// Peace, war, judgement. `attack` runs until it is told to end, and counts its blows; it has this many
/// devices of one user.
async fn besiege<F>(world: &World, bounds: Bounds, devices: usize, attack: F)
where
    F: AsyncFn(&Means) + Send + 'static,
{
    besiege_before(world, bounds, devices, Witness::None, attack).await;
}

/// The same, with honest others beside the pairs.
async fn besiege_before<F>(
    world: &World,
    bounds: Bounds,
    devices: usize,
    witness: Witness,
    attack: F,
) where
    F: AsyncFn(&Means) + Send + 'static,
{
    let mut honest = Honest { pairs: Pairs::connect(world).await, witness: Arc::new(witness) };
    let (mut means, mut attack) = (Means::prepare(world, devices), attack);
    let (machine, mut foreign) = (Machine::of(world), Vec::new());
    let (mut peace, mut war) = <(Seen, Seen)>::default();
    let (mut before, mut grown, mut blows) = (None, 0, 0);
    while foreign.len() < ROUNDS_MAX && peace.pairs.count() < ROUNDS {
        honest.live(PAUSE).await;
        let start = machine.now();
        let in_peace = honest.live(PEACE).await;
        let before = *before.get_or_insert_with(|| world.server.resident());
        let raid = Raid::begin(means, attack);
        raid.underway().await;
        let in_war = honest.live(WAR).await;
        foreign.push(machine.foreign(&start));
        grown = grown.max(world.server.resident().saturating_sub(before));
        let (had, did, count) = raid.end().await;
        (means, attack, blows) = (had, did, blows + count);
        if foreign.last().is_some_and(|cores| *cores <= FOREIGN_MAX) {
            peace.add(in_peace);
            war.add(in_war);
        }
    }
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    eprintln!("{name}: {blows} blows; {} KiB more; cores of others: {foreign:.2?}", grown / 1024);
    assert!(grown <= bounds.grows, "{grown} bytes more, {} are allowed", bounds.grows);
    if peace.pairs.count() + 1 < ROUNDS {
        assert!(!is_strict(), "the machine is not quiet: others used {foreign:.2?} cores");
        eprintln!("{name}: others had the machine; the times are not judged");
        return;
    }
    judge(&name, "pairs", &peace.pairs, &war.pairs);
    if peace.witness.count() > 0 {
        judge(&name, "witness", &peace.witness, &war.witness);
    }
}

/// Whom the attack is not to be noticed by.
struct Honest {
    pairs: Pairs,
    witness: Arc<Witness>,
}

/// How it went for them.
#[derive(Default)]
struct Seen {
    pairs: Times,
    witness: Times,
}

impl Seen {
    fn add(&mut self, (pairs, witness): (Vec<Duration>, Option<Vec<Duration>>)) {
        self.pairs.add(pairs);
        if let Some(witness) = witness {
            self.witness.add(witness);
        }
    }
}

impl Honest {
    /// Lets all do what they do for so long; how long it took each time.
    async fn live(&mut self, span: Duration) -> (Vec<Duration>, Option<Vec<Duration>>) {
        tokio::join!(self.pairs.talk(span), self.witness.watch(span))
    }
}

fn judge(name: &str, what: &str, peace: &Times, war: &Times) {
    eprintln!("{name}: {what}: peace {peace}; war {war}");
    let floor = if is_strict() { FLOOR_STRICT } else { FLOOR };
    let allowed = (peace.p99() * 2).max(floor);
    assert!(war.p99() <= allowed, "{what}: in peace {peace}, then {war}: {allowed:?} is allowed");
}
