//! The store on SQLite: the embedded default, one file and nothing to install.
//!
//! Two connections write, in turn, commits first; four read beside them (write-ahead log). Every
//! commit is flushed to the disk before it returns (`synchronous = FULL`), because a PUBACK means
//! COMMIT; everything else gives its turn back first and is flushed together with others, and what only
//! costs a repetition with the next commit. It refuses to share its file with
//! another serving process in any useful way: a second writer waits, and who serves takes the `lease`.
//!
//! Read it in this order: this file, `connect` (with `turns`, `flush` and `files`), `commit`, `conversations`, `changes`, `log`, `sessions`,
//! `cursors`, `upkeep`; then what people see beside the log: `inbox`, `receipts`, `check`, `people`,
//! `devices`, `blocks`. `pack` says how a batch travels in one statement.

mod blocks;
mod changes;
mod check;
mod commit;
mod connect;
mod conversations;
mod cursors;
mod devices;
mod error;
mod files;
mod flush;
mod inbox;
mod invitations;
mod lease;
mod limits;
mod log;
mod moves;
mod notices;
mod offers;
mod pack;
mod people;
mod receipts;
mod revocations;
mod schema;
mod sessions;
mod turns;
mod upkeep;

use std::sync::{Arc, RwLock};

use godwit_core::change::{ChangeRequest, Refused};
use godwit_core::commit::{Committed, Send as SendRequest};
use godwit_core::cursor::{Behind, Feed, Move, Opened, Opening, SubscriptionChange};
use godwit_core::entry::Entry;
use godwit_core::ids::{ConversationId, Identity, Seq, UserId};
use godwit_core::membership::{Conversation, Left, Member, NewConversation, Stay};
use godwit_core::notice::{Notice, Telling};
use godwit_core::offer::Offer;
use godwit_core::policy::{Invited, Policy, Strangers};
use godwit_core::store::{OutboxEvent, Page, Pending, Prune, Pruned, Range, Store};

use crate::connect::{Pools, Waits};
use crate::files::Files;
use crate::flush::Flushes;
pub use crate::lease::Lease;
use crate::turns::Turns;

/// The store in one SQLite file. Cloning shares it.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    /// Replaced when the files had to be opened anew.
    pools: Arc<RwLock<Pools>>,
    /// SQLite has one writer, and a queue here is fair where its lock is not.
    turns: Turns,
    files: Arc<Files>,
    flushes: Arc<Flushes>,
    waits: Waits,
}

impl Store for SqliteStore {
    fn commit<'a>(
        &'a self,
        batch: &'a [SendRequest],
        policy: &'a Policy,
    ) -> Pending<'a, Committed> {
        Box::pin(commit::commit(self, batch, policy))
    }

    fn create<'a>(&'a self, new: &'a NewConversation) -> Pending<'a, Conversation> {
        Box::pin(conversations::create(self, new))
    }

    fn direct<'a>(
        &'a self,
        one: &'a UserId,
        other: &'a UserId,
    ) -> Pending<'a, Option<ConversationId>> {
        Box::pin(conversations::direct(self, one, other))
    }

    fn change<'a>(
        &'a self,
        request: &'a ChangeRequest,
    ) -> Pending<'a, Result<(Entry, Conversation), Refused>> {
        Box::pin(changes::change(self, request))
    }

    fn stays<'a>(
        &'a self,
        id: ConversationId,
        after: Option<(Seq, UserId)>,
        limit: u32,
    ) -> Pending<'a, Vec<Stay>> {
        Box::pin(conversations::stays(self, id, after, limit))
    }

    fn left<'a>(&'a self, user: &'a UserId, since_ms: u64, limit: u32) -> Pending<'a, Vec<Left>> {
        Box::pin(conversations::left(self, user, since_ms, limit))
    }

    fn conversation(&self, id: ConversationId) -> Pending<'_, Option<Conversation>> {
        Box::pin(async move { conversations::get(&mut *self.reader().await?, id).await })
    }

    fn member<'a>(&'a self, id: ConversationId, user: &'a UserId) -> Pending<'a, Option<Member>> {
        Box::pin(async move { conversations::member(&mut *self.reader().await?, id, user).await })
    }

    fn acquainted<'a>(&'a self, user: &'a UserId, among: &'a [UserId]) -> Pending<'a, Vec<UserId>> {
        Box::pin(conversations::acquainted(self, user, among))
    }

    fn conversations_of<'a>(
        &'a self,
        user: &'a UserId,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Pending<'a, Vec<Conversation>> {
        Box::pin(conversations::of_user(self, user, after, limit))
    }

    fn read_log(
        &self,
        id: ConversationId,
        range: Range,
        limit: u32,
        bytes_max: usize,
    ) -> Pending<'_, Option<Page>> {
        Box::pin(log::read_log(self, id, range, limit, bytes_max))
    }

    fn open_sessions<'a>(&'a self, batch: &'a [Opening]) -> Pending<'a, Vec<Opened>> {
        Box::pin(sessions::open(self, batch))
    }

    fn close_sessions<'a>(&'a self, batch: &'a [Opening]) -> Pending<'a, ()> {
        Box::pin(sessions::close(self, batch))
    }

    fn change_subscriptions<'a>(
        &'a self,
        device: &'a Identity,
        change: &'a SubscriptionChange,
    ) -> Pending<'a, ()> {
        Box::pin(sessions::change_subscriptions(self, device, change))
    }

    fn behind<'a>(
        &'a self,
        device: &'a Identity,
        feed: Feed,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Pending<'a, Vec<Behind>> {
        Box::pin(cursors::behind(self, device, feed, after, limit))
    }

    fn move_cursors<'a>(&'a self, moves: &'a [Move]) -> Pending<'a, ()> {
        Box::pin(cursors::advance(self, moves))
    }

    fn invite<'a>(
        &'a self,
        user: &'a UserId,
        others: &'a [UserId],
        strangers: &'a Strangers,
        time_ms: u64,
    ) -> Pending<'a, Invited> {
        Box::pin(invitations::invite(self, user, others, strangers, time_ms))
    }

    fn offer<'a>(&'a self, offers: &'a [Offer]) -> Pending<'a, ()> {
        Box::pin(offers::put(self, offers))
    }

    fn offers<'a>(&'a self, user: &'a UserId, since_ms: u64) -> Pending<'a, Vec<Offer>> {
        Box::pin(offers::list(self, user, since_ms))
    }

    fn take_offer<'a>(&'a self, user: &'a UserId, conversation: ConversationId) -> Pending<'a, ()> {
        Box::pin(offers::take(self, user, conversation))
    }

    fn tell<'a>(&'a self, tellings: &'a [Telling]) -> Pending<'a, ()> {
        Box::pin(notices::tell(self, tellings))
    }

    fn notices<'a>(
        &'a self,
        device: &'a Identity,
        feed: Feed,
        after: Option<Seq>,
        limit: u32,
    ) -> Pending<'a, Option<Vec<Notice>>> {
        Box::pin(notices::read(self, device, feed, after, limit))
    }

    fn outbox(&self, limit: u32) -> Pending<'_, Vec<OutboxEvent>> {
        Box::pin(upkeep::outbox(self, limit))
    }

    fn outbox_done<'a>(&'a self, ids: &'a [i64]) -> Pending<'a, ()> {
        Box::pin(upkeep::outbox_done(self, ids))
    }

    fn prune(&self, prune: Prune) -> Pending<'_, Pruned> {
        Box::pin(upkeep::prune(self, prune))
    }

    fn ping(&self) -> Pending<'_, ()> {
        Box::pin(upkeep::ping(self))
    }

    fn probe(&self) -> Pending<'_, ()> {
        Box::pin(lease::probe(self))
    }
}
