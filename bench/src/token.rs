//! Tokens of the embedded issuer (CONTRACT.md, "Connecting"), minted here by the thousand.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// Mints HS256 tokens from the embedded issuer's secret.
pub(crate) struct Issuer(Hmac<Sha256>);

impl Issuer {
    /// Takes the secret. Errors: none is too short or too long for HMAC, so none in practice.
    pub(crate) fn new(secret: &[u8]) -> miette::Result<Self> {
        Hmac::new_from_slice(secret).map(Self).map_err(|error| miette::miette!("{error}"))
    }

    /// A token for one device, good until `expires_s` (seconds since 1970). User and device
    /// names hold no character that JSON escapes.
    pub(crate) fn mint(&self, user: &str, device: &str, expires_s: u64) -> String {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        let claims = URL_SAFE_NO_PAD.encode(format!(
            r#"{{"sub":"{user}","dev":"{device}","exp":{expires_s},"aud":"godwit","iss":"godwit"}}"#
        ));
        let signed = format!("{header}.{claims}");
        let mut mac = self.0.clone();
        mac.update(signed.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        format!("{signed}.{signature}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_the_signature_of_its_secret() {
        let issuer = Issuer::new(b"secret").unwrap();
        let token = issuer.mint("alice", "phone", 1_900_000_000);
        // Computed apart: python3 hmac.new(b"secret", header + b"." + claims, sha256).
        assert_eq!(token, EXPECTED);
    }

    const EXPECTED: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
        eyJzdWIiOiJhbGljZSIsImRldiI6InBob25lIiwiZXhwIjoxOTAwMDAwMDAwLCJhdWQiOiJnb2R3aXQiLCJpc3MiOiJnb2R3aXQifQ.\
        PbCCQptkdwyo4z2KsyMnK5Vb3yi6gynPKeMNxkR60Io";
}
