//! Topic names and filters, as MQTT allows them.

use godwit_core::edge::Code;

use super::packet::Error;
use crate::limits::{FILTER_BYTES_MAX, TOPIC_BYTES_MAX};

/// A topic to publish to: something, without wildcards. `[MQTT-3.3.2-2] [MQTT-4.7.3-1]`
pub(super) fn topic_name(topic: &str) -> Result<(), Error> {
    let wrong = if topic.is_empty() {
        "an empty topic"
    } else if topic.len() > TOPIC_BYTES_MAX {
        "the topic is too long"
    } else if topic.bytes().any(|b| b == b'+' || b == b'#') {
        "a wildcard in a topic name"
    } else {
        return Ok(());
    };
    Err(Error::new(Code::TOPIC_NAME_INVALID, wrong))
}

/// A filter: `#` only as the last level, `+` only as a whole one, a share with a name and a
/// filter. `[MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.8.2-1] [MQTT-4.8.2-2]`
pub(super) fn topic_filter(filter: &str) -> Result<(), Error> {
    let invalid = |what| Err(Error::new(Code::TOPIC_FILTER_INVALID, what));
    if filter.len() > FILTER_BYTES_MAX {
        return invalid("the topic filter is too long");
    }
    let plain = match filter.strip_prefix("$share/") {
        None => filter,
        Some(shared) => match shared.split_once('/') {
            Some((name, rest)) if !name.is_empty() && !name.contains(['+', '#']) => rest,
            _ => return invalid("a shared subscription without a valid name"),
        },
    };
    if plain.is_empty() {
        return invalid("an empty topic filter");
    }
    let mut levels = plain.split('/').peekable();
    while let Some(level) = levels.next() {
        let alone = level.len() == 1;
        if level.contains('#') && (!alone || levels.peek().is_some()) {
            return invalid("`#` is not the whole last level");
        }
        if level.contains('+') && !alone {
            return invalid("`+` is not a whole level");
        }
    }
    Ok(())
}
