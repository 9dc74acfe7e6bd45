//! The bounds of the pure core, each with its unit, its reason and what happens when full.

/// Bytes of a body. 256 KiB: CONTRACT.md's default; a larger one is refused with 0x99. Larger
/// things travel by upload-then-reference.
pub const BODY_BYTES_MAX: usize = 256 * 1024;

/// Members of one conversation. An add beyond it is refused. 10,000 members at about 100 bytes
/// are 1 MiB in a bridge's cache.
pub const MEMBERS_MAX: usize = 10_000;

/// Sends in one commit. 512 rows keep a Postgres statement below 2 ms (DESIGN.md: 100 rows at
/// p50 1.5 ms with two connections) and bound the memory of a batch at `BATCH_BYTES_MAX`.
pub const BATCH_SENDS_MAX: usize = 512;

/// Bytes of bodies in one commit: a batch is closed when the next body would exceed it.
pub const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Entries of one page read from a log.
pub const PAGE_ENTRIES_MAX: u32 = 100;

/// Bytes of bodies of one page read from a log; a page has always at least one entry.
pub const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// Subscriptions kept for one device. A SUBSCRIBE beyond it is answered 0x97.
pub const SUBSCRIPTIONS_MAX: usize = 256;

/// Users that one message may mention. More is refused with 0x99.
pub const MENTIONS_MAX: usize = 50;

/// Bytes of a reaction: the longest emoji sequences take about 40, an encrypted one more. Longer
/// ones are refused with 0x99.
pub const REACTION_BYTES_MAX: usize = 64;

/// Reactions that one user may give to one message within [`REACTIONS_WINDOW_MS`]. Each is an entry of
/// the log; more are refused with 0x99. Taking one back is not counted and always works, once for each:
/// so a user adds at most 41 entries an hour about one message.
pub const REACTIONS_PER_USER_MAX: u32 = 20;

/// The time in which [`REACTIONS_PER_USER_MAX`] counts, in milliseconds: an hour.
pub const REACTIONS_WINDOW_MS: u64 = 3_600_000;

/// Up to where a store counts a sender's entries of one kind about one message: enough for
/// [`EDITS_MAX`], and for all reactions of an hour with those taken back.
pub const REPEATS_COUNTED: u32 = 100;

/// Edits of one message over time. Each is an entry of the log; more are refused with 0x99.
pub const EDITS_MAX: u32 = 100;

/// Characters of a conversation's title, and of a user's or device's name.
pub const TITLE_CHARS_MAX: usize = 128;

/// Characters of a conversation's description.
pub const DESCRIPTION_CHARS_MAX: usize = 1024;

/// The longest time after which messages disappear, in seconds: a year.
pub const EXPIRY_S_MAX: u32 = 366 * 86_400;

/// Users named by one change of members: a list of this length is about 64 KiB of names. A longer
/// one is refused whole.
pub const CHANGE_USERS_MAX: usize = 1000;

/// Pins that are told: of more, the newest.
pub const PINS_MAX: u32 = 100;

/// Conversations that a user has left are listed in the inbox for so long, in milliseconds: 30 days.
/// Whoever was away for longer learns of it from the conversation's absence.
pub const LEFT_LISTED_MS: u64 = 30 * 86_400_000;

/// So many ends of stays are looked at for that list, the latest; older ones are not listed. A row is
/// at most 0.7 KB on the wire: a title of 128 characters, two names.
pub const LEFT_LISTED_MAX: u32 = 100;

/// Invitations into groups that wait for one user's answer, of about 150 bytes each. Beyond it the oldest
/// go: whoever is meant is invited again.
pub const OFFERS_MAX: u32 = 100;

/// How long an invitation waits for an answer, in milliseconds: 30 days.
pub const OFFERS_KEPT_MS: u64 = 30 * 86_400_000;

/// Conversations in one page of an inbox.
pub const INBOX_PAGE_MAX: u32 = 100;

/// Entries above a read cursor that are looked through for what is not unread: the user's own messages,
/// and what has expired or is gone. Beyond it the newest so many are looked through, so unread may count
/// some of one's own that are older.
pub const UNREAD_SCAN_MAX: u32 = 1000;

/// Below those, what is gone is counted by blocks of 1,024 places, a row each, and so many of them: ten
/// million places. Of what lies deeper, gone messages count as unread.
pub const UNREAD_BLOCKS_MAX: u32 = 10_000;

/// Up to where the unread mentions of a conversation are counted: the newest. Each is looked up.
pub const MENTIONS_COUNTED_MAX: u32 = 1000;

/// Conversations that a badge looks at: the newest ones. Some 100 ms of reading at the very worst.
pub const BADGE_SCAN_MAX: u32 = 1000;

/// Entries that a badge looks through in all: [`UNREAD_SCAN_MAX`] of each conversation, as an item does,
/// the newest conversations first. Where more are unread, those of the oldest are not looked through:
/// messages of one's own there, and those that expired a moment ago, count as unread.
pub const BADGE_ENTRIES_MAX: u32 = 100_000;

/// Transactions that were open when a walk through an inbox began, as its cursor carries them: 8 bytes
/// each. Of more, what the later ones commit, and what came after them, counts as moved: it is met at the
/// walk's end.
pub const MOMENT_OPEN_MAX: usize = 64;

/// Receipts in one report of a client. More are refused with 0x99.
pub const RECEIPTS_MAX: usize = 1000;

/// Users that one user may block. More are refused.
pub const BLOCKS_MAX: usize = 10_000;

/// Devices of one user that were revoked and never connected. Such a name may be invented, and each is
/// remembered by every server (about 200 bytes): a user's are 12 KiB. More are refused; revoking all
/// devices of the user needs one row.
pub const REVOKED_UNSEEN_MAX: u32 = 64;

/// Notices of one user on one feed that are kept for kept sessions: of each subject the latest. About
/// 200 bytes each. Beyond it the oldest go, and a device sees by the numbers that some are missing.
pub const NOTICES_MAX: i64 = 1000;

/// How long a notice waits for kept sessions, in milliseconds: 30 days. A device that was away for
/// longer looks at its inbox in any case.
pub const NOTICES_KEPT_MS: u64 = 30 * 86_400_000;

/// Notices in one reading.
pub const NOTICES_PAGE: u32 = 100;
