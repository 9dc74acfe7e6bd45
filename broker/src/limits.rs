//! The bounds of the broker, each with its unit, its reason and what happens when full.

use std::time::Duration;

/// Bytes of a CONNECT, header included: the longest token (8 KiB), a will and properties fit. Beyond
/// it: CONNACK 0x95 (3.1.1: 5).
pub(crate) const CONNECT_BYTES_MAX: usize = 12 * 1024;

/// Bytes held for a peer that has spoken and sent no whole CONNECT yet, so that with its task and its
/// socket it stays below 4 KiB and 10,000 of them below 40 MiB (THREATS.md). Beyond it a place is
/// needed: [`HELLOS_LARGE_MAX`].
pub(crate) const HELLO_BYTES_SMALL: usize = 1024;

/// CONNECTs that are larger than [`HELLO_BYTES_SMALL`] and not yet whole, of all peers: 12 MiB. Others
/// wait in line and are not read from; whoever takes longer than a second for one makes room.
pub(crate) const HELLOS_LARGE_MAX: usize = 1024;

/// See [`HELLOS_LARGE_MAX`]; those of one address.
pub(crate) const HELLOS_LARGE_SHARE: usize = 256;

/// Bytes of a topic name. Beyond it: 0x90. The standard allows 64 KiB, which no topic of
/// CONTRACT.md comes near, and which would be kept once for each subscription and alias.
pub(crate) const TOPIC_BYTES_MAX: usize = 1024;

/// Bytes of a topic filter. Beyond it: 0x8F.
pub(crate) const FILTER_BYTES_MAX: usize = 1024;

/// Filters of one SUBSCRIBE or UNSUBSCRIBE. Beyond it: 0x97.
pub(crate) const FILTERS_MAX: usize = 64;

/// User properties of one packet. Beyond it: 0x97. Each costs 64 bytes on top of its text once
/// decoded, so the count is bounded too, not only the bytes.
pub(crate) const USER_PROPERTIES_MAX: usize = 32;

/// Bytes of all keys and values of the user properties of one packet. Beyond it: 0x97.
pub(crate) const USER_PROPERTIES_BYTES_MAX: usize = 8 * 1024;

/// Connections that the kernel holds for one listener until they are accepted. Beyond it SYNs are
/// dropped and clients repeat them. Linux caps it at `net.core.somaxconn` (4096 by default).
pub(crate) const BACKLOG: u32 = 4096;

/// Addresses whose pace of connecting is remembered. At about 40 bytes each they are 3 MiB; beyond it
/// some may burst once more.
pub(crate) const CENSUS_ADDRESSES_MAX: usize = 65_536;

/// Refused connections, and ended ones, in a second that are logged, each with a burst of as many. Of
/// more, their number stands in the next line.
pub(crate) const JOURNAL_LINES_PER_S: u32 = 20;

/// Characters of a client id in a log line: those of tokens have at most 129. The rest is left out.
pub(crate) const CLIENT_ID_LOGGED_CHARS_MAX: usize = 130;

/// What a client is told to wait when there is no place for it.
pub(crate) const FULL_RETRY: Duration = Duration::from_secs(5);

/// Connections beyond the census that are told so at the same time, each with a CONNECT of at most
/// 12 KiB: 3 MiB. Further ones are closed without a word.
pub(crate) const REFUSALS_MAX: usize = 256;

/// How long a connection beyond the census may take to send its CONNECT.
pub(crate) const REFUSAL_TIME_MAX: Duration = Duration::from_secs(1);

/// An address has at most this fraction of the places for handshakes: a quarter.
pub(crate) const HANDSHAKE_SHARES: usize = 4;

/// How long a handshake may take while others are in line: several round trips around the earth, and
/// more than a core needs for all of an address's share. Beyond it, it is cut and they come.
pub(crate) const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(1);

/// How often those in line look for a holder that has to go.
pub(crate) const PLACES_LOOK_EVERY: Duration = Duration::from_millis(50);

/// Pause after an accept that failed for want of descriptors or memory, so that the loop neither
/// spins nor dies.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// At most one line of log in so long a time about accepts that fail.
pub(crate) const ACCEPT_LOG_EVERY: Duration = Duration::from_secs(10);

/// Bytes that one WebSocket connection's read buffer holds while idle. Larger frames grow it until
/// they have been read.
pub(crate) const WEBSOCKET_READ_BYTES: usize = 1024;

/// Bytes of an outgoing WebSocket frame: larger writes become several frames. It is also what the
/// connection's write buffer keeps after a burst.
pub(crate) const WEBSOCKET_FRAME_BYTES: usize = 8 * 1024;

/// Bytes asked of a socket in one read. The buffer is shared by all connections of a thread.
pub(crate) const READ_BYTES: usize = 16 * 1024;

/// Bytes of answers and deliveries gathered for one write; no more is encoded beyond it.
pub(crate) const OUTPUT_BYTES_HIGH: usize = 64 * 1024;

/// Turns of one connection before the others have theirs.
pub(crate) const TURNS_MAX: usize = 16;

/// Retained messages that are looked at under the lock before others have it: some 10 us.
pub(crate) const RETAINED_STEPS: usize = 64;

/// Bytes in a client's queue of plain messages from which on it is looked for when its user's queues, or
/// all, have to give way. Each such queue has two entries of about 100 bytes in an index.
pub(crate) const HEAVY_BYTES: usize = 16 * 1024;

/// Topics of which one client has got the retained message before its turn, because a live one came: 32
/// bytes each. Of more topics the retained message comes in its turn, which may be behind a live one.
pub(crate) const REPLAYED_AHEAD_MAX: usize = 1024;

/// Bytes that are read of what a client had sent when its connection ended: 16,000 confirmations. What
/// is beyond is not heard, and confirmed messages may come again.
pub(crate) const LAST_WORDS_BYTES_MAX: usize = 64 * 1024;

/// How long a closing connection's last bytes may take.
pub(crate) const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// Bytes of a closing connection that are read and thrown away, so that the client sees the
/// DISCONNECT and not a reset.
pub(crate) const LINGER_BYTES_MAX: usize = 256 * 1024;

/// How long a CONNECT waits for its session to be opened above, which has a bound of its own below
/// this one. Beyond it: 0x97, and a session that opens later is closed again.
pub(crate) const OPENING_MAX: Duration = Duration::from_secs(5);

/// What a client is told to wait whose session could not be opened in time.
pub(crate) const OPENING_RETRY: Duration = Duration::from_secs(1);
