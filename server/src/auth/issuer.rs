//! Issuers of tokens: the embedded one, and the app's own by public key.

use std::fmt;
use std::fs;
use std::path::Path;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};

use super::claims::EMBEDDED_ISSUER;
use super::keyring::EmbeddedKey;
use crate::config;
use crate::failure::{Failure, Result};
use crate::files;

/// Keys of one JWKS file; a longer one is refused.
const KEYS_MAX: usize = 64;

/// Who signs tokens, by which algorithm and with which keys.
pub(crate) struct Issuer {
    /// Compared with the token's `iss`.
    pub(crate) name: String,
    /// The only one that is taken.
    pub(crate) algorithm: Algorithm,
    /// With their key ids; one without id is a PEM file's.
    keys: Vec<(Option<String>, DecodingKey)>,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issuer({}, {:?}, {} keys)", self.name, self.algorithm, self.keys.len())
    }
}

impl Issuer {
    /// The one whose keys are in the data directory.
    pub(crate) fn embedded(key: &EmbeddedKey) -> Self {
        Self { name: EMBEDDED_ISSUER.to_owned(), algorithm: Algorithm::HS256, keys: key.decoding() }
    }

    /// One of the configuration. Reads its file; errors name the file.
    pub(crate) fn load(config: &config::Issuer) -> Result<Self> {
        let algorithm = match config.algorithm {
            config::Algorithm::EdDsa => Algorithm::EdDSA,
            config::Algorithm::Es256 => Algorithm::ES256,
            config::Algorithm::Rs256 => Algorithm::RS256,
        };
        let keys = match (&config.key_file, &config.jwks_file) {
            (Some(path), _) => vec![(None, pem(path, algorithm)?)],
            (None, Some(path)) => jwks(path, algorithm)?,
            (None, None) => Vec::new(),
        };
        Ok(Self { name: config.name.clone(), algorithm, keys })
    }

    /// The key of that id. A token without an id gets the only key, if there is only one, else the
    /// embedded issuer's nameless one; an id is compared with those of the keys and means nothing
    /// else.
    pub(crate) fn key(&self, kid: Option<&str>) -> Option<&DecodingKey> {
        match (kid, self.keys.as_slice()) {
            (None, [(_, only)]) | (Some(_), [(None, only)]) => Some(only),
            // Every key of a JWKS has an id here, if an empty one: none is found without.
            (kid, keys) => keys.iter().find(|(id, _)| id.as_deref() == kid).map(|(_, key)| key),
        }
    }
}

fn pem(path: &Path, algorithm: Algorithm) -> Result<DecodingKey> {
    let text = fs::read(path).map_err(|error| files::unreadable(path, &error))?;
    let key = match algorithm {
        Algorithm::EdDSA => DecodingKey::from_ed_pem(&text),
        Algorithm::ES256 => DecodingKey::from_ec_pem(&text),
        _ => DecodingKey::from_rsa_pem(&text),
    };
    key.map_err(|error| {
        Failure::new(
            format!("{} is no public key for {algorithm:?}: {error}", path.display()),
            "Give the issuer's public key as PEM (-----BEGIN PUBLIC KEY-----), of the kind that \
             auth.issuers names.",
        )
    })
}

fn jwks(path: &Path, algorithm: Algorithm) -> Result<Vec<(Option<String>, DecodingKey)>> {
    let refused = |what: String| {
        Failure::new(
            format!("{}: {what}", path.display()),
            "Give the issuer's JWKS as JSON: {\"keys\": [...]}, with a kid for each key.",
        )
    };
    let text = fs::read(path).map_err(|error| files::unreadable(path, &error))?;
    let set: JwkSet =
        serde_json::from_slice(&text).map_err(|error| refused(format!("not a JWKS: {error}")))?;
    let mut keys: Vec<(Option<String>, DecodingKey)> = Vec::new();
    for jwk in set.keys.iter().filter(|jwk| fits(jwk, algorithm)) {
        let kid = Some(jwk.common.key_id.clone().unwrap_or_default());
        if keys.iter().any(|(known, _)| *known == kid) {
            return Err(refused(format!("two keys with the same kid ({kid:?})")));
        }
        let key = DecodingKey::from_jwk(jwk)
            .map_err(|error| refused(format!("the key {kid:?} is not usable: {error}")))?;
        keys.push((kid, key));
    }
    match keys.len() {
        0 => Err(refused(format!("has no key for {algorithm:?}"))),
        1..=KEYS_MAX => Ok(keys),
        many => Err(refused(format!("has {many} keys; at most {KEYS_MAX} are taken"))),
    }
}

/// Whether a key is for signatures of that algorithm, by its type and by its own word.
fn fits(jwk: &Jwk, algorithm: Algorithm) -> bool {
    let kind = match (&jwk.algorithm, algorithm) {
        (AlgorithmParameters::RSA(_), Algorithm::RS256) => true,
        (AlgorithmParameters::EllipticCurve(p), Algorithm::ES256) => p.curve == EllipticCurve::P256,
        (AlgorithmParameters::OctetKeyPair(p), Algorithm::EdDSA) => {
            p.curve == EllipticCurve::Ed25519
        }
        _ => false,
    };
    let usable = jwk.common.public_key_use.as_ref().is_none_or(|u| *u == PublicKeyUse::Signature);
    let named = jwk.common.key_algorithm;
    kind && usable && named.is_none_or(|named| named.to_string() == format!("{algorithm:?}"))
}
