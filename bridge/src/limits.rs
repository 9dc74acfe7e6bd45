//! The bridge's bounds, each with its unit, its reason and what happens when full.

use std::time::Duration;

/// Conversations whose members are cached, per shard of [`SHARDS`]. A member takes about 60 bytes,
/// so direct conversations are about 400 bytes each: 100,000 of them are 40 MiB. When a shard is
/// full, an eighth of it is forgotten and read again when needed; how far they were routed is
/// remembered for a while ([`FADED_CONVERSATIONS_MAX`]).
pub(crate) const CACHED_CONVERSATIONS_MAX: usize = 100_000 / SHARDS;

/// Independent locks of the maps that every message touches.
pub(crate) const SHARDS: usize = 16;

/// Forgotten conversations of which is remembered how far they were routed, per shard, twice (the
/// last minute's and those of the minute before): about 40 bytes each, 16 MiB in all. When there
/// are more, the older half is forgotten early: an event that comes again after that is taken for
/// news, and what it tells of is read once more.
pub(crate) const FADED_CONVERSATIONS_MAX: usize = 200_000 / SHARDS;

/// How long that is remembered: an event comes within the relay's interval, and once more within
/// seconds when the store fails between the stream and the outbox.
pub(crate) const FADED_FOR: Duration = Duration::from_secs(60);

/// Announcements that wait while a conversation's members, or what is missing before them, are read.
/// Beyond it they are dropped, and read from the log in their turn.
pub(crate) const WAITING_ANNOUNCEMENTS_MAX: usize = 1024;

/// Bytes of their bodies, per conversation.
pub(crate) const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Events taken from the stream at a time.
pub(crate) const EVENTS_PER_READ: usize = 1000;

/// Events that wait for the announcements of their entries: 48 bytes each, 3 MiB. When full, the stream is not read, and the
/// outbox keeps what comes.
pub(crate) const EVENTS_WAITING_MAX: usize = 65_536;

/// How long a first entry waits for this process to look at the events that are in the stream.
pub(crate) const EVENTS_TIMEOUT: Duration = Duration::from_secs(2);

/// Events of the outbox that are looked at when a conversation is routed for the first time: 40
/// bytes each. With more than that, its first entry waits until the relay has caught up.
pub(crate) const OUTBOX_LOOK_MAX: u32 = 20_000;

/// How long that waits before it looks again.
pub(crate) const OUTBOX_WAIT: Duration = Duration::from_millis(100);

/// Reads of logs for lagging devices at the same time, over all devices, so that a reconnect storm
/// leaves the store's connections to the commits.
pub(crate) const PULLS_MAX: usize = 16;

/// Entries of one read for a lagging device.
pub(crate) const PULL_ENTRIES_MAX: usize = 100;

/// Conversations named by one query for what a device has missed.
pub(crate) const BEHIND_PAGE: u32 = 500;

/// Fates that wait for room on `a`, per device. Beyond it the device is cut: it reads too slowly.
pub(crate) const FATES_MAX: usize = 1024;

/// Fates in one message on `a`: about 100 bytes each.
pub(crate) const FATES_PER_MESSAGE: usize = 100;

/// Requests on `q/` under way for one device, whose replies wait for room in its queue if there is none
/// ([`REPLY_BYTES_MAX`] and 90 KiB of names each: about 1.1 MiB), and words on `p` that are looked up.
/// Further requests wait; a further word is answered 0x97.
pub(crate) const QUERIES_MAX: u32 = 4;

/// Requests of one device that wait: the broker's receive window. The next is answered 0x97.
pub(crate) const QUERIES_WAITING_MAX: usize = 64;

/// Bytes of them. The next is answered 0x97.
pub(crate) const QUERIES_WAITING_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of bodies in one reply: a page is one MQTT packet.
pub(crate) const REPLY_BYTES_MAX: usize = 192 * 1024;

/// Cursors that wait to be stored; beyond it they are stored at once. About 100 bytes each.
pub(crate) const CURSORS_DIRTY_MAX: usize = 50_000;

/// Cursors in one statement.
pub(crate) const CURSORS_PER_STATEMENT: usize = 1000;

/// Sessions opened or closed in one statement.
pub(crate) const SESSIONS_PER_STATEMENT: usize = 256;

/// Connects that wait for the store, at about 200 bytes each 4 MiB; beyond it a connect is answered
/// 0x97. Ends wait beside them, at most one for each session that was open when the store went away:
/// no further ones open before it is back.
pub(crate) const SESSIONS_WAITING_MAX: usize = 20_000;

/// How long the CONNECT of a kept session waits for the store; beyond it: 0x97, come back. Long
/// enough for a store that is only busy, short enough for a person who waits.
pub(crate) const OPENING_MAX: Duration = Duration::from_secs(3);

/// When the store has been at one statement about sessions for so long, a CONNECT of a kept session
/// is answered 0x97 without waiting behind it.
pub(crate) const OPENING_STUCK: Duration = Duration::from_secs(1);

/// The first and the longest wait before the store is tried again.
pub(crate) const RETRY_FIRST: Duration = Duration::from_millis(50);
/// See [`RETRY_FIRST`].
pub(crate) const RETRY_MAX: Duration = Duration::from_secs(2);

/// Acknowledged deliveries (user and conversation) that wait to be stored as receipts: about 100
/// bytes each. Beyond it new ones are left out: the next acknowledgement there says the same.
pub(crate) const RECEIPTS_ACKNOWLEDGED_MAX: usize = 50_000;

/// Receipts that clients have reported and that wait for the store: 32 bytes each. The next report
/// is answered 0x97.
pub(crate) const RECEIPTS_WAITING_MAX: usize = 100_000;

/// Receipts in one call of the store, unless one report alone has more.
pub(crate) const RECEIPTS_PER_STATEMENT: usize = 1000;

/// Receipts (conversation and user) that wait for room on `r/{cid}`, per device: about 150 bytes
/// each. Beyond it the device is cut: it reads too slowly.
pub(crate) const RECEIPTS_TOLD_MAX: usize = 4096;

/// Receipts in one message on `r/{cid}`: at most about 80 bytes each.
pub(crate) const RECEIPTS_PER_MESSAGE: usize = 500;

/// Conversations of which a device is remembered to know how far its own user has read. Beyond it
/// they are forgotten, and the device may be told again.
pub(crate) const RECEIPTS_OWN_MAX: usize = 256;

/// Receipts that wait until the members of their conversations are read. Beyond it they are not
/// told: whoever looks at the conversation asks for them.
pub(crate) const RECEIPTS_LOOKUPS_MAX: usize = 10_000;

/// Senders who are known to type, over all conversations: about 400 bytes each. Of more, nothing is
/// told.
pub(crate) const TYPISTS_MAX: usize = 50_000;

/// Reads of conversations and users for typing, and devices that are being told of presence, at the
/// same time. Beyond it typing is not told, and presence waits.
pub(crate) const LOOKUPS_MAX: usize = 64;

/// What one device has said of its typing in a conversation while it is looked up whether it may.
/// More is answered 0x97.
pub(crate) const TYPING_LINE_MAX: usize = 8;

/// Ends of typing for which a device had no room, kept until it has: 24 bytes each. Of more, the oldest
/// are not told: the app's own timer ends them.
pub(crate) const STOPS_OWED_MAX: usize = 64;

/// Conversations open on one device. More are refused with 0x99.
pub(crate) const OPEN_MAX: usize = 16;

/// Devices whose connection has ended and that still count as there: about 250 bytes each. Beyond
/// it they are told offline at once.
pub(crate) const LEAVING_MAX: usize = 100_000;

/// Users at other bridges whose presence is remembered: about 60 bytes each. Beyond it they count
/// as offline until the next change.
pub(crate) const ELSEWHERE_MAX: usize = 100_000;

/// Members and screens of all open conversations: about 60 bytes each. Beyond it no more presence
/// is told of conversations that are opened.
pub(crate) const WATCHED_MAX: usize = 500_000;

/// Room that telling presence leaves in a device's queue for what matters more.
pub(crate) const PRESENCE_ROOM_LEFT: usize = 32;

/// How long telling presence waits for a device to take what it was told.
pub(crate) const PRESENCE_PAUSE: Duration = Duration::from_millis(20);

/// How often it does so for one conversation: five seconds. Then the device is not told the rest.
pub(crate) const PRESENCE_PAUSES_MAX: u32 = 250;

/// How often one user's presence is looked at again because settings have changed meanwhile.
pub(crate) const TELL_TRIES_MAX: u32 = 8;

/// Users whose settings and blocks are cached: about 150 bytes each.
pub(crate) const CACHED_PEOPLE_MAX: usize = 50_000;

/// Names in all cached blocks: about 60 bytes each. Beyond it an eighth of the users is forgotten.
pub(crate) const CACHED_BLOCKS_MAX: usize = 500_000;

/// Devices that wait to be noted (about 200 bytes each), and those noted within the last minute (about 30);
/// and users that wait to be noted. Beyond it they are not noted this time.
pub(crate) const DEVICES_NOTED_MAX: usize = 100_000;

/// Devices or users noted in one statement.
pub(crate) const NOTES_PER_STATEMENT: usize = 500;

/// Users, and conversations, whose rate is known, per shard of [`SHARDS`]: about 60 bytes each.
/// When a shard is full, rested ones are forgotten, then others, who may burst once more.
pub(crate) const RATED_KEYS_MAX: usize = 100_000 / SHARDS;

/// Into how many conversations a user may ask the same stranger within [`ASKED_AGAIN_FOR`]: more than
/// colleagues who never write to each other alone share in a day. Beyond it nobody is asked, 0x87. A
/// place in somebody's inbox costs the store some 200 bytes, and the person a look.
pub(crate) const ASKED_AGAIN_MAX: usize = 100;
/// See [`ASKED_AGAIN_MAX`]: a day, as for `policy.strangers_per_day`.
pub(crate) const ASKED_AGAIN_FOR: Duration = Duration::from_secs(24 * 3600);

/// How often somebody was asked, of all that is remembered: at 24 bytes each, and 60 for a pair of who
/// asks and who is asked, 42 MB at most; beyond it some are asked as often once more.
pub(crate) const ASKED_NOTES_MAX: usize = 500_000;

/// Large groups that are known to be ones before their members are looked at. A further one is
/// bounded in its rate as any conversation.
pub(crate) const LARGE_GROUPS_MAX: usize = 100_000;

/// Entries that wait for the fan-out of large groups. Beyond it the devices read the log.
pub(crate) const LARGE_QUEUE_MAX: usize = 1024;

/// Bytes of bodies of these entries.
pub(crate) const LARGE_QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// So many entries that wait make sends into large groups wait too (0x97).
pub(crate) const LARGE_BEHIND: usize = LARGE_QUEUE_MAX / 4;

/// So does one that has waited for so long, in milliseconds, while others wait behind it.
pub(crate) const LARGE_LATE_MS: u64 = 1000;

/// How long they wait.
pub(crate) const LARGE_BEHIND_WAIT: Duration = Duration::from_secs(1);

/// Members that are looked at before the fan-out looks whether it has to pause.
pub(crate) const LARGE_SLICE: usize = 32;

/// Deliveries to large groups before all others have their turn: 32 connections woken write for about
/// 0.3 ms, and the pause costs one look at the sockets (1 us).
pub(crate) const LARGE_PAUSE_AFTER: u32 = 32;

/// What a delivery to a large group takes of the time: 25,000 a second, so a word to 10,000 is told
/// within half a second, and others' deliveries stay as fast as they are.
pub(crate) const LARGE_DELIVERY: Duration = Duration::from_micros(40);

/// Groups of so many members are served as fast as can be: their burst is over in about 20 ms, and
/// messages that come close together share their writes.
pub(crate) const LARGE_BURST_MAX: usize = 2_000;

/// How far the pace may fall behind and make up for it: timers wake up to two milliseconds late.
pub(crate) const LARGE_CATCH_UP: Duration = Duration::from_millis(2);

/// Entries that wait for the fan-out before it leaves its pace: then being late is worse.
pub(crate) const LARGE_HURRY: usize = 4;

/// A device that lags by more entries in a large group is told so by head notices too.
pub(crate) const LAGS_FAR: u64 = 1000;

/// Head notices that wait for their second to be over: about 60 bytes each. Beyond it they are told
/// at once.
pub(crate) const NOTICES_WAITING_MAX: usize = 100_000;

/// How long the clock of head notices sleeps when there are none; it is woken by the first.
pub(crate) const NOTICES_IDLE: Duration = Duration::from_secs(3600);

/// Members of a conversation in one reply: at most about 90 KiB. The others are asked for by pages.
pub(crate) const REPLY_MEMBERS_MAX: usize = 1000;

/// Sends of a 3.1.1 device that wait because it sends too fast, and bytes of their bodies (one
/// send may always wait). Beyond it the device is cut, as it cannot be told to wait.
pub(crate) const DELAYED_SENDS_MAX: usize = 128;
/// See [`DELAYED_SENDS_MAX`].
pub(crate) const DELAYED_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of a body, or of a description, that an inbox shows. The rest is left out.
pub(crate) const PREVIEW_BYTES_MAX: usize = 256;

/// Users that an entry in an inbox names: 100 items with names of 64 bytes are 100 KiB. The others
/// are left out.
pub(crate) const PREVIEW_NAMES_MAX: usize = 8;

/// How soon the first device may come back after a shutdown, at the earliest.
pub(crate) const DRAIN_RETRY_MIN: Duration = Duration::from_millis(500);

/// How much later the last one may, for each device: they come back a thousand a second.
pub(crate) const DRAIN_RETRY_PER_DEVICE: Duration = Duration::from_millis(1);

/// Over how much they are spread at least, and at most: nobody is told to stay away for longer.
pub(crate) const DRAIN_SPREAD_MIN: Duration = Duration::from_secs(1);
/// See [`DRAIN_SPREAD_MIN`].
pub(crate) const DRAIN_SPREAD_MAX: Duration = Duration::from_mins(5);
