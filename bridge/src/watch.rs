//! `p/{user}` down: the presence of others, told to the devices that have them on screen.
//!
//! Whoever hides, or is blocked either way, is told as hidden when a conversation is opened or a
//! setting changes, and not at all when something happens: not even that something did.

use std::collections::HashMap;
use std::sync::Arc;

use godwit_core::bus::Presence;
use godwit_core::edge::{Message, Qos};
use godwit_core::ids::{ConversationId, UserId};
use godwit_core::presence::Declared;
use godwit_core::store::Error;
use godwit_proto::presence::v1 as wire;
use parking_lot::Mutex;
use prost::Message as _;
use tokio::sync::{Notify, Semaphore};

use crate::directory::Known;
use crate::inner::Inner;
use crate::people::Person;
use crate::rooms::{Full, Rooms};
use crate::session::DeviceSession;
use crate::topic::Target;
use crate::wish::Wish;
use crate::{limits, metrics, retry};

/// A device with a conversation on screen.
type Viewer = Arc<DeviceSession>;

/// Who looks at whom.
pub(crate) struct Watch {
    /// Held while a presence is read and told, so that nobody is told an older one last.
    rooms: Mutex<Rooms<Viewer>>,
    /// Users of whom there are news; `true`: told to all who look, hidden or not. Bounded by the
    /// users who are watched.
    news: Mutex<HashMap<UserId, bool>>,
    wanted: Notify,
    /// Bounds the devices that are told of a conversation they have opened.
    tells: Semaphore,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            rooms: Mutex::new(Rooms::new()),
            news: Mutex::default(),
            wanted: Notify::new(),
            tells: Semaphore::new(limits::LOOKUPS_MAX),
        }
    }

    /// Those who look at the user are told. `anew`: also what has not changed.
    pub(crate) fn news(&self, user: &UserId, anew: bool) {
        if self.rooms.lock().is_watched(user) {
            *self.news.lock().entry(user.clone()).or_default() |= anew;
            self.wanted.notify_one();
        }
    }

    /// The connection has ended.
    pub(crate) fn leave(&self, session: &DeviceSession) {
        let mut rooms = self.rooms.lock();
        let open = session.feeds.lock().stance_said().map(|stance| stance.close());
        for id in open.unwrap_or_default() {
            rooms.close(id, session.epoch);
        }
    }

    /// The device's user is no member any more.
    pub(crate) fn cut(&self, session: &DeviceSession, conversation: ConversationId) {
        self.rooms.lock().close(conversation, session.epoch);
    }

    /// The members of a conversation were read anew: newcomers are looked at too.
    pub(crate) fn refresh(&self, conversation: ConversationId, fresh: &Arc<Known>) {
        let new = {
            let mut rooms = self.rooms.lock();
            if fresh.large {
                rooms.clear(conversation);
            }
            rooms.refresh(conversation, fresh, |viewer| viewer.identity().user.clone())
        };
        for user in new {
            self.news(&user, true);
        }
    }
}

/// Takes over what a device has said of itself; it is told of what it has just opened. `false`: it
/// has said something else meanwhile, or is gone.
pub(crate) fn look(
    session: &Arc<DeviceSession>,
    said: u64,
    declared: Declared,
    open: &[(ConversationId, Arc<Known>)],
) -> bool {
    let mut rooms = session.inner.presence.watch.rooms.lock();
    let before = {
        let mut feeds = session.feeds.lock();
        let current = feeds.stance().is_some_and(|stance| stance.said == said);
        if feeds.closed || !current {
            return false;
        }
        let stance = feeds.stance_mut();
        stance.declared = declared;
        let before = std::mem::take(&mut stance.open);
        if declared != Declared::Background {
            stance.open = open.iter().map(|(id, _)| *id).collect();
            stance.forget_notices();
            feeds.release();
        }
        before
    };
    // Nothing is told to a device in the background.
    let open = if declared == Declared::Background { &[] } else { open };
    for id in before.iter().filter(|id| !open.iter().any(|(open, _)| open == *id)) {
        rooms.close(*id, session.epoch);
    }
    let mut opened = Vec::new();
    for (id, known) in open.iter().filter(|(_, known)| !known.large) {
        if rooms.is_open(*id, session.epoch) {
            continue;
        }
        match rooms.open(*id, known, session.epoch, Arc::clone(session)) {
            Ok(()) => opened.push(*id),
            Err(Full) => ::metrics::counter!(metrics::SHED, "what" => "watch").increment(1),
        }
    }
    drop(rooms);
    for id in &opened {
        // Removed since it was checked: the removal may have found nothing to close.
        let now = session.inner.directory.cached(*id);
        if now.is_some_and(|now| now.member(&session.identity().user).is_none()) {
            session.feeds.lock().stance_mut().cut(*id);
            session.inner.presence.watch.cut(session, *id);
        }
    }
    tell_of(session, opened);
    true
}

/// Whom the device's user blocks, or is blocked by, has changed: it is told of all anew.
pub(crate) fn look_again(session: &Arc<DeviceSession>) {
    let open = session.feeds.lock().stance().map(|stance| stance.open.clone());
    tell_of(session, open.unwrap_or_default());
}

/// Tells a device of the members of conversations that are open on it, one after the other.
fn tell_of(session: &Arc<DeviceSession>, conversations: Vec<ConversationId>) {
    if conversations.is_empty() {
        return;
    }
    let starts = session.feeds.lock().stance_mut().tell(conversations);
    if starts {
        let looker = Arc::clone(session);
        session.start("telling a device of presence", async move {
            let session = looker;
            let Ok(_permit) = session.inner.presence.watch.tells.acquire().await else { return };
            while let Some(id) = next_untold(&session) {
                tell_room(&session, id).await;
            }
        });
    }
}

fn next_untold(session: &DeviceSession) -> Option<ConversationId> {
    session.feeds.lock().stance_mut().next_untold()
}

/// Tells a device of the members of a conversation that is open on it.
async fn tell_room(session: &Arc<DeviceSession>, conversation: ConversationId) {
    let inner = &session.inner;
    let known = inner.presence.watch.rooms.lock().known(conversation);
    let Some(known) = known else { return };
    let me = session.identity().user.clone();
    let (mut backoff, mut pauses) = (retry::Backoff::new(), 0);
    let mut others = known.others(&me).peekable();
    while let Some(other) = others.peek() {
        if !is_looking(session, conversation) || pauses > limits::PRESENCE_PAUSES_MAX {
            return;
        }
        if session.link.room() <= limits::PRESENCE_ROOM_LEFT {
            // The device's queue is for entries first; what it takes, it takes fast.
            pauses += 1;
            tokio::time::sleep(limits::PRESENCE_PAUSE).await;
            continue;
        }
        match tell(inner, &other.user, Tellees::One(session, conversation), true).await {
            Ok(()) => {
                others.next();
            }
            Err(error) => {
                retry::note("presence", &error);
                tokio::time::sleep(backoff.next()).await;
            }
        }
    }
}

fn is_looking(session: &DeviceSession, conversation: ConversationId) -> bool {
    let feeds = session.feeds.lock();
    !feeds.closed && feeds.stance().is_some_and(|stance| stance.open.contains(&conversation))
}

/// Tells the news until the process ends.
pub(crate) async fn run(inner: Arc<Inner>) {
    let watch = &inner.presence.watch;
    loop {
        watch.wanted.notified().await;
        let mut backoff = retry::Backoff::new();
        loop {
            let taken = std::mem::take(&mut *watch.news.lock());
            if taken.is_empty() {
                break;
            }
            let mut failed = None;
            for (user, anew) in taken {
                if let Err(error) = tell(&inner, &user, Tellees::All, anew).await {
                    *watch.news.lock().entry(user).or_default() |= anew;
                    failed = Some(error);
                }
            }
            if let Some(error) = failed {
                retry::note("presence", &error);
                tokio::time::sleep(backoff.next()).await;
            }
        }
    }
}

/// Who is told.
#[derive(Clone, Copy)]
enum Tellees<'a> {
    All,
    One(&'a Arc<DeviceSession>, ConversationId),
}

impl Tellees<'_> {
    fn of(self, rooms: &Rooms<Viewer>, user: &UserId) -> Vec<Viewer> {
        let viewers = match self {
            Self::All => rooms.viewers_of(user),
            Self::One(session, conversation) if rooms.is_member(user, conversation) => {
                vec![(Arc::clone(session), vec![conversation])]
            }
            Self::One(..) => Vec::new(),
        };
        // A user is not told of himself; nor is a device of a conversation that it was cut from.
        let looks = |viewer: &Viewer, by: &[ConversationId]| {
            viewer.identity().user != *user && by.iter().any(|id| is_looking(viewer, *id))
        };
        viewers.into_iter().filter(|(viewer, by)| looks(viewer, by)).map(|(v, _)| v).collect()
    }
}

/// Tells of one user. What the people involved let others see is read first; then, with nothing
/// able to come in between, the presence is looked up and told.
async fn tell(inner: &Inner, user: &UserId, tellees: Tellees<'_>, anew: bool) -> Result<(), Error> {
    for _ in 0..limits::TELL_TRIES_MAX {
        let generation = inner.people.generation();
        let person = inner.people.of(user).await?;
        let mut viewers: HashMap<UserId, Arc<Person>> = HashMap::new();
        let found = tellees.of(&inner.presence.watch.rooms.lock(), user);
        for viewer in found {
            let name = &viewer.identity().user;
            if !viewers.contains_key(name) {
                viewers.insert(name.clone(), inner.people.of(name).await?);
            }
        }
        let rooms = inner.presence.watch.rooms.lock();
        if inner.people.generation() != generation {
            // Somebody has changed a setting: look again.
            continue;
        }
        let shown = presence_of(inner, user, &person);
        for viewer in tellees.of(&rooms, user) {
            let name = &viewer.identity().user;
            // Who came meanwhile is told by the opening itself.
            let Some(viewing) = viewers.get(name) else { continue };
            let hidden =
                !person.settings.share_presence || person.blocks(name) || viewing.blocks(user);
            match hidden {
                true if anew => show(&viewer, user, Presence::Hidden),
                true => {}
                false => show(&viewer, user, shown),
            }
        }
        return Ok(());
    }
    // Settings change all the time: the next news will find a quiet moment.
    ::metrics::counter!(metrics::SHED, "what" => "presence").increment(1);
    Ok(())
}

fn presence_of(inner: &Inner, user: &UserId, person: &Person) -> Presence {
    inner.presence.of(user).unwrap_or_else(|| {
        let last_seen_ms = person.last_seen_ms.max(inner.seen.unstored(user));
        Presence::Offline { last_seen_ms }
    })
}

fn show(session: &DeviceSession, user: &UserId, presence: Presence) {
    let wish = {
        let feeds = session.feeds.lock();
        feeds.wish_topic(&Target::Presence(Some(user.clone())))
    };
    if let Some(wish) = wish {
        let wish = Wish { qos: Qos::AtMostOnce, ..wish };
        if session.send(render(user, presence), wish).is_ok() {
            ::metrics::counter!(metrics::PRESENCE).increment(1);
        }
    }
}

fn render(user: &UserId, presence: Presence) -> Arc<Message> {
    use wire::user_presence::State;
    let (state, last_seen_ms) = match presence {
        Presence::Online => (State::Online, 0),
        Presence::Away => (State::Away, 0),
        Presence::Offline { last_seen_ms } => (State::Offline, last_seen_ms.unwrap_or(0)),
        Presence::Hidden => (State::Hidden, 0),
    };
    let told = wire::UserPresence { state: state as i32, last_seen_ms };
    Arc::new(Message {
        topic: format!("p/{user}").into(),
        payload: told.encode_to_vec().into(),
        properties: None,
    })
}
