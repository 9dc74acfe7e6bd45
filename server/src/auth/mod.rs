//! Who comes in and what they may do: CONTRACT.md, "Connecting" and "Topics of a device".
//!
//! Read it in this order: [`token`], when a token is believed; [`issuer`] and [`keyring`], by whom
//! it is signed; [`operators`], who may do more (both over the files of [`lines`]); [`revoked`], whose tokens are refused all the same,
//! and [`watch`], how that gets here; [`topics`] over [`filter`], what
//! its bearer may do; [`Doorkeeper`] here, which is the broker's gate and REST's judge of tokens.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use godwit_core::edge::{Action, Admitted, Code, Credentials, Gate, Grant, Outcome, Task, Version};
use godwit_core::ids::Identity;
use godwit_core::people::Revocation;
use parking_lot::RwLock;

pub(crate) mod claims;
pub(crate) mod filter;
mod issuer;
pub(crate) mod keyring;
mod lines;
pub(crate) mod operators;
mod revoked;
#[cfg(test)]
mod tests;
pub(crate) mod token;
mod topics;
pub(crate) mod watch;

use crate::audit::{Act, Audit};
use crate::failure::Result;
use crate::{clock, config};
pub(crate) use claims::EMBEDDED_ISSUER;
use issuer::Issuer;
use keyring::EmbeddedKey;
use revoked::Revoked;
use token::{Refused, Times, Verified};
use topics::Rules;

/// Characters of a claimed client id in the audit trail: a true one has at most 129.
const CLAIMED_CHARS_MAX: usize = 130;

/// How long after a moment a token that was issued before it may still be valid.
pub(crate) fn tokens_end(config: &config::Config) -> Duration {
    // Leeway at both ends, and the seconds that issuers may round.
    config.auth.token_age_max + 2 * config.auth.leeway + Duration::from_secs(3)
}

/// Implements the broker's gate by tokens.
#[derive(Debug)]
pub(crate) struct Doorkeeper {
    /// Replaced as a whole by [`Doorkeeper::reload`]; the lock is held for a clone only.
    issuers: RwLock<Arc<[Issuer]>>,
    times: Times,
    rules: Rules,
    revoked: Revoked,
    audit: Audit,
    /// Milliseconds since 1970.
    clock: fn() -> u64,
}

impl Doorkeeper {
    /// Reads the issuers' keys. `open`: anonymous clients come in too.
    pub(crate) fn new(config: &config::Config, key: &EmbeddedKey, open: bool) -> Result<Self> {
        Ok(Self {
            issuers: RwLock::new(issuers(config, key)?),
            times: Times { leeway: config.auth.leeway, age_max: config.auth.token_age_max },
            rules: Rules { plain: config.plain.clone(), open },
            revoked: Revoked::default(),
            audit: Audit::OFF,
            clock: clock::now_ms,
        })
    }

    /// Writes down who comes in and who is refused.
    pub(crate) fn audited(self, audit: Audit) -> Self {
        Self { audit, ..self }
    }

    /// Reads the issuers' keys again, the embedded one's too. When one cannot be read, all stay as
    /// they were, but for the embedded issuer's.
    pub(crate) fn reload(&self, config: &config::Config, key: &EmbeddedKey) -> Result<()> {
        key.reload(config)?;
        let issuers = issuers(config, key)?;
        *self.issuers.write() = issuers;
        Ok(())
    }

    /// From now on what this says is refused, and nothing else of that device or user.
    pub(crate) fn learn(&self, revocation: &Revocation) {
        self.revoked.note(revocation);
    }

    /// Forgets what was revoked of devices whose tokens have all ended.
    pub(crate) fn forget(&self, devices: &[Identity]) {
        self.revoked.forget(devices);
    }

    /// Believes a token, or says why not.
    pub(crate) fn verify(&self, token: &[u8]) -> std::result::Result<Verified, Refused> {
        let issuers = Arc::clone(&self.issuers.read());
        let verified = token::verify(token, &issuers, self.times, (self.clock)())?;
        if self.revoked.refuses(&verified.identity, verified.issued_ms) {
            return Err(Refused::Untimely(
                "the device or its user was revoked; a token issued later is needed",
            ));
        }
        Ok(verified)
    }

    /// For the audit trail: who came, or who it was that somebody claimed to be, and why not.
    fn note(&self, shown: &Credentials, verdict: &std::result::Result<Admitted, Outcome>) {
        let (who, what, code) = match verdict {
            Ok(admitted) => (&admitted.client_id, "", Code::SUCCESS),
            Err(outcome) => (&shown.client_id, outcome.text(), outcome.code),
        };
        let who: String = who.chars().take(CLAIMED_CHARS_MAX).collect();
        let code = code.to_string();
        let act = Act { event: "connect", peer: shown.peer, who: &who, what, outcome: &code };
        match verdict {
            Ok(_) => self.audit.connected(&act),
            Err(_) => self.audit.refused(&act),
        }
    }

    fn admit(&self, shown: &Credentials) -> std::result::Result<Admitted, Outcome> {
        let password = match &shown.password {
            Some(password) if !password.is_empty() => password,
            _ if self.rules.open => return anonymous(shown),
            _ => return Err(refused(Code::BAD_CREDENTIALS, "a token is needed as password")),
        };
        // What can be refused without looking at a signature is refused first.
        let client_id = shown.client_id.as_ref() as &str;
        if client_id.is_empty() && shown.version == Version::V3 {
            return Err(refused(Code::CLIENT_ID_INVALID, "the client id must be user:device"));
        }
        const NOT_THE_TOKENS: &str = "the client id must be the token's sub:dev";
        if !client_id.is_empty() && client_id.parse::<Identity>().is_err() {
            return Err(refused(Code::NOT_AUTHORIZED, NOT_THE_TOKENS));
        }
        let verified = self.verify(password).map_err(|why| match why {
            Refused::Bad(text) => refused(Code::BAD_CREDENTIALS, text),
            Refused::Untimely(text) => refused(Code::NOT_AUTHORIZED, text),
        })?;
        let own: ByteString = verified.identity.to_string().into();
        if !client_id.is_empty() && shown.client_id != own {
            return Err(refused(Code::NOT_AUTHORIZED, NOT_THE_TOKENS));
        }
        let user_name = shown.user_name.as_deref().unwrap_or_default();
        if !user_name.is_empty() && user_name != verified.identity.user.as_str() {
            return Err(refused(Code::NOT_AUTHORIZED, "the user name must be the token's sub"));
        }
        Ok(Admitted {
            client_id: own,
            identity: Some(verified.identity),
            publish: verified.publish,
            subscribe: verified.subscribe,
            issued_ms: verified.issued_ms,
            expires_ms: Some(verified.expires_ms),
        })
    }
}

impl Gate for Doorkeeper {
    fn authenticate(
        &self,
        credentials: Credentials,
    ) -> Task<'_, std::result::Result<Admitted, Outcome>> {
        Box::pin(async move {
            let verdict = self.admit(&credentials);
            self.note(&credentials, &verdict);
            verdict
        })
    }

    fn authorize(&self, who: &Admitted, action: Action<'_>) -> Grant {
        // Asked of wills too, when they are due: a revoked device speaks no more.
        if self.holds(who) { self.rules.decide(who, action) } else { Grant::default() }
    }

    fn holds(&self, who: &Admitted) -> bool {
        let identity = who.identity.as_ref();
        identity.is_none_or(|identity| !self.revoked.refuses(identity, who.issued_ms))
    }
}

fn issuers(config: &config::Config, key: &EmbeddedKey) -> Result<Arc<[Issuer]>> {
    std::iter::once(Ok(Issuer::embedded(key)))
        .chain(config.auth.issuers.iter().map(Issuer::load))
        .collect()
}

/// Only in open mode: a client without a token, under any client id.
fn anonymous(shown: &Credentials) -> std::result::Result<Admitted, Outcome> {
    let client_id = if shown.client_id.is_empty() {
        let random = clock::random::<16>()
            .map_err(|_| refused(Code::UNSPECIFIED, "no client id can be assigned now"))?;
        format!("anonymous-{}", godwit_core::ids::MessageId(random)).into()
    } else {
        shown.client_id.clone()
    };
    Ok(Admitted {
        client_id,
        identity: None,
        publish: Vec::new(),
        subscribe: Vec::new(),
        issued_ms: None,
        expires_ms: None,
    })
}

fn refused(code: Code, text: &'static str) -> Outcome {
    Outcome::refused(code, text)
}
