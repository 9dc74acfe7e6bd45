//! A device's subscriptions to its own topics: what is in force is what was stored.

use std::collections::BTreeSet;

use godwit_core::cursor::SubscriptionChange;
use godwit_core::edge::{Code, Qos, SubscribeRequest};
use godwit_core::ids::UserId;
use godwit_core::store::Error;

use crate::feeds::Feeds;
use crate::session::DeviceSession;
use crate::topic::{self, Target};
use crate::wish::Wish;
use crate::{acquainted, pull, retry, told};

impl DeviceSession {
    /// Checks one subscription; answers its code and, if it is to come into force, its target.
    /// `acquainted`: see [`DeviceSession::acquainted`].
    async fn check(
        &self,
        request: &SubscribeRequest,
        acquainted: Option<&BTreeSet<UserId>>,
    ) -> (Code, Option<Target>) {
        let granted = Code(u8::from(request.qos() == Qos::AtLeastOnce));
        if !request.mounted {
            return (granted, None);
        }
        let Some(target) = topic::parse_filter(&request.subscription.filter) else {
            return (Code::NOT_AUTHORIZED, None);
        };
        if let Some(conversation) = target.conversation() {
            match self.inner.directory.member(conversation, &self.identity().user).await {
                Ok(Some(_)) => {}
                Ok(None) => return (Code::NOT_AUTHORIZED, None),
                Err(error) => {
                    retry::note("conversation", &error);
                    return (Code::QUOTA_EXCEEDED, None);
                }
            }
        }
        if let Some(user) = target.user() {
            match acquainted {
                Some(acquainted) if acquainted.contains(user) => {}
                Some(_) => return (Code::NOT_AUTHORIZED, None),
                None => return (Code::QUOTA_EXCEEDED, None),
            }
        }
        (granted, Some(target))
    }

    /// Puts one subscription; `Ok`: how it stood before. `Err`: there are too many.
    fn put(&self, target: &Target, wish: Wish) -> Result<Option<Wish>, Code> {
        let mut feeds = self.feeds.lock();
        let old = feeds.exact(target);
        let max = self.inner.options.subscriptions_max;
        feeds.put(target.clone(), wish, max).map_err(|_| Code::QUOTA_EXCEEDED)?;
        // Until the store has it, nothing is pushed.
        feeds.storing = self.kept;
        if let Some(user) = target.user().filter(|_| old.is_none() && !feeds.closed) {
            self.inner.acquainted.named(self, user);
        }
        Ok(old)
    }

    /// Takes back what the store did not take.
    fn take_back(&self, before: Vec<(Target, Option<Wish>)>) {
        let max = self.inner.options.subscriptions_max;
        let mut feeds = self.feeds.lock();
        // The latest first: of a filter that was named twice the first one's state counts.
        for (target, old) in before.into_iter().rev() {
            match old {
                // Cut meanwhile, it stays so.
                Some(old) if feeds.exact(&target).is_some() => {
                    let _ = feeds.put(target, old, max);
                }
                Some(_) => {}
                None => drop(self.end(&mut feeds, &target)),
            }
        }
    }

    /// Ends one subscription; `false`: there was none.
    fn end(&self, feeds: &mut Feeds, target: &Target) -> bool {
        let removed = feeds.remove(target);
        if let Some(user) = target.user().filter(|_| removed) {
            self.inner.acquainted.dropped(self, [user]);
        }
        removed
    }

    /// Which of the users whose presence is asked for by name share a conversation with this one.
    /// `None`: the store does not say.
    async fn acquainted(&self, requests: &[SubscribeRequest]) -> Option<BTreeSet<UserId>> {
        let mounted = requests.iter().filter(|request| request.mounted);
        let targets = mounted.filter_map(|r| topic::parse_filter(&r.subscription.filter));
        let named: Vec<UserId> = targets.filter_map(|target| target.user().cloned()).collect();
        let found = acquainted::among(self, named).await;
        found.inspect_err(|error| retry::note("acquainted", error)).ok()
    }

    /// In force is what was stored: the subscriptions stand at once, so that nothing announced from
    /// now on is missed, but nothing is pushed before the store has taken them; one that it did not
    /// take goes again.
    pub(crate) async fn subscribe_all(&self, requests: Vec<SubscribeRequest>) -> Vec<Code> {
        let _under_way = self.kept.then(|| self.inner.openings.change(self.identity()));
        let mut codes = Vec::with_capacity(requests.len());
        let mut change = SubscriptionChange::default();
        let acquainted = self.acquainted(&requests).await;
        let mut before = Vec::new();
        for request in requests {
            let (mut code, target) = self.check(&request, acquainted.as_ref()).await;
            let mut stands = false;
            if let Some(target) = target {
                let wish = Wish::of(&request.subscription);
                match self.put(&target, wish) {
                    Ok(old) => {
                        // Clients subscribe with each connect to what they have: it is stored as it
                        // is, and they wait for no store. Wildcards stand for plain topics as well, and
                        // how those are wanted is not known here.
                        let whole = !matches!(target, Target::Everything | Target::OneLevel);
                        stands = whole && old == Some(wish);
                        if old.is_none() {
                            change.start.extend(target.feeds());
                        }
                        before.push((target, old));
                    }
                    Err(full) => code = full,
                }
            }
            if !code.is_error() && !stands {
                change.put.push(request.subscription);
            }
            codes.push(code);
        }
        let stored = self.store_change(&change).await;
        if stored.is_err() {
            self.take_back(before);
        }
        self.feeds.lock().storing = false;
        if self.kept {
            // What was announced meanwhile.
            pull::start(self);
        }
        if let Err(error) = stored {
            retry::note("change_subscriptions", &error);
            for code in codes.iter_mut().filter(|code| !code.is_error()) {
                *code = Code::UNSPECIFIED;
            }
        }
        codes
    }

    /// What could not be stored stays in force.
    pub(crate) async fn unsubscribe_all(&self, filters: Vec<String>) -> Vec<Code> {
        /// UNSUBACK: no such subscription.
        const NONE: Code = Code(0x11);
        let _under_way = self.kept.then(|| self.inner.openings.change(self.identity()));
        let targets: Vec<_> = filters.iter().map(|filter| topic::parse_filter(filter)).collect();
        let mut change = SubscriptionChange { remove: filters, ..SubscriptionChange::default() };
        {
            let feeds = self.feeds.lock();
            let standing = targets.iter().flatten().filter(|target| feeds.exact(target).is_some());
            // Of what the user is told, another subscription may be left.
            let ended = |target: &Target| targets.iter().flatten().any(|ended| ended == target);
            let left =
                |feed| told::targets(feed).iter().any(|t| !ended(t) && feeds.exact(t).is_some());
            let stopped = standing.flat_map(Target::feeds);
            change.stop.extend(stopped.filter(|(feed, _)| feed.is_log() || !left(*feed)));
        }
        if let Err(error) = self.store_change(&change).await {
            retry::note("change_subscriptions", &error);
            return vec![Code::UNSPECIFIED; targets.len()];
        }
        let mut feeds = self.feeds.lock();
        let removed = targets.iter().map(|target| {
            let removed = target.as_ref().is_some_and(|target| self.end(&mut feeds, target));
            if removed { Code::SUCCESS } else { NONE }
        });
        removed.collect()
    }

    async fn store_change(&self, change: &SubscriptionChange) -> Result<(), Error> {
        if !self.kept || (change.put.is_empty() && change.remove.is_empty()) {
            return Ok(());
        }
        self.inner.store.change_subscriptions(self.identity(), change).await
    }
}
