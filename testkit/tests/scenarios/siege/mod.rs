//! One hostile user or address against twenty honest pairs: these must hardly notice.
//!
//! Each scenario lets the pairs talk in peace, begins the attack from a thread of its own, lets them
//! talk on under it, and compares, within the same run: from the moment when a message was due until
//! the other one has it, the slowest of a hundred takes at most twice as long (or [`FLOOR`], so that a
//! loaded machine is no failure; `GODWIT_ATTACK_STRICT=1` leaves that out, for a quiet machine and a
//! release build in `GODWIT_BIN`). Memory stays within what the configuration allows to the attacker.
//! Nothing is lost: a pair goes on only when what was acknowledged has arrived, and the world asks for
//! the rest at its end.
//!
//! Attacks by peers that are not known yet, and by weight alone, stand in [`super::attack`].
//!
//! Read [`honest`] and [`raid`] first; then one file for each kind of attack.

mod honest;
mod mounts;
mod packets;
mod quotas;
mod raid;
mod sessions;

use std::time::Duration;

use super::world::World;
use honest::{Figures, Pairs};
use raid::{Means, Raid};

/// A slowest of a hundred below this is no harm, whatever it was before: two loaded cores show 120 ms in
/// peace; the attacks took 260 ms to 10 s before their cures.
const FLOOR: Duration = Duration::from_millis(250);

/// The same for who asks for strictness: what timers and two cores do by themselves.
const FLOOR_STRICT: Duration = Duration::from_millis(4);

/// How long the pairs talk in peace, and how long under the attack.
const PEACE: Duration = Duration::from_secs(2);
const WAR: Duration = Duration::from_secs(5);

/// What an attack may cost the others.
struct Bounds {
    /// How much the server's resident memory may grow, in bytes: what the configuration gives to one
    /// user, and some for the allocator.
    grows: u64,
}

const MIB: u64 = 1024 * 1024;

/// Peace, war, judgement. `attack` runs until it is told to end, and counts its blows; it has this many
/// devices of one user.
async fn besiege<F>(world: &World, bounds: Bounds, devices: usize, attack: F)
where
    F: AsyncFn(&Means) + Send + 'static,
{
    let mut pairs = Pairs::connect(world).await;
    let means = Means::prepare(world, devices).await;
    // Caches fill and connections find their pace.
    pairs.talk(Duration::from_millis(500)).await;
    let peace = pairs.talk(PEACE).await;
    let before = world.server.resident();
    let raid = Raid::begin(means, attack);
    raid.underway().await;
    let war = pairs.talk(WAR).await;
    let grown = world.server.resident().saturating_sub(before);
    let blows = raid.end().await;
    eprintln!("peace {peace}; war {war}; {blows} blows; {} KiB more", grown / 1024);
    judge(peace, war);
    assert!(grown <= bounds.grows, "{grown} bytes more, {} are allowed", bounds.grows);
    // And when the attacker's sockets are gone it is as before.
    pairs.talk(PEACE / 2).await;
    judge(peace, pairs.talk(PEACE / 2).await);
}

fn judge(peace: Figures, war: Figures) {
    let strict = std::env::var_os("GODWIT_ATTACK_STRICT").is_some();
    let floor = if strict { FLOOR_STRICT } else { FLOOR };
    let allowed = (peace.p99 * 2).max(floor);
    assert!(war.p99 <= allowed, "in peace {peace}, then {war}: {allowed:?} is allowed");
}
