//! The two protobuf messages that a load needs, written and read in place: `Send` on `s/{cid}`
//! and the body of an `Entry` on `m/{cid}` (proto/godwit/conversation/v1/conversation.proto).

/// `Send.cmid`, field 1, length-delimited.
const SEND_CMID: u8 = 0x0a;
/// `Send.body`, field 3, length-delimited.
const SEND_BODY: u8 = 0x1a;
/// `Send.keep_unread`, field 10, a varint, and yes. Fields stand in any order.
pub(crate) const SEND_KEEP_UNREAD: [u8; 2] = [0x50, 1];
/// `Entry.body`, field 7.
const ENTRY_BODY: u64 = 7;

/// Bytes of a varint.
pub(crate) fn varint_len(value: usize) -> usize {
    (1..10).find(|len| value >> (7 * len) == 0).unwrap_or(10)
}

/// Appends a varint, seven bits a byte, the lowest first. MQTT's remaining length is the same.
pub(crate) fn write_varint(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap_or_default() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or_default());
}

/// Bytes of a `Send` around a body of `body` bytes: all but the body itself.
pub(crate) fn send_overhead(cmid: usize, body: usize) -> usize {
    1 + varint_len(cmid) + cmid + 1 + varint_len(body)
}

/// Appends a `Send` up to where its `body` bytes begin.
pub(crate) fn write_send_head(cmid: &[u8], body: usize, out: &mut Vec<u8>) {
    out.push(SEND_CMID);
    write_varint(cmid.len(), out);
    out.extend_from_slice(cmid);
    out.push(SEND_BODY);
    write_varint(body, out);
}

/// Finds the body in an `Entry`. None: it has none, or the bytes are no protobuf message.
pub(crate) fn entry_body(mut entry: &[u8]) -> Option<&[u8]> {
    while !entry.is_empty() {
        let key = take_varint(&mut entry)?;
        match key & 7 {
            0 => drop(take_varint(&mut entry)?),
            1 => drop(take(&mut entry, 8)?),
            2 => {
                let len = usize::try_from(take_varint(&mut entry)?).ok()?;
                let value = take(&mut entry, len)?;
                if key >> 3 == ENTRY_BODY {
                    return Some(value);
                }
            }
            5 => drop(take(&mut entry, 4)?),
            _ => return None,
        }
    }
    None
}

fn take<'a>(input: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, rest) = input.split_at_checked(len)?;
    *input = rest;
    Some(head)
}

fn take_varint(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = input.split_first()?;
        *input = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_is_what_its_length_says() {
        for body in [0, 1, 127, 128, 16_384] {
            let mut out = Vec::new();
            write_send_head(b"0000002a", body, &mut out);
            assert_eq!(out.len(), send_overhead(8, body));
        }
    }

    #[test]
    fn an_entrys_body_is_found_behind_the_other_fields() {
        // seq = 300, chain = 2 bytes, type = 1, sender "al", time_ms = 1, body "hey", id.
        let entry = [
            0x08, 0xac, 0x02, 0x12, 2, 9, 9, 0x18, 1, 0x22, 2, b'a', b'l', 0x30, 1, 0x3a, 3, b'h',
            b'e', b'y', 0x42, 1, 0,
        ];
        assert_eq!(entry_body(&entry), Some(&b"hey"[..]));
    }

    #[test]
    fn broken_entries_have_no_body() {
        assert_eq!(entry_body(&[]), None);
        assert_eq!(entry_body(&[0x3a, 9, 1]), None);
        assert_eq!(entry_body(&[0x3f]), None);
        assert_eq!(entry_body(&[0xff; 12]), None);
    }
}
