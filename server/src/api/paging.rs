//! Lists by pages: `limit`, and an opaque `cursor` that the page before gave as `next`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::problem::Problem;
use super::request;
use crate::limits::PAGE_ITEMS_MAX;

/// How many items, from the query's text: 1 to [`PAGE_ITEMS_MAX`], which it is when the query does not
/// say. Anything else is refused: who asks for more would take the page for all there is.
pub(crate) fn limit(text: Option<&str>) -> Result<u32, Problem> {
    let asked = request::number(text, "limit", PAGE_ITEMS_MAX.into())?;
    u32::try_from(asked).ok().filter(|limit| (1..=PAGE_ITEMS_MAX).contains(limit)).ok_or_else(
        || {
            Problem::bad(format!(
                "limit in the query must be from 1 to {PAGE_ITEMS_MAX}; ask on with what next says"
            ))
        },
    )
}

/// Writes a place of the list `list`.
pub(crate) fn next(list: &str, place: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{list} {place}"))
}

/// Reads a place of the list `list`; `read` takes what [`next`] was given. Errors: a cursor of
/// another list, or none at all.
pub(crate) fn place<T>(
    list: &str,
    cursor: Option<&str>,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, Problem> {
    let Some(cursor) = cursor else { return Ok(None) };
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let rest = text.as_deref().and_then(|text| text.strip_prefix(list)?.strip_prefix(' '));
    rest.and_then(read).map(Some).ok_or_else(|| {
        Problem::bad("cursor in the query must be the value of next of this list's page before")
    })
}

/// Cuts a page out of a list that is held whole: the items behind `after`, and the place of the
/// next page. `key` orders the list and names a place.
pub(crate) fn cut<'a, T, K: Ord + ?Sized>(
    items: &'a [T],
    after: Option<&K>,
    limit: u32,
    key: impl Fn(&T) -> &K,
) -> (&'a [T], Option<&'a T>) {
    let begin = after.map_or(0, |after| items.partition_point(|item| key(item) <= after));
    let rest = &items[begin..];
    let page = &rest[..rest.len().min(limit as usize)];
    (page, (page.len() < rest.len()).then(|| page.last()).flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_of_its_list() {
        let cursor = next("members", "bob");
        let read = |list, cursor: &str| place(list, Some(cursor), |t| Some(t.to_owned()));
        assert_eq!(read("members", &cursor).ok().flatten().as_deref(), Some("bob"));
        assert!(read("blocks", &cursor).is_err());
        for bad in ["", "%", "x", &URL_SAFE_NO_PAD.encode(b"members\xff")] {
            assert!(read("members", bad).is_err(), "{bad}");
        }
        assert!(place("members", None, |_| Some(())).is_ok_and(|place| place.is_none()));
        assert!(place::<()>("members", Some(&cursor), |_| None).is_err());
    }

    #[test]
    fn limits_beyond_the_bounds_are_refused() {
        for (text, expected) in [(None, 100), (Some("1"), 1), (Some("7"), 7), (Some("100"), 100)] {
            assert_eq!(limit(text).ok(), Some(expected), "{text:?}");
        }
        for bad in ["-1", "0", "101", "999999999999", "x"] {
            assert!(limit(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_whole_list_is_cut() {
        let items = ["a", "c", "e"];
        let cut = |after: Option<&str>, limit| {
            let (page, last) = cut(&items, after, limit, |item| *item);
            (page.concat(), last.copied())
        };
        assert_eq!(cut(None, 2), ("ac".to_owned(), Some("c")));
        assert_eq!(cut(Some("c"), 2), ("e".to_owned(), None));
        assert_eq!(cut(Some("b"), 1), ("c".to_owned(), Some("c")));
        assert_eq!(cut(Some("e"), 1), (String::new(), None));
        assert_eq!(cut(None, 3), ("ace".to_owned(), None));
    }
}
