//! The least XMPP that a durable one-to-one message needs: stream, SASL PLAIN, resource binding,
//! stream management (XEP-0198) for the acknowledgement. No roster, and presence only when asked
//! for: all that is left out makes the peer faster.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Error, Event, Step};
use crate::limits::PACKET_BYTES_MAX;
use crate::stamp::Stamp;

/// What a session is made of.
pub(crate) struct Config {
    pub(crate) domain: String,
    pub(crate) user: String,
    pub(crate) password: String,
    /// The bare address that messages go to; None: this session only receives.
    pub(crate) to: Option<String>,
    /// Ask for an acknowledgement after every so many messages.
    pub(crate) ack_every: u32,
    /// A session that only receives says that it is available.
    pub(crate) presence: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Mechanisms,
    Authenticating,
    Features,
    Binding,
    Enabling,
    Ready,
}

/// One XMPP session.
pub(crate) struct Xmpp {
    config: Config,
    phase: Phase,
    sent: u32,
    /// Stanzas received since stream management began, modulo 2^32.
    handled: u32,
}

/// The resource that every session binds, so that a full address is known beforehand.
const RESOURCE: &str = "bench";
const REQUEST_ACK: &[u8] = b"<r xmlns='urn:xmpp:sm:3'/>";

impl Xmpp {
    /// A session that was not opened yet.
    pub(crate) fn new(config: Config) -> Self {
        Self { config, phase: Phase::Mechanisms, sent: 0, handled: 0 }
    }

    pub(super) fn open(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<?xml version='1.0'?>");
        self.stream(out);
    }

    pub(super) fn close(out: &mut Vec<u8>) {
        out.extend_from_slice(b"</stream:stream>");
    }

    fn stream(&self, out: &mut Vec<u8>) {
        write(
            out,
            &[
                "<stream:stream xmlns='jabber:client' version='1.0' \
             xmlns:stream='http://etherx.jabber.org/streams' to='",
                &self.config.domain,
                "'>",
            ],
        );
    }

    pub(super) fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> Step {
        let Some((name, element, used)) = element(input)? else { return Ok(None) };
        let event = match name {
            b"?xml" | b"stream:stream" => None,
            b"message" => {
                self.handled = self.handled.wrapping_add(1);
                let stamp = between(element, b"<body>", b"</body>").and_then(Stamp::read_hex);
                Some(Event::Delivered(stamp))
            }
            b"a" => between(element, b"h='", b"'")
                .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
                .map(|count| Event::AckedUpTo { count }),
            b"r" => {
                write(out, &["<a xmlns='urn:xmpp:sm:3' h='", &self.handled.to_string(), "'/>"]);
                None
            }
            b"iq" if self.phase == Phase::Ready => {
                self.handled = self.handled.wrapping_add(1);
                None
            }
            b"presence" => {
                self.handled = self.handled.wrapping_add(1);
                None
            }
            b"stream:error" | b"failure" | b"failed" | b"/stream:stream" => {
                return Err(Error::Ended(String::from_utf8_lossy(element).into_owned()));
            }
            _ => self.negotiate(name, element, out)?,
        };
        Ok(Some((used, event)))
    }

    /// The steps until the session is up, each begun by the server's answer to the one before.
    fn negotiate(
        &mut self,
        name: &[u8],
        element: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, Error> {
        self.phase = match (self.phase, name) {
            (Phase::Mechanisms, b"stream:features") => {
                let plain = format!("\0{}\0{}", self.config.user, self.config.password);
                write(
                    out,
                    &[
                        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>",
                        &STANDARD.encode(plain),
                        "</auth>",
                    ],
                );
                Phase::Authenticating
            }
            (Phase::Authenticating, b"success") => {
                self.stream(out);
                Phase::Features
            }
            (Phase::Features, b"stream:features") => {
                write(
                    out,
                    &[
                        "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
                     <resource>",
                        RESOURCE,
                        "</resource></bind></iq>",
                    ],
                );
                Phase::Binding
            }
            (Phase::Binding, b"iq") => {
                if between(element, b"type='", b"'") != Some(b"result") {
                    return Err(Error::Refused(String::from_utf8_lossy(element).into_owned()));
                }
                if self.config.to.is_none() {
                    if self.config.presence {
                        out.extend_from_slice(b"<presence/>");
                    }
                    self.phase = Phase::Ready;
                    return Ok(Some(Event::Ready));
                }
                out.extend_from_slice(b"<enable xmlns='urn:xmpp:sm:3'/>");
                Phase::Enabling
            }
            (Phase::Enabling, b"enabled") => {
                self.phase = Phase::Ready;
                return Ok(Some(Event::Ready));
            }
            _ => return Err(Error::Malformed("an XMPP element out of its turn")),
        };
        Ok(None)
    }

    pub(super) fn publish(&mut self, stamp: Stamp, size: usize, out: &mut Vec<u8>) -> u32 {
        self.sent = self.sent.wrapping_add(1);
        let to = self.config.to.as_deref().unwrap_or_default();
        // Writing to memory does not fail.
        let _ = write!(out, "<message type='chat' to='{to}/{RESOURCE}' id='{}'><body>", self.sent);
        let end = out.len() + size;
        stamp.write_hex(out);
        out.resize(end.max(out.len()), b'.');
        out.extend_from_slice(b"</body></message>");
        if self.sent.is_multiple_of(self.config.ack_every) {
            out.extend_from_slice(REQUEST_ACK);
        }
        self.sent
    }
}

fn write(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

/// An element at the front of the input: its name, all of it, and the bytes used.
type Element<'a> = (&'a [u8], &'a [u8], usize);

/// Takes the element at the front of the input. Stream headers and the XML declaration count as
/// elements of their own. None: not all of it is here.
fn element(input: &[u8]) -> Result<Option<Element<'_>>, Error> {
    let skipped = input.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let rest = &input[skipped..];
    if rest.len() > PACKET_BYTES_MAX {
        return Err(Error::Malformed("a stanza longer than any message here"));
    }
    match rest.first() {
        None => return Ok(None),
        Some(b'<') => {}
        Some(_) => return Err(Error::Malformed("text between stanzas")),
    }
    // A server escapes `>` in attributes, so the first one ends the tag.
    let Some(tag_end) = rest.iter().position(|&byte| byte == b'>') else { return Ok(None) };
    let tag = &rest[1..tag_end];
    let name_len = tag
        .iter()
        .skip(1)
        .position(|&byte| byte.is_ascii_whitespace() || byte == b'/')
        .map_or(tag.len(), |at| at + 1);
    let name = &tag[..name_len];
    let alone = tag.ends_with(b"/") || tag.starts_with(b"?") || tag.starts_with(b"/");
    let len = if alone || name == b"stream:stream" {
        tag_end + 1
    } else {
        match closing(&rest[tag_end..], name) {
            Some(end) => tag_end + end,
            None => return Ok(None),
        }
    };
    Ok(Some((name, &rest[..len], skipped + len)))
}

/// Where `</name>` ends. Stanzas of one name are not nested in each other here.
fn closing(text: &[u8], name: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + find(&text[from..], b"</")? + 2;
        let rest = text[at..].strip_prefix(name);
        if rest.is_some_and(|rest| rest.starts_with(b">")) {
            return Some(at + name.len() + 1);
        }
        from = at;
    }
}

fn between<'a>(text: &'a [u8], before: &[u8], after: &[u8]) -> Option<&'a [u8]> {
    let start = find(text, before)? + before.len();
    let end = find(&text[start..], after)?;
    Some(&text[start..start + end])
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(to: Option<&str>) -> Xmpp {
        Xmpp::new(Config {
            domain: "localhost".to_owned(),
            user: "u1".to_owned(),
            password: "pw".to_owned(),
            to: to.map(str::to_owned),
            ack_every: 2,
            presence: true,
        })
    }

    fn run(xmpp: &mut Xmpp, input: &str) -> (Vec<Event>, String) {
        let (mut out, mut events, mut at) = (Vec::new(), Vec::new(), 0);
        while let Some((used, event)) = xmpp.step(&input.as_bytes()[at..], &mut out).unwrap() {
            at += used;
            events.extend(event);
        }
        assert_eq!(at, input.len(), "all of the input is used");
        (events, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_session_comes_up_step_by_step() {
        let mut xmpp = session(Some("u2@localhost"));
        let header = "<?xml version='1.0'?><stream:stream id='1' from='localhost'>";
        let features = "<stream:features><mechanisms><mechanism>PLAIN</mechanism></mechanisms>\
                        </stream:features>";
        let (_, out) = run(&mut xmpp, &format!("{header}{features}"));
        assert!(out.contains("AHUxAHB3"), "{out}");
        let (_, out) = run(&mut xmpp, "<success xmlns='x'/>");
        assert!(out.starts_with("<stream:stream "), "{out}");
        let (_, out) =
            run(&mut xmpp, "<stream:stream id='2'><stream:features><bind/></stream:features>");
        assert!(out.contains("<resource>bench</resource>"), "{out}");
        let (events, out) = run(&mut xmpp, "<iq type='result' id='b'><bind/></iq>");
        assert_eq!((events.len(), out.as_str()), (0, "<enable xmlns='urn:xmpp:sm:3'/>"));
        let (events, _) = run(&mut xmpp, "<enabled xmlns='urn:xmpp:sm:3'/>");
        assert_eq!(events, [Event::Ready]);
    }

    #[test]
    fn a_message_comes_back_and_acks_are_counted() {
        let mut sender = session(Some("u2@localhost"));
        let stamp = Stamp { lane: 1, seq: 2, due_ns: 3 };
        let mut out = Vec::new();
        sender.publish(stamp, 40, &mut out);
        let one = String::from_utf8(out.clone()).unwrap();
        assert!(one.ends_with("........</body></message>"), "{one}");
        sender.publish(stamp, 40, &mut out);
        let two = String::from_utf8(out).unwrap();
        assert!(two.ends_with("<r xmlns='urn:xmpp:sm:3'/>"), "{two}");
        let mut receiver = session(None);
        receiver.phase = Phase::Binding;
        let (events, hello) = run(&mut receiver, "<iq type='result' id='b'><bind/></iq>");
        assert_eq!((events, hello.as_str()), (vec![Event::Ready], "<presence/>"));
        let (events, reply) = run(&mut receiver, &two);
        assert_eq!(events, [Event::Delivered(Some(stamp)), Event::Delivered(Some(stamp))]);
        assert_eq!(reply, "<a xmlns='urn:xmpp:sm:3' h='2'/>");
        let (events, _) = run(&mut sender, "<a h='2' xmlns='urn:xmpp:sm:3'/>");
        assert_eq!(events, [Event::AckedUpTo { count: 2 }]);
    }

    #[test]
    fn half_a_stanza_waits_and_errors_end_the_session() {
        let mut xmpp = session(None);
        let mut out = Vec::new();
        assert_eq!(xmpp.step(b"<message from='x'><body>12", &mut out), Ok(None));
        assert!(xmpp.step(b"<stream:error><conflict/></stream:error>", &mut out).is_err());
        assert!(xmpp.step(b"stray", &mut out).is_err());
    }
}
