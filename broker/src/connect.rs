//! A connection's life: CONNECT, the steady state, the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use godwit_core::edge::{
    Action, Admitted, Begin, Begun, Code, Credentials, Delivery, Outcome, SubscribeRequest, Version,
};
use godwit_core::ids::{DeviceId, Identity, UserId};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::account::{Account, Seat};
use crate::client::{Client, Found, Kept, Turn};
use crate::clock::now_s;
use crate::codec::Codec;
use crate::connection::{Connection, End, Entered, Run};
use crate::hello::{self, Met};
use crate::inflight::Inflight;
use crate::limits::{FAREWELL_MAX, FULL_RETRY, LINGER_BYTES_MAX, REFUSAL_TIME_MAX};
use crate::link::Link;
use crate::listen::Socket;
use crate::metrics;
use crate::opening;
use crate::packet::{Hello, TOKEN_METHOD};
use crate::reply::{self, Welcome};
use crate::rights::is_read;
use crate::shared::{Shared, due_will};

/// Runs an accepted connection to its end.
pub(crate) async fn run(shared: Arc<Shared>, mut socket: Socket, peer: SocketAddr) {
    let mut stopped = shared.stop.subscribe();
    let met = tokio::select! {
        met = hello::meet(&shared.options, &shared.large_hellos, &mut socket, peer) => met,
        // Whoever is not in yet is not told anything: the listener is gone as well.
        _ = stopped.wait_for(|stop| *stop) => None,
    };
    let Some(met) = met else { return };
    socket.entered();
    // Boxed, so that the steady state does not carry the size of the handshake.
    let shaken = Box::pin(async {
        tokio::select! {
            shaken = shake_hands(Arc::clone(&shared), socket, peer, met) => shaken,
            _ = stopped.wait_for(|stop| *stop) => None,
        }
    });
    let Some((mut connection, turn)) = shaken.await else { return };
    drop((shared, stopped));
    let end = Run(&mut connection).await;
    Box::pin(finish(connection, turn, end)).await;
}

async fn shake_hands(
    shared: Arc<Shared>,
    mut socket: Socket,
    peer: SocketAddr,
    met: Met,
) -> Option<(Box<Connection>, Turn)> {
    let Met { codec, input, hello } = met;
    let hello = match hello {
        Ok(hello) => hello,
        Err((version, outcome)) => {
            shared.journal.refused(peer, "", &outcome);
            turn_away(&mut socket, &codec, version, &outcome).await;
            return None;
        }
    };
    let (version, claimed, since) = (hello.version, hello.client_id.clone(), Instant::now());
    match Box::pin(admit(&shared, *hello, peer)).await {
        Ok(Arrival { entered, turn, welcome, revoked }) => {
            let mut connection =
                Box::new(Connection::new(shared, version, (socket, peer), codec, input, entered));
            metrics::connected(welcome.session_present, since);
            connection.told_dropped = welcome.dropped;
            reply::welcome(&connection.codec, version, welcome, &mut connection.output);
            if !revoked.is_empty() {
                connection.end_stored(revoked);
            }
            Some((connection, turn))
        }
        Err(outcome) => {
            shared.journal.refused(peer, &claimed, &outcome);
            turn_away(&mut socket, &codec, version, &outcome).await;
            None
        }
    }
}

/// Tells a connection that has no place here why, if it sends its CONNECT soon: nothing in it is
/// looked at but the version.
pub(crate) async fn refuse(mut socket: Socket, why: &Outcome, packet_bytes_max: u32) {
    let read = hello::version_of(&mut socket, packet_bytes_max);
    if let Ok(Some((codec, version))) = tokio::time::timeout(REFUSAL_TIME_MAX, read).await {
        turn_away(&mut socket, &codec, version, why).await;
    }
}

async fn turn_away(socket: &mut Socket, codec: &Codec, version: Version, outcome: &Outcome) {
    metrics::turned_away(outcome.code);
    let mut out = BytesMut::new();
    reply::turn_away(codec, version, outcome, &mut out);
    say_goodbye(socket, &out).await;
}

/// What a successful CONNECT brings.
struct Arrival {
    entered: Entered,
    turn: Turn,
    welcome: Welcome,
    /// Kept subscriptions that the token does not allow.
    revoked: Vec<String>,
}

/// What a CONNECT shows, if it asks for nothing that there is not.
fn credentials(hello: &Hello, peer: SocketAddr) -> Result<Credentials, Outcome> {
    if hello.auth_method.as_ref().is_some_and(|method| method != TOKEN_METHOD) {
        let reason = "the only authentication method is `token`; its data is the token";
        return Err(Outcome::refused(Code::BAD_AUTH_METHOD, reason));
    }
    if hello.will_qos_2 {
        return Err(Outcome::refused(Code::QOS_NOT_SUPPORTED, "a will with QoS 2"));
    }
    Ok(Credentials {
        client_id: hello.client_id.clone(),
        user_name: hello.user_name.clone(),
        password: hello.auth_data.clone().or_else(|| hello.password.clone()),
        version: hello.version,
        peer: Some(peer),
    })
}

async fn admit(shared: &Arc<Shared>, hello: Hello, peer: SocketAddr) -> Result<Arrival, Outcome> {
    let verdict = shared.gate.authenticate(credentials(&hello, peer)?).await;
    let admitted = Arc::new(verdict.inspect_err(metrics::authentication_failed)?);
    check_will(shared, &hello, &admitted).await?;
    let expiry_s = session_expiry(shared, &hello);
    let account = admitted.identity.as_ref().map(|who| shared.accounts.of(&who.user));
    let (client, turn, link, found) = claim(shared, &hello, &admitted, account.as_ref()).await?;
    let begin = Begin { clean: hello.clean, expiry_s };
    let opened = match seat(account.as_ref()) {
        Ok(seat) => opening::open(shared, &link, &admitted, begin).await.map(|fresh| (seat, fresh)),
        Err(outcome) => Err(outcome),
    };
    let (seat, mut fresh) = match opened {
        Ok(opened) => opened,
        Err(outcome) => {
            link.end();
            // What was kept stays for the next try.
            client.detach(found.kept, found.will, shared.router.bound());
            shared.registry.forget(&client);
            return Err(outcome);
        }
    };
    if !shared.gate.holds(&admitted) {
        link.end();
        fresh.refuse();
        client.detach(None, None, shared.router.bound());
        shared.end_session(&client);
        return Err(Outcome::refused(Code::NOT_AUTHORIZED, "the right to connect has ended"));
    }
    if let (Some(will), true) = (found.will, hello.clean) {
        // The session that it belonged to is over now.
        shared.fire(*will);
    }
    let begun = fresh.take();
    let was_kept = found.kept.is_some() && !hello.clean;
    let (again, revoked) =
        settle_kept(shared, &client, &admitted, found.kept.filter(|_| was_kept), begun.as_ref());
    let session_present = !hello.clean && (was_kept || begun.as_ref().is_some_and(|b| b.present));
    let dropped = if was_kept { found.dropped } else { 0 };
    let welcome = Welcome {
        dropped,
        ..welcome_of(shared, &hello, &admitted, &link, session_present, expiry_s)
    };
    let window = window(shared, &hello);
    let may_refresh = hello.auth_method.is_some();
    let will = hello.will.map(|mut will| {
        will.delay_s = will.delay_s.min(expiry_s);
        Box::new(will)
    });
    let entered = Entered {
        client,
        link,
        session: begun.map(|b| b.session),
        admitted,
        inflight: Inflight::new(window, again),
        alias_max: hello.topic_alias_max.min(shared.options.topic_alias_max),
        will,
        expiry_s,
        may_refresh,
        seat,
    };
    Ok(Arrival { entered, turn, welcome, revoked })
}

/// Deliveries in flight to this client.
fn window(shared: &Shared, hello: &Hello) -> u16 {
    let asked = match (hello.receive_maximum, hello.version) {
        (Some(asked), _) => asked.get(),
        // [MQTT-3.1.2.11.3]: without the property there is no bound but the broker's own.
        (None, Version::V5) => u16::MAX,
        (None, Version::V3) => shared.options.inflight_default,
    };
    asked.min(shared.options.inflight_max)
}

/// A will that could never be delivered is refused now: later nobody would see it.
async fn check_will(shared: &Shared, hello: &Hello, admitted: &Admitted) -> Result<(), Outcome> {
    let Some(will) = &hello.will else { return Ok(()) };
    let topic = &will.message.topic;
    let grant = shared.gate.authorize(admitted, Action::Publish(topic));
    if grant.is_denied() {
        let reason = "not allowed to publish to the topic of the will";
        return Err(Outcome::refused(Code::NOT_AUTHORIZED, reason));
    }
    match (&shared.upstream, &admitted.identity) {
        (Some(upstream), Some(who)) if grant.mounted => {
            opening::ask_for_will(upstream, who, topic).await
        }
        _ => Ok(()),
    }
}

/// Seconds that the session is kept: 3.1.1 without clean session as long as possible.
fn session_expiry(shared: &Shared, hello: &Hello) -> u32 {
    let max = u32::try_from(shared.options.session_expiry_max.as_secs()).unwrap_or(u32::MAX);
    match (hello.expiry_s, hello.clean) {
        (Some(expiry_s), _) => expiry_s.min(max),
        (None, true) => 0,
        (None, false) => max,
    }
}

type Claimed = (Arc<Client>, Turn, Arc<Link>, Found);

/// Becomes the one connection of the client id.
async fn claim(
    shared: &Shared,
    hello: &Hello,
    admitted: &Admitted,
    account: Option<&Arc<Account>>,
) -> Result<Claimed, Outcome> {
    /// Longer than a graceful end of the earlier connection takes.
    const CLAIM_MAX: Duration = Duration::from_secs(10);
    let busy = || Outcome::throttled(Duration::from_secs(1));
    let identity = admitted.identity.clone().or_else(anonymous).ok_or_else(busy)?;
    let options = &shared.options;
    let link = Arc::new(Link::new(
        identity,
        hello.version,
        options.queue_deliveries_max,
        options.queue_bytes_max,
    ));
    loop {
        let client = shared.registry.client(&admitted.client_id);
        let turn = tokio::time::timeout(CLAIM_MAX, client.claim()).await.map_err(|_| busy())?;
        let turn = turn.ok_or(Outcome::refused(Code::TAKEN_OVER, "a newer connection came"))?;
        if let Some(found) = client.attach(Arc::clone(&link), account) {
            return Ok((client, turn, link, found));
        }
    }
}

/// A place among the user's devices. Asked for after the claim, so that a device which takes over its
/// own connection is counted once.
fn seat(account: Option<&Arc<Account>>) -> Result<Option<Seat>, Outcome> {
    let enter = |account: &Arc<Account>| account.enter().ok_or(Outcome::throttled(FULL_RETRY));
    account.map(enter).transpose()
}

/// Clients without identity have no mounted topics; their links still need a name.
fn anonymous() -> Option<Identity> {
    Some(Identity { user: UserId::new("anonymous").ok()?, device: DeviceId::new("-").ok()? })
}

/// What was kept of plain topics: gone with a clean start, else in force again as far as it is still
/// allowed. Returns what is to be sent again, and the stored filters that the token does not allow.
fn settle_kept(
    shared: &Shared,
    client: &Arc<Client>,
    admitted: &Admitted,
    kept: Option<Box<Kept>>,
    begun: Option<&Begun>,
) -> (Vec<(u16, Delivery)>, Vec<String>) {
    let mut again = Vec::new();
    let mut revoked = Vec::new();
    match kept {
        Some(kept) => {
            again = kept.inflight;
            revoked = shared.recheck(client, admitted);
            if !revoked.is_empty() {
                let left = client.filters();
                again.retain(|(_, delivery)| is_read(&left, delivery));
            }
        }
        None => {
            for filter in client.take_filters() {
                shared.router.unsubscribe(&filter, client);
            }
            client.clear_plain();
        }
    }
    for subscription in begun.map(|b| b.subscriptions.as_slice()).unwrap_or_default() {
        let action = Action::Subscribe(&subscription.filter);
        let grant = shared.gate.authorize(admitted, action);
        if grant.is_denied() && !revoked.contains(&subscription.filter) {
            revoked.push(subscription.filter.clone());
        }
        let request =
            SubscribeRequest { subscription: subscription.clone(), mounted: grant.mounted };
        for filter in &grant.plain {
            // Beyond the bound they were never granted.
            let _ = shared.subscribe_plain(client, filter, &request, false);
        }
    }
    (again, revoked)
}

fn welcome_of(
    shared: &Shared,
    hello: &Hello,
    admitted: &Admitted,
    link: &Link,
    session_present: bool,
    expiry_s: u32,
) -> Welcome {
    let options = &shared.options;
    let max_s = u16::try_from(options.keep_alive_max.as_secs()).unwrap_or(u16::MAX);
    let asked_s = hello.keep_alive_s;
    let imposed = hello.version == Version::V5 && max_s > 0 && (asked_s == 0 || asked_s > max_s);
    let keep_alive_s = if imposed { max_s } else { asked_s };
    let silence_s = u32::from(keep_alive_s) * 3 / 2;
    link.silence_s.store(silence_s, Ordering::Relaxed);
    link.expires_ms.store(admitted.expires_ms.unwrap_or(0), Ordering::Relaxed);
    let assigned = hello.client_id.is_empty().then(|| admitted.client_id.clone());
    Welcome {
        session_present,
        expiry_s: hello.expiry_s.filter(|asked| *asked != expiry_s).map(|_| expiry_s),
        receive_maximum: options.receive_maximum,
        packet_bytes_max: options.packet_bytes_max,
        assigned_client_id: assigned,
        topic_alias_max: options.topic_alias_max,
        keep_alive_s: imposed.then_some(max_s),
        auth_method: hello.auth_method.clone(),
        dropped: 0,
    }
}

/// The end: the session is kept or over, the will is sent or waits, the client is told. Nothing here
/// waits for a store, so a client is always told at once, and the next connection comes in at once.
async fn finish(mut connection: Box<Connection>, turn: Turn, end: End) {
    connection.shared.journal.ended(connection.peer, &connection.admitted, end.code, end.why);
    metrics::ended(end.code);
    if let Some(code) = end.code {
        let (codec, version) = (&connection.codec, connection.version);
        reply::farewell(codec, version, code, Some(end.why), &mut connection.output);
    }
    let (mut socket, output) = leave(*connection, end);
    drop(turn);
    if end.code.is_some() {
        say_goodbye(&mut socket, &output).await;
    }
}

/// Ends what the connection had; gives its socket and what is still to be written.
fn leave(connection: Connection, end: End) -> (Socket, BytesMut) {
    connection.link.end();
    // A change of subscriptions under way is not waited for: its task goes on to the end.
    let Connection {
        shared,
        client,
        session,
        admitted,
        will,
        expiry_s,
        inflight,
        socket,
        output,
        ..
    } = connection;
    // A device whose right has ended has nothing to come back to.
    let expiry_s = if shared.gate.holds(&admitted) { expiry_s } else { 0 };
    if let Some(session) = &session {
        shared.close(session, expiry_s);
    }
    let will = will.filter(|_| !end.goodbye);
    let due = will.map(|will| due_will(*will, admitted, session));
    let (later, now) = match due {
        Some(due) if due.due_s > now_s() => (Some(Box::new(due)), None),
        due => (None, due),
    };
    let is_kept = expiry_s > 0 && client.has_filters();
    let kept = is_kept.then(|| {
        let until_s = now_s().saturating_add(expiry_s);
        Box::new(Kept { inflight: inflight.into_plain(), until_s })
    });
    client.detach(kept, later, shared.router.bound());
    if !is_kept {
        shared.end_session(&client);
    }
    if let Some(will) = now {
        shared.fire(will);
    }
    (socket, output)
}

/// Writes the last bytes, and reads on for a moment: a socket closed with unread bytes resets the
/// connection, and the client would never see why.
async fn say_goodbye(socket: &mut (impl AsyncRead + AsyncWrite + Unpin), last: &[u8]) {
    let goodbye = async {
        socket.write_all(last).await?;
        socket.flush().await?;
        socket.shutdown().await?;
        let mut left = LINGER_BYTES_MAX;
        let mut scrap = [0; 2048];
        while left > 0 {
            match socket.read(&mut scrap).await? {
                0 => break,
                count => left = left.saturating_sub(count),
            }
        }
        std::io::Result::Ok(())
    };
    // The peer may be gone or stuck: that is its own loss.
    let _ = tokio::time::timeout(FAREWELL_MAX, goodbye).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_a_peer_that_goes_on_sending_so_much_is_thrown_away() {
        let (mut ours, mut theirs) = tokio::io::duplex(1024);
        let peer = tokio::spawn(async move {
            let (mut sent, chunk) = (0, [0; 1024]);
            while theirs.write_all(&chunk).await.is_ok() {
                sent += chunk.len();
            }
            sent
        });
        say_goodbye(&mut ours, b"bye").await;
        drop(ours);
        let sent = peer.await.unwrap();
        // What was read, and what stood in between.
        assert!((LINGER_BYTES_MAX..=LINGER_BYTES_MAX + 4096).contains(&sent), "{sent}");
    }
}
