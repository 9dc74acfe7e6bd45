//! Places for peers that have not shown who they are: shares for each address, and a line behind.
//!
//! What costs memory or a core before a peer is known (a handshake, a large CONNECT, a request) is
//! done in a place. There are so many in all, and an address has at most a share of them; whoever
//! finds none waits in its address's own line, so that others are not kept waiting behind it. A
//! holder that keeps the server waiting while somebody is in line is told to go, the longest
//! waiting of the address with the most first. The newest in line is served first: an attacker's
//! sockets grow old there, and an honest peer comes, is served and goes.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::census::Origin;
use crate::limits::PLACES_LOOK_EVERY;

/// The places of one kind of work.
///
/// Memory: about 200 bytes for each holder and each in line; how many wait is bounded by the
/// [`super::Census`] that let them in.
#[derive(Debug)]
pub struct Places {
    max: usize,
    share: usize,
    patience: Duration,
    born: Instant,
    state: Mutex<State>,
    /// One of those in line looks for all: each of them by itself cost a core with some thousands.
    looker: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    held: usize,
    next_id: u64,
    /// Only of addresses with a holder or somebody in line.
    lines: HashMap<Origin, Line>,
    holders: HashMap<u64, Holder>,
}

/// What there is of one address.
#[derive(Debug, Default)]
struct Line {
    held: usize,
    /// Told to go and not gone yet.
    leaving: usize,
    /// The newest last.
    waiting: Vec<oneshot::Sender<Held>>,
}

#[derive(Debug)]
struct Holder {
    origin: Origin,
    mark: Arc<Mark>,
    told: bool,
}

#[derive(Debug, Default)]
struct Mark {
    /// Since when the peer is waited for, in milliseconds of the places' life; 0: it is not.
    waits_ms: AtomicU64,
    go: Notify,
}

/// A place, until dropped.
#[derive(Debug)]
pub struct Held {
    places: Arc<Places>,
    origin: Origin,
    id: u64,
    mark: Arc<Mark>,
}

impl Places {
    /// `max` places in all, `share` of them at most for one address. A holder that has kept the
    /// server waiting for `patience` may be told to go.
    #[must_use]
    pub fn new(max: usize, share: usize, patience: Duration) -> Arc<Self> {
        let (state, looker) = (Mutex::default(), tokio::sync::Mutex::default());
        let (max, share) = (max.max(1), share.max(1));
        Arc::new(Self { max, share, patience, born: Instant::now(), state, looker })
    }

    /// Waits for a place. Dropped while it waits, it leaves the line.
    pub async fn take(self: &Arc<Self>, origin: Origin) -> Held {
        loop {
            let coming = match self.ask(origin) {
                Ok(held) => return held,
                Err(coming) => coming,
            };
            tokio::select! {
                biased;
                held = coming => if let Ok(held) = held {
                    return held;
                },
                never = self.look_on() => match never {},
            }
        }
    }

    /// Looks for all in line, as soon as nobody else does, until it is dropped: whoever waits longest
    /// does it, and when that one leaves the next.
    async fn look_on(&self) -> Infallible {
        let _role = self.looker.lock().await;
        loop {
            tokio::time::sleep(PLACES_LOOK_EVERY).await;
            self.look();
        }
    }

    /// Places taken now.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.state.lock().held
    }

    fn ask(self: &Arc<Self>, origin: Origin) -> Result<Held, oneshot::Receiver<Held>> {
        let mut state = self.state.lock();
        let line_held = state.lines.get(&origin).map_or(0, |line| line.held);
        if state.held < self.max && line_held < self.share {
            return Ok(self.grant(&mut state, origin));
        }
        let (tell, coming) = oneshot::channel();
        state.lines.entry(origin).or_default().waiting.push(tell);
        Err(coming)
    }

    fn grant(self: &Arc<Self>, state: &mut State, origin: Origin) -> Held {
        let id = state.next_id;
        state.next_id += 1;
        state.held += 1;
        state.lines.entry(origin).or_default().held += 1;
        let mark = Arc::new(Mark::default());
        state.holders.insert(id, Holder { origin, mark: Arc::clone(&mark), told: false });
        Held { places: Arc::clone(self), origin, id, mark }
    }

    fn release(self: &Arc<Self>, origin: Origin, id: u64) {
        let granted = {
            let mut state = self.state.lock();
            let told = state.holders.remove(&id).is_some_and(|holder| holder.told);
            state.held -= 1;
            if let Some(line) = state.lines.get_mut(&origin) {
                line.held -= 1;
                line.leaving -= usize::from(told);
                if line.held == 0 && line.waiting.is_empty() {
                    state.lines.remove(&origin);
                }
            }
            self.hand_out(&mut state)
        };
        // Outside of the lock: whoever has left the line gives the place back right here.
        for (tell, held) in granted {
            drop(tell.send(held));
        }
    }

    /// Free places for those in line: the address with the fewest first, and of it the newest.
    fn hand_out(self: &Arc<Self>, state: &mut State) -> Vec<(oneshot::Sender<Held>, Held)> {
        let mut granted = Vec::new();
        while state.held < self.max {
            let next = state
                .lines
                .iter_mut()
                .filter(|(_, line)| !line.waiting.is_empty() && line.held < self.share)
                .min_by_key(|(_, line)| line.held)
                .and_then(|(origin, line)| line.waiting.pop().map(|tell| (*origin, tell)));
            let Some((origin, tell)) = next else { break };
            granted.push((tell, self.grant(state, origin)));
        }
        granted
    }

    /// Tells holders to go for whose places others are in line.
    fn look(&self) {
        let mut state = self.state.lock();
        let State { held, lines, holders, .. } = &mut *state;
        for line in lines.values_mut() {
            line.waiting.retain(|tell| !tell.is_closed());
        }
        lines.retain(|_, line| line.held > 0 || !line.waiting.is_empty());
        let full = *held >= self.max;
        let sum = |of: fn(&Line) -> usize| lines.values().map(of).sum::<usize>();
        let mut wanted = sum(|line| line.waiting.len()).saturating_sub(sum(|line| line.leaving));
        let oldest_ms = self.now_ms().saturating_sub(millis(self.patience));
        let mut ripe: Vec<_> = holders
            .values_mut()
            .filter(|holder| !holder.told)
            .map(|holder| (holder.mark.waits_ms.load(Ordering::Relaxed), holder))
            .filter(|(waits_ms, _)| *waits_ms != 0 && *waits_ms <= oldest_ms)
            .collect();
        let most = |origin: &Origin| lines.get(origin).map_or(0, |line| line.held);
        ripe.sort_by_key(|(waits_ms, holder)| (std::cmp::Reverse(most(&holder.origin)), *waits_ms));
        for (_, holder) in ripe {
            let Some(line) = lines.get_mut(&holder.origin) else { continue };
            let for_its_own = line.held >= self.share && line.waiting.len() > line.leaving;
            if wanted == 0 || !(full || for_its_own) {
                continue;
            }
            wanted -= 1;
            line.leaving += 1;
            holder.told = true;
            holder.mark.go.notify_one();
        }
    }

    fn now_ms(&self) -> u64 {
        // Never 0, which stands for not waiting.
        millis(self.born.elapsed()).saturating_add(1)
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl Held {
    /// The peer is waited for from now on, if it is not already.
    pub fn waits(&self) {
        let now_ms = self.places.now_ms();
        let mark = &self.mark.waits_ms;
        // Another value than 0 means that it waits since then.
        let _ = mark.compare_exchange(0, now_ms, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The server is at work for the peer: it is not told to go meanwhile.
    pub fn works(&self) {
        self.mark.waits_ms.store(0, Ordering::Relaxed);
    }

    /// Completes when the holder is to go, so that others can come.
    pub fn told_to_go(&self) -> impl Future<Output = ()> + Send + 'static {
        let mark = Arc::clone(&self.mark);
        async move { mark.go.notified().await }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.places.release(self.origin, self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::task::{Context, Poll, Waker};

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    fn origin(last: u8) -> Origin {
        Origin::of(Ipv4Addr::new(10, 0, 0, last).into())
    }

    async fn soon<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(SOON, future).await.expect("it does not happen")
    }

    fn poll<T>(future: &mut std::pin::Pin<Box<impl Future<Output = T>>>) -> Poll<T> {
        future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn one_address_has_a_share_and_the_others_have_the_rest() {
        let places = Places::new(4, 2, Duration::from_secs(100));
        let first = soon(places.take(origin(1))).await;
        let _second = soon(places.take(origin(1))).await;
        let mut third = Box::pin(places.take(origin(1)));
        assert!(poll(&mut third).is_pending());
        let _other = soon(places.take(origin(2))).await;
        drop(first);
        let third = soon(third).await;
        assert_eq!(places.taken(), 3);
        drop(third);
        assert_eq!(places.taken(), 2);
    }

    #[tokio::test]
    async fn the_newest_in_line_is_first_and_who_left_it_is_passed_over() {
        let places = Places::new(1, 1, Duration::from_secs(100));
        let held = soon(places.take(origin(1))).await;
        let mut old = Box::pin(places.take(origin(1)));
        let mut new = Box::pin(places.take(origin(1)));
        let mut gone = Box::pin(places.take(origin(1)));
        for waiting in [&mut old, &mut new, &mut gone] {
            assert!(poll(waiting).is_pending());
        }
        drop(gone);
        drop(held);
        let held = soon(new).await;
        assert!(poll(&mut old).is_pending());
        drop(held);
        soon(old).await;
        assert_eq!(places.taken(), 0);
        assert!(places.state.lock().lines.is_empty());
    }

    #[tokio::test]
    async fn who_keeps_the_server_waiting_goes_when_others_are_in_line() {
        let places = Places::new(3, 2, Duration::from_millis(1));
        let many: Vec<_> = [soon(places.take(origin(1))).await, soon(places.take(origin(1))).await]
            .into_iter()
            .inspect(Held::waits)
            .collect();
        let busy = soon(places.take(origin(2))).await;
        let leaving: Vec<_> = many
            .into_iter()
            .map(|held| {
                let go = held.told_to_go();
                tokio::spawn(async move {
                    go.await;
                    drop(held);
                })
            })
            .collect();
        // Two more than there are places: both of the greedy address go, the busy one stays.
        let _third = soon(places.take(origin(3))).await;
        let _fourth = soon(places.take(origin(4))).await;
        for task in leaving {
            soon(task).await.unwrap();
        }
        assert!(poll(&mut Box::pin(busy.told_to_go())).is_pending());
        assert_eq!(places.taken(), 3);
    }
}
