//! What becomes of a server whose log nobody reads, or whose disk stands still under it.

use std::path::Path;
use std::time::{Duration, Instant};

use godwit_testkit::probe::Probe;
use godwit_testkit::scratch::Scratch;
use godwit_testkit::server::Options;
use godwit_testkit::wire::{Connect, Version};

use super::world::{Backend, World};

/// Runs the server with a pipe of one page as its standard error, and passes on what it says until a
/// file is there: from then on nobody reads.
const PIPE: &str = "\
import ctypes, fcntl, os, subprocess, sys, threading
ours, theirs = os.pipe()
fcntl.fcntl(theirs, 1031, 4096)
end_with_us = lambda: ctypes.CDLL(None).prctl(1, 9)
server = subprocess.Popen(sys.argv[2:], stderr=theirs, preexec_fn=end_with_us)
os.close(theirs)
def read():
    while not os.path.exists(sys.argv[1]):
        os.write(2, os.read(ours, 4096))
threading.Thread(target=read, daemon=True).start()
sys.exit(server.wait())
";

fn piped(mute: &Path) -> Options {
    let wrapper = ["python3", "-c", PIPE].map(str::to_owned).to_vec();
    let wrapper = [wrapper, vec![mute.display().to_string()]].concat();
    let options = Options { wrapper, ..Options::default() };
    // A line or more for each packet.
    options
        .with("GODWIT__LOG__FILTER", "trace")
        .with("GODWIT__LIMITS__CONNECTS_PER_S_PER_ADDRESS", "0")
}

/// How long all of it may take: a second on a quiet machine.
const PATIENCE: Duration = Duration::from_secs(15);

/// Sends from a device of alice's, with new connections and a kept session of bob's in between.
/// In the middle of it, `mute` comes into being.
async fn talk(world: &World, device: &str, hellos: [Connect; 2], mute: Option<&Path>) {
    let [alice, bob] = hellos;
    for n in 0..40 {
        if let (8, Some(mute)) = (n, mute) {
            std::fs::write(mute, "").expect("a file");
        }
        let (mut alice, _) = Probe::connect(&world.mqtt(), &alice).await;
        let (mut bob, _) = Probe::connect(&world.mqtt(), &bob).await;
        bob.subscribe("m/#").await;
        for m in 0..3 {
            let topic = world.keyed(&format!("{device}-{n}-{m}"));
            assert_eq!(alice.publish(&topic, b"body").await.code, 0);
        }
        bob.recv().await;
        bob.disconnect(0).await;
    }
}

/// How many seconds the oldest transaction that waits for its client has waited.
fn idle_in_transaction(world: &World) -> f64 {
    let age = world.database().ask(
        "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - state_change)), 0)
         FROM pg_stat_activity
         WHERE datname = current_database() AND state LIKE 'idle in transaction%'",
    );
    age.parse().expect("a number")
}

/// A pipe that is full, a disk that stands still for seconds: the lines wait, the server does not, and
/// none of its transactions is left open meanwhile.
async fn a_log_that_nobody_reads_stops_nobody(backend: Backend) {
    let scratch = Scratch::new("mute");
    let mute = scratch.path().join("mute");
    let world = World::on_with(backend, piped(&mute)).await;
    let hellos = async |device: &str| {
        let alice = world.hello(Version::V5, "alice", device).await;
        [alice, world.hello(Version::V3, "bob", device).await.kept()]
    };
    let (one, two) = (hellos("one").await, hellos("two").await);
    let talks = async {
        tokio::join!(talk(&world, "one", one, Some(&mute)), talk(&world, "two", two, None))
    };
    let (mut talks, mut idle) = (std::pin::pin!(talks), 0.0_f64);
    let begun = Instant::now();
    while tokio::time::timeout(Duration::from_secs(1), &mut talks).await.is_err() {
        if backend == Backend::Postgres {
            idle = idle.max(idle_in_transaction(&world));
        }
        let left = PATIENCE.checked_sub(begun.elapsed());
        assert!(left.is_some(), "they do not get on; a transaction was idle for {idle} s");
    }
    assert!(idle < 1.0, "a transaction was idle for {idle} s");
    let reply = world.server.ask("GET", "/livez", "", None).await;
    assert_eq!(reply.status, 200);
}

mod a_log_that_nobody_reads_stops_nobody {
    use super::Backend;

    #[tokio::test]
    async fn sqlite() {
        super::a_log_that_nobody_reads_stops_nobody(Backend::Sqlite).await;
    }

    #[tokio::test]
    async fn postgres() {
        super::a_log_that_nobody_reads_stops_nobody(Backend::Postgres).await;
    }
}
