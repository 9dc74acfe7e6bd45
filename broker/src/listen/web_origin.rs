//! Which pages may talk to a server: `Origin` as browsers name it, against a list of exact values.

/// What stands for any port in a listed origin.
const ANY_PORT: &str = ":*";

/// Whether a page of this `Origin` is let in by the list.
///
/// Entries are compared exactly, but for two forms: `*` is any origin, and `scheme://host:*` is that
/// host with any port or none. The second is meant for a developer's own machine, where each tool
/// serves its pages on another port.
#[must_use]
pub fn allows(listed: &[String], origin: &[u8]) -> bool {
    listed.iter().any(|entry| match entry.strip_suffix(ANY_PORT) {
        Some(host) => origin.strip_prefix(host.as_bytes()).is_some_and(is_port_or_nothing),
        None => entry == "*" || entry.as_bytes() == origin,
    })
}

fn is_port_or_nothing(rest: &[u8]) -> bool {
    match rest {
        [] => true,
        [b':', port @ ..] => (1..=5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_port_means_a_port_and_nothing_else() {
        let listed =
            ["https://app.example", "http://localhost:*", "http://[::1]:*"].map(str::to_owned);
        for (origin, expected) in [
            ("https://app.example", true),
            ("https://app.example:8443", false),
            ("http://localhost", true),
            ("http://localhost:3000", true),
            ("http://localhost:65535", true),
            ("http://[::1]:5173", true),
            ("https://localhost:3000", false),
            ("http://localhost:", false),
            ("http://localhost:3000.evil.example", false),
            ("http://localhost.evil.example", false),
            ("http://localhost:30x0", false),
            ("http://localhost:300000", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(allows(&listed, origin.as_bytes()), expected, "{origin}");
        }
        assert!(allows(&["*".to_owned()], b"null"));
        assert!(!allows(&[], b"http://localhost"));
    }
}
