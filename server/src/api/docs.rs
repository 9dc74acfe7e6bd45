//! `/docs`: the OpenAPI document for people, without a network: one page, one script and one style of
//! our own, and nothing else is allowed to load.

use axum::http::header::{self, HeaderName};
use axum::response::IntoResponse;

const PAGE: &str = include_str!("docs/page.html");
const SCRIPT: &str = include_str!("docs/viewer.js");
const STYLE: &str = include_str!("docs/viewer.css");

/// Nothing but what this server sends, no inline script, no frame around it, no form elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    let headers: [(HeaderName, &str); 5] = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text)
}

/// This document for people: read, and try.
#[utoipa::path(
    get, path = "/docs", tag = "operation", security(()),
    responses((status = 200, description = "the page", body = String, content_type = "text/html")),
)]
pub(super) async fn page() -> impl IntoResponse {
    file("text/html; charset=utf-8", PAGE)
}

/// The page's script.
#[utoipa::path(
    get, path = "/docs/viewer.js", tag = "operation", security(()),
    responses((status = 200, description = "the script", body = String, content_type = "text/javascript")),
)]
pub(super) async fn script() -> impl IntoResponse {
    file("text/javascript; charset=utf-8", SCRIPT)
}

/// The page's style.
#[utoipa::path(
    get, path = "/docs/viewer.css", tag = "operation", security(()),
    responses((status = 200, description = "the style", body = String, content_type = "text/css")),
)]
pub(super) async fn style() -> impl IntoResponse {
    file("text/css; charset=utf-8", STYLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Neither a foreign address nor inline code, which the policy would not let run.
    #[test]
    fn the_page_needs_nothing_else() {
        for text in [PAGE, SCRIPT, STYLE] {
            assert!(!text.contains("http:") && !text.contains("https:") && !text.contains("//cdn"));
            for inline in
                ["innerHTML", "outerHTML", "document.write", "eval(", "onclick=", "style="]
            {
                assert!(!text.contains(inline), "{inline}");
            }
        }
        assert!(PAGE.contains("docs/viewer.js") && PAGE.contains("docs/viewer.css"));
    }
}
