//! Tokens as `godwit token` makes them, without its process, and as it would not.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use godwit_testkit::probe;
use godwit_testkit::wire::{Connect, Version};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::scenarios::world::World;

/// Signs with the embedded issuer's key: an app's issuer may say in a token what it likes.
pub(super) struct Mint(Hmac<Sha256>);

impl Mint {
    pub(super) fn of(world: &World) -> Self {
        let path = world.server.data().join("issuer.key");
        let text = std::fs::read_to_string(path).expect("the issuer's key");
        let hex = text.split_whitespace().next_back().expect("a key");
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
        let secret: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
        Self(Hmac::new_from_slice(&secret).expect("a key of any length"))
    }

    /// A CONNECT of this device, its token issued now and good for an hour.
    pub(super) fn hello(&self, version: Version, user: &str, device: &str) -> Connect {
        self.hello_with(version, (user, device), "")
    }

    /// The same, with further claims of the token: `,"acl":{...}`.
    pub(super) fn hello_with(
        &self,
        version: Version,
        (user, device): (&str, &str),
        more: &str,
    ) -> Connect {
        let now = now_ms();
        #[allow(clippy::cast_precision_loss, reason = "exact for 285,000 years")]
        let issued = now as f64 / 1000.0;
        let claims = claims(user, device, now / 1000 + 3600);
        let token = self.sign(&format!(r#"{claims},"iat":{issued}{more}}}"#));
        probe::connect(version, user, device, &token)
    }

    /// A token of mallory's that was issued so many seconds from now.
    pub(super) fn issued_ahead(&self, device: &str, ahead_s: u64) -> String {
        let now_s = now_ms() / 1000;
        let claims = claims("mallory", device, now_s + ahead_s + 3600);
        self.sign(&format!(r#"{claims},"iat":{}}}"#, now_s + ahead_s))
    }

    fn sign(&self, claims: &str) -> String {
        let signed = unsigned(claims);
        let mut mac = self.0.clone();
        mac.update(signed.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        format!("{signed}.{signature}")
    }
}

/// A token of about so many bytes with nobody's signature.
pub(super) fn forged(bytes: usize) -> String {
    let padding = "x".repeat(bytes / 4 * 3 - 200);
    let claims = claims("mallory", "device0", now_ms() / 1000 + 3600);
    let signature = URL_SAFE_NO_PAD.encode([7; 32]);
    format!("{}.{signature}", unsigned(&format!(r#"{claims},"pad":"{padding}"}}"#)))
}

/// The claims that all have, left open.
fn claims(user: &str, device: &str, expires_s: u64) -> String {
    format!(r#"{{"iss":"godwit","aud":"godwit","sub":"{user}","dev":"{device}","exp":{expires_s}"#)
}

fn unsigned(claims: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims))
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("before the year 500,000,000")
}
