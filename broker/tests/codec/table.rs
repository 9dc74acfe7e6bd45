//! Reads `packets.txt`, the table of packets that the codec's test and `bench/examples/codecs.rs`
//! share.
//!
//! A row is `when | name | packet | verdict`.
//! - when: `-`, the first packet of a connection; `3` or `5`, after a CONNECT of that version.
//! - name: a leading `bound:` says that the standard would allow it and our own bound does not.
//! - packet: hex bytes; `"text"`; `{ }`, a group with its length as a variable byte integer in
//!   front; `s"text"` and `s( )`, with its length as two bytes; `N*`, the next item N times.
//! - verdict: `ok`, `more` (bytes are missing), or the reason code of the refusal, followed by
//!   `>3` or `>5` when a CONNACK of that form may tell of it.

/// One packet and what must become of it.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// `-`, `3` or `5`.
    pub(crate) when: char,
    /// What it is.
    pub(crate) name: String,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    /// `ok`, `more`, or the code and the form of the CONNACK.
    pub(crate) verdict: Verdict,
}

/// What must become of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is decoded.
    Ok,
    /// More bytes are awaited.
    More,
    /// It is refused with a code, and a CONNACK of MQTT 3 or 5 may tell of it.
    Refused(u8, Option<u8>),
}

/// All rows. Error: the line that cannot be read.
pub(crate) fn rows() -> Result<Vec<Row>, String> {
    include_str!("packets.txt")
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with("//"))
        .map(|line| row(line).ok_or_else(|| line.to_owned()))
        .collect()
}

fn row(line: &str) -> Option<Row> {
    let mut cells = line.split('|').map(str::trim);
    let when = cells.next()?.chars().next()?;
    let name = cells.next()?.to_owned();
    let mut source = cells.next()?;
    let mut bytes = Vec::new();
    while !source.is_empty() {
        source = item(source, &mut bytes)?.trim_start();
    }
    let verdict = match cells.next()? {
        "ok" => Verdict::Ok,
        "more" => Verdict::More,
        refused => {
            let (code, form) = refused.split_once('>').unwrap_or((refused, ""));
            let form = if form.is_empty() { None } else { Some(form.parse().ok()?) };
            Verdict::Refused(u8::from_str_radix(code, 16).ok()?, form)
        }
    };
    Some(Row { when, name, bytes, verdict })
}

/// Reads one item off the front; returns what is left.
fn item<'a>(source: &'a str, out: &mut Vec<u8>) -> Option<&'a str> {
    if let Some(rest) = source.strip_prefix('"') {
        let (text, rest) = rest.split_once('"')?;
        out.extend_from_slice(text.as_bytes());
        return Some(rest);
    }
    if let Some(rest) = source.strip_prefix('{') {
        let (group, rest) = until(rest, '}')?;
        let mut len = group.len();
        loop {
            let digit = u8::try_from(len & 0x7F).ok()?;
            len >>= 7;
            out.push(if len > 0 { digit | 0x80 } else { digit });
            if len == 0 {
                break;
            }
        }
        out.extend(group);
        return Some(rest);
    }
    if let Some(rest) = source.strip_prefix('s') {
        let (group, rest) = if let Some(rest) = rest.strip_prefix('(') {
            until(rest, ')')?
        } else {
            let mut group = Vec::new();
            let rest = item(rest, &mut group)?;
            (group, rest)
        };
        out.extend(u16::try_from(group.len()).ok()?.to_be_bytes());
        out.extend(group);
        return Some(rest);
    }
    let word_len = source.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(source.len());
    let (word, rest) = source.split_at(word_len);
    if let Some(rest) = rest.strip_prefix('*') {
        let mut once = Vec::new();
        let rest = if let Some(rest) = rest.strip_prefix('(') {
            let (group, rest) = until(rest, ')')?;
            once = group;
            rest
        } else {
            item(rest, &mut once)?
        };
        for _ in 0..word.parse::<usize>().ok()? {
            out.extend_from_slice(&once);
        }
        return Some(rest);
    }
    if word.is_empty() || word_len % 2 != 0 {
        return None;
    }
    for at in (0..word_len).step_by(2) {
        out.push(u8::from_str_radix(&word[at..at + 2], 16).ok()?);
    }
    Some(rest)
}

/// Reads items up to the closing sign.
fn until(mut source: &str, close: char) -> Option<(Vec<u8>, &str)> {
    let mut out = Vec::new();
    loop {
        source = source.trim_start();
        if let Some(rest) = source.strip_prefix(close) {
            return Some((out, rest));
        }
        source = item(source, &mut out)?;
    }
}
