//! MQTT 5's topic aliases, both ways; allocated when the first one is used.

use std::collections::HashMap;
use std::num::NonZeroU16;

use bytestring::ByteString;
use godwit_core::edge::Code;

/// What the client has named.
#[derive(Debug, Default)]
pub(crate) struct Inward(Vec<Option<ByteString>>);

impl Inward {
    /// The topic that is meant; notes a new name. Errors: 0x94 beyond `max` or never named, 0x82
    /// without topic and alias.
    pub(crate) fn resolve(
        &mut self,
        alias: Option<NonZeroU16>,
        topic: ByteString,
        max: u16,
    ) -> Result<ByteString, Code> {
        let Some(alias) = alias else {
            return if topic.is_empty() { Err(Code::PROTOCOL_ERROR) } else { Ok(topic) };
        };
        if alias.get() > max {
            return Err(Code::TOPIC_ALIAS_INVALID);
        }
        let at = usize::from(alias.get()) - 1;
        if topic.is_empty() {
            return self.0.get(at).cloned().flatten().ok_or(Code::TOPIC_ALIAS_INVALID);
        }
        if self.0.len() <= at {
            self.0.resize(at + 1, None);
        }
        // A copy: the topic shares its packet's bytes, which would stay for as long as the name.
        self.0[at] = Some(ByteString::from(&*topic));
        Ok(topic)
    }
}

/// What the broker has named for the client.
#[derive(Debug)]
pub(crate) struct Outward {
    names: HashMap<ByteString, NonZeroU16>,
    max: u16,
}

impl Outward {
    pub(crate) fn new(max: u16) -> Self {
        Self { names: HashMap::new(), max }
    }

    /// The alias for a topic, and whether the client knows it already. The first topics get one
    /// for good: a device reads few conversations most of the time.
    pub(crate) fn name(&mut self, topic: &ByteString) -> Option<(NonZeroU16, bool)> {
        if let Some(alias) = self.names.get(topic) {
            return Some((*alias, true));
        }
        let next = u16::try_from(self.names.len()).ok()?.checked_add(1)?;
        if next > self.max {
            return None;
        }
        let alias = NonZeroU16::new(next)?;
        self.names.insert(topic.clone(), alias);
        Some((alias, false))
    }

    /// The packet that would have told the client did not leave.
    pub(crate) fn forget(&mut self, topic: &ByteString) {
        self.names.remove(topic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inward() {
        let mut names = Inward::default();
        let alias = NonZeroU16::new;
        assert_eq!(names.resolve(None, "a".into(), 2), Ok("a".into()));
        assert_eq!(names.resolve(None, "".into(), 2), Err(Code::PROTOCOL_ERROR));
        assert_eq!(names.resolve(alias(2), "".into(), 2), Err(Code::TOPIC_ALIAS_INVALID));
        assert_eq!(names.resolve(alias(2), "b".into(), 2), Ok("b".into()));
        assert_eq!(names.resolve(alias(2), "".into(), 2), Ok("b".into()));
        assert_eq!(names.resolve(alias(1), "".into(), 2), Err(Code::TOPIC_ALIAS_INVALID));
        assert_eq!(names.resolve(alias(3), "c".into(), 2), Err(Code::TOPIC_ALIAS_INVALID));
    }

    #[test]
    fn outward() {
        let mut names = Outward::new(1);
        let one = NonZeroU16::MIN;
        assert_eq!(names.name(&"a".into()), Some((one, false)));
        assert_eq!(names.name(&"a".into()), Some((one, true)));
        assert_eq!(names.name(&"b".into()), None);
        names.forget(&"a".into());
        assert_eq!(names.name(&"b".into()), Some((one, false)));
    }
}
