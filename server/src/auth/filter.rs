//! Topic filters: which are valid, and which reach no further than others.

/// Bytes of a topic or filter, from MQTT's own length field.
const BYTES_MAX: usize = 65_535;

/// Whether `filter` is one that MQTT allows [MQTT-4.7.1-1, MQTT-4.7.1-2, MQTT-4.7.3-1].
pub(crate) fn is_valid(filter: &str) -> bool {
    if filter.is_empty() || filter.len() > BYTES_MAX || filter.contains('\0') {
        return false;
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let wild = level.contains(['+', '#']);
        let whole = level == "+" || (level == "#" && levels.peek().is_none());
        if wild && !whole {
            return false;
        }
    }
    true
}

/// Whether `topic` can be published to: no wildcards, not empty, no NUL.
pub(crate) fn is_topic(topic: &str) -> bool {
    !topic.is_empty() && topic.len() <= BYTES_MAX && !topic.contains(['+', '#', '\0'])
}

/// Whether every topic that `requested` matches is matched by `allowed` too.
///
/// Both are valid filters; a topic is a filter that matches itself alone. As MQTT has it, a filter
/// that starts with a wildcard matches no topic that starts with `$` [MQTT-4.7.2-1], and `a/#`
/// matches `a` itself.
pub(crate) fn covers(allowed: &str, requested: &str) -> bool {
    if requested.starts_with('$') && allowed.starts_with(['+', '#']) {
        return false;
    }
    // Every topic has a first level, so these two match the same topics.
    if requested == "#" && allowed == "+/#" {
        return true;
    }
    let (mut allowed, mut requested) = (allowed.split('/'), requested.split('/'));
    loop {
        match (allowed.next(), requested.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(level)) if level != "#" => {}
            (Some(a), Some(r)) if a == r => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn validity() {
        for good in ["a", "/", "a/", "#", "+", "+/#", "a/+/b/#", "$SYS/#", "/a", "ä/b"] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["", "a#", "#/a", "a/#/b", "a+", "+a/b", "a/b#", "a\0", &"x".repeat(65_536)] {
            assert!(!is_valid(bad), "{bad}");
        }
        assert!(is_topic("a/b") && is_topic("/"));
        assert!(!is_topic("a/+") && !is_topic("") && !is_topic("#") && !is_topic("a\0"));
    }

    #[test]
    fn coverage() {
        let table = [
            ("#", "a/b", true),
            ("#", "#", true),
            ("#", "+/+", true),
            ("#", "$SYS/#", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/a", true),
            ("+/#", "#", true),
            ("+/+", "#", false),
            ("a/#", "a", true),
            ("a/#", "a/#", true),
            ("a/#", "a/+/b/#", true),
            ("a/#", "ab", false),
            ("a/#", "#", false),
            ("a/+", "a/b", true),
            ("a/+", "a/+", true),
            ("a/+", "a/#", false),
            ("a/+", "a", false),
            ("a/+", "a/b/c", false),
            ("a/+/#", "a/#", false),
            ("a/+/#", "a/+", true),
            ("a/b", "a/b", true),
            ("a/b", "a/+", false),
            ("a/b", "a/b/", false),
            ("+", "/", false),
            ("+/+", "/", true),
        ];
        for (allowed, requested, expected) in table {
            assert_eq!(covers(allowed, requested), expected, "{allowed} covers {requested}");
        }
    }

    /// MQTT's own rule, level by level.
    fn matches(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            (["#"], _) | ([], []) => true,
            (["+", f @ ..], [_, t @ ..]) => matches(f, t),
            ([a, f @ ..], [b, t @ ..]) if a == b => matches(f, t),
            _ => false,
        }
    }

    /// Every topic of up to `depth` levels over the names that the filters use, and one more.
    fn topics(depth: usize) -> Vec<Vec<&'static str>> {
        let mut all: Vec<Vec<&'static str>> = vec![vec![]];
        let mut last = all.clone();
        for _ in 0..depth {
            last = last
                .iter()
                .flat_map(|t| ["a", "b", "z"].map(|n| [t.as_slice(), &[n]].concat()))
                .collect();
            all.extend(last.clone());
        }
        all.retain(|topic| !topic.is_empty());
        all
    }

    fn filters() -> impl Strategy<Value = Vec<&'static str>> {
        let level = prop::sample::select(vec!["a", "b", "+"]);
        (prop::collection::vec(level, 0..4), any::<bool>()).prop_map(|(mut levels, open)| {
            if open || levels.is_empty() {
                levels.push("#");
            }
            levels
        })
    }

    proptest! {
        /// Covers says yes exactly when no topic is a counter-example.
        #[test]
        fn coverage_is_inclusion(allowed in filters(), requested in filters()) {
            let included = topics(5)
                .iter()
                .all(|topic| !matches(&requested, topic) || matches(&allowed, topic));
            prop_assert_eq!(covers(&allowed.join("/"), &requested.join("/")), included);
        }

        #[test]
        fn any_text_is_judged(a in ".{0,20}", b in "[a#+/$]{0,8}") {
            let _ = (is_valid(&a), is_topic(&a), covers(&a, &b), covers(&b, &a));
        }
    }
}
