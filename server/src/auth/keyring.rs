//! What the data directory keeps secret: the embedded issuer's key and the operators' token.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use godwit_core::ids::Identity;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use sha2::{Digest as _, Sha256};

use super::token::{Acl, Audience, Claims};
use super::{EMBEDDED_ISSUER, token};
use crate::clock;
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::files;
use crate::secret::Secret;

/// The embedded issuer's key: 32 random bytes.
#[derive(Clone)]
pub(crate) struct EmbeddedKey([u8; 32]);

impl fmt::Debug for EmbeddedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmbeddedKey(***)")
    }
}

impl EmbeddedKey {
    /// Reads it from the configured place, or makes it there.
    pub(crate) fn load(config: &Config) -> Result<Self> {
        let path = place(config, &config.auth.embedded_key_file, "issuer.key");
        let text = files::private(&path, || Ok(to_hex(&clock::random::<32>()?)))?;
        from_hex(text.trim()).map(Self).ok_or_else(|| {
            Failure::new(
                format!("{} is no key: it must be 64 hexadecimal digits", path.display()),
                "Restore it from a backup. Or remove it: a new one is made, and every token of \
                 the embedded issuer must be minted again.",
            )
        })
    }

    /// A key that signs for nobody, to look at the rest of a configuration.
    pub(crate) fn stand_in() -> Self {
        Self([0; 32])
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Mints a token for `identity`, valid for at least `ttl` from `now_ms` (milliseconds since
    /// 1970): its end is a whole second, rounded up.
    pub(crate) fn mint(
        &self,
        identity: &Identity,
        ttl: Duration,
        acl: Option<Acl>,
        now_ms: u64,
    ) -> Result<Secret> {
        self.mint_until(identity, ttl, acl, now_ms).map(|(token, _)| token)
    }

    /// As [`EmbeddedKey::mint`], with the token's end in milliseconds since 1970.
    pub(crate) fn mint_until(
        &self,
        identity: &Identity,
        ttl: Duration,
        acl: Option<Acl>,
        now_ms: u64,
    ) -> Result<(Secret, u64)> {
        let exp_s = now_ms.div_ceil(1000).saturating_add(ttl.as_secs());
        let claims = Claims {
            iss: Some(EMBEDDED_ISSUER.to_owned()),
            sub: identity.user.to_string(),
            dev: identity.device.to_string(),
            aud: Audience::One(token::AUDIENCE.to_owned()),
            exp: exp_s.into(),
            nbf: None,
            iat: Some(token::number_of_ms(now_ms)),
            acl,
        };
        let key = EncodingKey::from_secret(&self.0);
        let signed = encode(&Header::new(Algorithm::HS256), &claims, &key).map_err(|error| {
            Failure::new(format!("the token cannot be signed: {error}"), "This is a defect.")
        })?;
        Ok((Secret::new(signed), exp_s.saturating_mul(1000)))
    }
}

/// The operators' token for REST.
#[derive(Debug, Clone)]
pub(crate) struct AdminToken(Secret);

impl AdminToken {
    /// Reads it from the configured place, or makes it there: 32 random bytes as base64url.
    pub(crate) fn load(config: &Config) -> Result<Self> {
        let path = place(config, &config.auth.admin_token_file, "admin.token");
        let text = files::private(&path, || {
            Ok(format!("gdwa_{}", URL_SAFE_NO_PAD.encode(clock::random::<32>()?)))
        })?;
        Self::new(text.trim()).ok_or_else(|| {
            Failure::new(
                format!("{} is too short to be a token", path.display()),
                "Remove it: a new one is made. Or write 20 or more random characters into it.",
            )
        })
    }

    /// Takes a token of at least 20 bytes.
    pub(crate) fn new(text: &str) -> Option<Self> {
        (text.len() >= 20).then(|| Self(Secret::new(text)))
    }

    /// Whether `shown` is it. Digests are compared, so the time taken says nothing about how much
    /// of it was right.
    pub(crate) fn is(&self, shown: &[u8]) -> bool {
        Sha256::digest(shown) == Sha256::digest(self.0.expose())
    }

    /// For `dev.json`.
    pub(crate) fn secret(&self) -> &Secret {
        &self.0
    }
}

fn place(config: &Config, chosen: &Path, name: &str) -> PathBuf {
    if chosen.as_os_str().is_empty() {
        config.server.data_dir.join(name)
    } else {
        chosen.to_owned()
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dir;

    #[test]
    fn keys_stay_and_wrong_ones_are_told() {
        let dir = Dir::new();
        let mut config = Config::default();
        config.server.data_dir = dir.path().to_owned();
        let first = EmbeddedKey::load(&config).unwrap();
        assert_eq!(EmbeddedKey::load(&config).unwrap().0, first.0);
        assert_eq!(from_hex(&to_hex(&first.0)), Some(first.0));
        std::fs::write(dir.path().join("issuer.key"), "short").unwrap();
        assert!(EmbeddedKey::load(&config).unwrap_err().to_string().contains("issuer.key"));

        let admin = AdminToken::load(&config).unwrap();
        let text = admin.secret().expose().to_owned();
        assert!(
            admin.is(text.as_bytes()) && AdminToken::load(&config).unwrap().is(text.as_bytes())
        );
        assert!(!admin.is(b"") && !admin.is(&text.as_bytes()[1..]));
        assert!(!format!("{admin:?}{first:?}").contains(&text));
        std::fs::write(dir.path().join("admin.token"), "").unwrap();
        assert!(AdminToken::load(&config).is_err());
    }
}
