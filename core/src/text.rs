//! What may stand in texts that people read as names: titles, descriptions, names, reactions.
//!
//! One place for all of them, so that a name that one path lets in is none that another refuses.
//! Texts are judged, not changed: what comes back is what was sent. PRECIS (RFC 8264) was tried and
//! not taken: it forbids the joiners and variation selectors of which emoji are made. Categories are
//! those of the Unicode character database (crate `unicode-properties`).

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

/// What is wrong with a text, to follow its name: "the title …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// More characters (Unicode scalar values) than allowed.
    #[error("has {count} characters, at most {max} are allowed")]
    Long {
        /// How many it has.
        count: usize,
        /// How many it may have.
        max: usize,
    },
    /// A control character or a line break that does not belong there.
    #[error("holds control characters")]
    Control,
    /// A character that changes the direction of the text around it, or none that is one.
    #[error("holds characters that hide or reorder other text")]
    Deceiving,
    /// Nothing in it can be seen.
    #[error("is blank")]
    Blank,
}

/// Judges a text of one line: a title, a name. Empty is fine: it says that there is none.
///
/// # Errors
/// See [`Fault`].
pub fn line(text: &str, chars_max: usize) -> Result<(), Fault> {
    judge(text, chars_max, |_| false)
}

/// Judges a text of several lines, as a description: line breaks and tabs belong there.
///
/// # Errors
/// See [`Fault`].
pub fn lines(text: &str, chars_max: usize) -> Result<(), Fault> {
    judge(text, chars_max, |c| matches!(c, '\n' | '\r' | '\t'))
}

/// Judges a reaction. Bytes that are no UTF-8 are encrypted, and nobody's to judge.
///
/// # Errors
/// See [`Fault`].
pub fn reaction(body: &[u8]) -> Result<(), Fault> {
    std::str::from_utf8(body).map_or(Ok(()), |text| line(text, body.len()))
}

fn judge(text: &str, chars_max: usize, may_break: impl Fn(char) -> bool) -> Result<(), Fault> {
    let count = text.chars().count();
    if count > chars_max {
        return Err(Fault::Long { count, max: chars_max });
    }
    for c in text.chars().filter(|c| !may_break(*c)) {
        match c.general_category() {
            GeneralCategory::Control
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator => return Err(Fault::Control),
            _ if is_deceiving(c) => return Err(Fault::Deceiving),
            _ => {}
        }
    }
    if !text.is_empty() && !text.chars().any(is_visible) {
        return Err(Fault::Blank);
    }
    Ok(())
}

/// Embeddings, overrides and isolates of direction; noncharacters; tags outside of a flag are left
/// alone. Source: Unicode's bidirectional algorithm (UAX 9) and "Noncharacters" (chapter 23.7).
fn is_deceiving(c: char) -> bool {
    let code = u32::from(c);
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FDD0}'..='\u{FDEF}')
        || code & 0xFFFE == 0xFFFE
}

/// Whether a character by itself shows something. A mark alone needs what it stands on.
fn is_visible(c: char) -> bool {
    /// Letters and symbols by category that are drawn as nothing: Hangul fillers, the empty Braille
    /// pattern.
    const EMPTY: [char; 5] = ['\u{115F}', '\u{1160}', '\u{3164}', '\u{FFA0}', '\u{2800}'];
    !EMPTY.contains(&c)
        && !matches!(
            c.general_category(),
            GeneralCategory::Control
                | GeneralCategory::Format
                | GeneralCategory::SpaceSeparator
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator
                | GeneralCategory::NonspacingMark
                | GeneralCategory::EnclosingMark
                | GeneralCategory::SpacingMark
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_people_can_read() {
        let table: &[(&str, Result<(), Fault>)] = &[
            ("", Ok(())),
            ("Trip to Oslo", Ok(())),
            (" Trip ", Ok(())),
            ("Москва", Ok(())),
            ("نادي الكتاب", Ok(())),
            ("क्‍ष", Ok(())),
            ("e\u{301}te\u{301}", Ok(())),
            ("👩‍👩‍👧 ❤️ 🏴󠁧󠁢󠁥󠁮󠁧󠁿", Ok(())),
            ("   ", Err(Fault::Blank)),
            ("\u{A0}\u{2003}\u{3000}", Err(Fault::Blank)),
            ("\u{200B}\u{200D}\u{FEFF}", Err(Fault::Blank)),
            ("\u{3164}", Err(Fault::Blank)),
            ("\u{2800}\u{FE0F}", Err(Fault::Blank)),
            ("\u{301}", Err(Fault::Blank)),
            ("a\nb", Err(Fault::Control)),
            ("a\tb", Err(Fault::Control)),
            ("a\u{0}", Err(Fault::Control)),
            ("a\u{85}b", Err(Fault::Control)),
            ("a\u{2028}b", Err(Fault::Control)),
            ("photo\u{202E}gpj.exe", Err(Fault::Deceiving)),
            ("a\u{2066}b", Err(Fault::Deceiving)),
            ("a\u{FFFE}", Err(Fault::Deceiving)),
            ("a\u{10FFFF}", Err(Fault::Deceiving)),
        ];
        for (text, expected) in table {
            assert_eq!(line(text, 128), *expected, "{text:?}");
        }
        assert_eq!(line("abc", 2), Err(Fault::Long { count: 3, max: 2 }));
        assert_eq!(line("été", 3), Ok(()));
    }

    #[test]
    fn descriptions_have_lines() {
        for text in ["one\ntwo", "one\r\ntwo\r\n", "a:\tb", ""] {
            assert_eq!(lines(text, 64), Ok(()), "{text:?}");
        }
        assert_eq!(lines(" \n\t ", 64), Err(Fault::Blank));
        assert_eq!(lines("a\u{7}", 64), Err(Fault::Control));
        assert_eq!(lines("a\u{2029}", 64), Err(Fault::Control));
    }

    #[test]
    fn reactions_are_text_or_nobodys_to_judge() {
        for body in ["👍", "❤️", "👩‍👩‍👧", "+1"] {
            assert_eq!(reaction(body.as_bytes()), Ok(()), "{body}");
        }
        assert_eq!(reaction(&[0xFF, 0x00, 0x20]), Ok(()));
        assert_eq!(reaction(b""), Ok(()));
        assert_eq!(reaction(b" "), Err(Fault::Blank));
        assert_eq!(reaction("\u{200D}".as_bytes()), Err(Fault::Blank));
        assert_eq!(reaction(b"\x07"), Err(Fault::Control));
    }
}
