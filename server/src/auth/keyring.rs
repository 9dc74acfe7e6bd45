//! What the data directory keeps secret: the embedded issuer's keys. (The operators' tokens:
//! [`super::operators`].)
//!
//! The file has a line for each key: 64 hexadecimal digits, alone or behind a name. The first one
//! signs; all are believed, so a key is changed without a token ending early: a new one is put first
//! (`godwit key add`), the old one goes when its last token has expired (`godwit key remove`). A
//! key's name travels as the token's `kid`; tokens without `kid` are those of the nameless key.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use godwit_core::ids::{DeviceId, Identity};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, encode};

use super::claims::{AUDIENCE, Acl, Audience, Claims, EMBEDDED_ISSUER, number_of_ms};
use super::lines::{self, Line, Place, Secrets, Wrong};
pub(crate) use super::operators::AdminToken;
use crate::clock;
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::limits::EMBEDDED_KEYS_MAX;
use crate::secret::Secret;

/// The embedded issuer's keys, the signing one first; never none. Clones are the same keys: what
/// [`EmbeddedKey::reload`] reads is in force for all who hold one.
#[derive(Clone)]
pub(crate) struct EmbeddedKey(Secrets<Key>);

/// 32 random bytes and, if it has one, the name.
#[derive(Clone, PartialEq, Eq)]
struct Key {
    kid: Option<String>,
    bytes: [u8; 32],
}

impl fmt::Debug for EmbeddedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmbeddedKey(***)")
    }
}

impl Line for Key {
    const WHAT: &'static str = "key";
    const MAX: usize = EMBEDDED_KEYS_MAX;
    const NONE: &'static str = "a line with 64 hexadecimal digits is needed";
    const BROKEN: &'static str = "Restore it from a backup. Or remove it: a new one is made, and \
                                  every token of the embedded issuer must be minted again.";
    const MISSING: &'static str = "Name the server's own data directory or configuration: --data DIR, \
                                   --config FILE. A server makes its key at its first start; \
                                   `godwit key add NAME` makes one before.";
    const LAST: (&'static str, &'static str) = (
        "it is the only key: nobody could sign any more",
        "Put a new one before it: godwit key add NAME.",
    );
    const LOOK: &'static str =
        "`godwit key list` shows those that it has; - is the one without a name.";

    fn read(line: &str) -> std::result::Result<Self, Wrong> {
        const FORM: &str = "must be 64 hexadecimal digits, alone or behind a name";
        let (kid, digits) = match line.split_once(char::is_whitespace) {
            None => (None, line),
            Some((name, digits)) => (Some(DeviceId::new(name).map_err(|_| FORM)?), digits.trim()),
        };
        let bytes = from_hex(digits).ok_or(FORM)?;
        // Zeros are what a failed copy or a placeholder leaves; of 32 random bytes some 30 differ.
        let distinct = bytes.iter().collect::<std::collections::BTreeSet<_>>().len();
        if distinct < 8 {
            return Err("is no random key: anyone could guess it".to_owned());
        }
        Ok(Self { kid: kid.map(|name| name.to_string()), bytes })
    }

    fn name(&self) -> Option<&str> {
        self.kid.as_deref()
    }
}

impl EmbeddedKey {
    /// Reads them from the configured place, or makes one there.
    pub(crate) fn load(config: &Config) -> Result<Self> {
        Secrets::load(&path(config), || Ok(to_hex(&clock::random::<32>()?))).map(Self)
    }

    /// Reads them from the configured place; `None`: there are none, and none are made.
    pub(crate) fn existing(config: &Config) -> Result<Option<Self>> {
        Ok(Secrets::existing(&path(config))?.map(Self))
    }

    /// Reads them again. When they cannot be read, they stay as they were.
    pub(crate) fn reload(&self, config: &Config) -> Result<()> {
        self.0.reload(&path(config))
    }

    /// A key that signs for nobody, to look at the rest of a configuration.
    pub(crate) fn stand_in() -> Self {
        Self(Secrets::of(vec![Key { kid: None, bytes: [0; 32] }]))
    }

    /// The signing key.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> [u8; 32] {
        self.0.get()[0].bytes
    }

    /// For judging tokens: each key with its name.
    pub(super) fn decoding(&self) -> Vec<(Option<String>, DecodingKey)> {
        let keys = self.0.get();
        keys.iter().map(|key| (key.kid.clone(), DecodingKey::from_secret(&key.bytes))).collect()
    }

    /// The keys' names, the signing one first.
    pub(crate) fn names(&self) -> Vec<Option<String>> {
        self.0.get().iter().map(|key| key.kid.clone()).collect()
    }

    /// Puts a new key of that name first in the file, which is made if it is not there.
    pub(crate) fn add(config: &Config, name: &DeviceId) -> Result<()> {
        let line = format!("{name} {}", to_hex(&clock::random::<32>()?));
        Secrets::<Key>::add(&path(config), &line, Place::First)
    }

    /// Takes the key of that name (`None`: the nameless one) out of the file. The last one stays.
    pub(crate) fn remove(config: &Config, name: Option<&str>) -> Result<()> {
        Secrets::<Key>::remove(&path(config), name)
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
            aud: Audience::One(AUDIENCE.to_owned()),
            exp: exp_s.into(),
            nbf: None,
            iat: Some(number_of_ms(now_ms)),
            acl,
        };
        let defect = || Failure::new("the token cannot be signed", "This is a defect.");
        let signing = self.0.get().first().cloned().ok_or_else(defect)?;
        let header = Header { kid: signing.kid, ..Header::new(Algorithm::HS256) };
        let key = EncodingKey::from_secret(&signing.bytes);
        let signed = encode(&header, &claims, &key).map_err(|_| defect())?;
        Ok((Secret::new(signed), exp_s.saturating_mul(1000)))
    }
}

/// Where the embedded issuer's keys are.
pub(crate) fn path(config: &Config) -> PathBuf {
    lines::path(config, &config.auth.embedded_key_file, "issuer.key")
}

/// There is no file of keys where one is needed.
pub(crate) fn missing(path: &Path) -> Failure {
    lines::missing::<Key>(path)
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

    fn config(dir: &Dir) -> Config {
        let mut config = Config::default();
        config.server.data_dir = dir.path().to_owned();
        config
    }

    #[test]
    fn keys_stay_and_wrong_ones_are_told() {
        let dir = Dir::new();
        let config = config(&dir);
        assert!(EmbeddedKey::existing(&config).unwrap().is_none(), "a look makes none");
        let first = EmbeddedKey::load(&config).unwrap();
        assert_eq!(EmbeddedKey::load(&config).unwrap().bytes(), first.bytes());
        assert_eq!(from_hex(&to_hex(&first.bytes())), Some(first.bytes()));
        let good = to_hex(&first.bytes());
        for (text, part) in [
            ("short".to_owned(), "line 1 must be 64 hexadecimal digits"),
            (String::new(), "is needed"),
            ("0".repeat(64), "line 1 is no random key"),
            ("ab".repeat(32), "anyone could guess it"),
            (format!("{good}\n{good}"), "line 2 has the name of another key"),
            (format!("a {good}\nb {good}\na {good}"), "line 3 has the name"),
            (format!("a/b {good}"), "behind a name"),
            ((0..9).map(|n| format!("k{n} {good}\n")).collect(), "there are 9 keys"),
        ] {
            std::fs::write(dir.path().join("issuer.key"), &text).unwrap();
            let message = EmbeddedKey::load(&config).unwrap_err().to_string();
            assert!(message.contains("issuer.key") && message.contains(part), "{message}");
            assert!(first.reload(&config).is_err(), "{text}");
        }
        assert_eq!(to_hex(&first.bytes()), good, "what cannot be read changes nothing");
    }

    #[test]
    fn a_key_is_changed_without_a_token_ending_early() {
        let dir = Dir::new();
        let mut config = config(&dir);
        config.auth.leeway = Duration::from_secs(5);
        let serving = EmbeddedKey::load(&config).unwrap();
        let door = super::super::Doorkeeper::new(&config, &serving, false).unwrap();
        let who: Identity = "alice:phone".parse().unwrap();
        let mint = || {
            let hour = Duration::from_secs(3600);
            serving.mint(&who, hour, None, clock::now_ms()).unwrap().expose().to_owned()
        };
        let believed = |token: &str| door.verify(token.as_bytes()).is_ok();
        let old = mint();
        EmbeddedKey::add(&config, &DeviceId::new("winter").unwrap()).unwrap();
        assert_eq!(EmbeddedKey::load(&config).unwrap().names(), [Some("winter".into()), None]);
        // Until the server reads it again, the old one signs.
        assert!(believed(&mint()));
        let reload = || door.reload(&config, &serving).unwrap();
        reload();
        let new = mint();
        let header = jsonwebtoken::decode_header(&new).unwrap();
        assert_eq!(header.kid.as_deref(), Some("winter"));
        assert!(believed(&old) && believed(&new));
        EmbeddedKey::remove(&config, None).unwrap();
        reload();
        assert!(!believed(&old) && believed(&new));
        let message = EmbeddedKey::remove(&config, Some("winter")).unwrap_err().to_string();
        assert!(message.contains("the only key"), "{message}");
        assert!(EmbeddedKey::remove(&config, Some("summer")).is_err());
        EmbeddedKey::add(&config, &DeviceId::new("spring").unwrap()).unwrap();
        reload();
        assert!(believed(&new) && believed(&mint()));
    }
}
