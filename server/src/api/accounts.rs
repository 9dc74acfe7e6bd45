//! Local accounts: passwords by Argon2id, and the embedded issuer's tokens for them.

use std::sync::Arc;
use std::time::Duration;

use godwit_core::ids::{Identity, UserId};
use tokio::sync::Semaphore;

use super::passwords::{Desks, too_common};
use super::problem::{Kind, Problem};
use crate::auth::keyring::EmbeddedKey;
use crate::clock;
use crate::config::Config;
use crate::limits::{PASSWORD_BYTES_MAX, PASSWORD_HASHES_MAX, PASSWORD_QUEUE_MAX};
use crate::secret::Secret;

/// What is set for local accounts, and the bounds on the work for them.
#[derive(Debug)]
pub(crate) struct Accounts {
    enabled: bool,
    signup: bool,
    token_ttl: Duration,
    password_chars_min: usize,
    key: EmbeddedKey,
    /// Held by those whose password is hashed or waits for it.
    queue: Arc<Semaphore>,
    /// Held by those whose password is hashed.
    hashing: Arc<Semaphore>,
    /// What they hash in: never more than may hash.
    desks: Arc<Desks>,
}

impl Accounts {
    /// As configured; tokens are signed by `key`.
    pub(crate) fn new(config: &Config, key: &EmbeddedKey) -> Self {
        let accounts = &config.accounts;
        Self {
            enabled: accounts.enabled,
            signup: accounts.signup,
            token_ttl: accounts.token_ttl,
            password_chars_min: accounts.password_chars_min,
            key: key.clone(),
            queue: Arc::new(Semaphore::new(PASSWORD_HASHES_MAX + PASSWORD_QUEUE_MAX)),
            hashing: Arc::new(Semaphore::new(PASSWORD_HASHES_MAX)),
            desks: Arc::default(),
        }
    }

    /// Refuses where accounts are off.
    pub(crate) fn are_on(&self) -> Result<(), Problem> {
        if self.enabled {
            return Ok(());
        }
        let detail = "this server has no accounts of its own (accounts.enabled); bring a token";
        Err(Problem::new(Kind::Forbidden, detail))
    }

    /// Whether the caller may make an account: `Some(true)` an operator, `None` a stranger. Answers
    /// whether it is an operator.
    pub(crate) fn may_create(&self, operator: Option<bool>) -> Result<bool, Problem> {
        self.are_on()?;
        match operator {
            Some(true) => Ok(true),
            _ if self.signup => Ok(false),
            Some(false) => {
                Err(Problem::new(Kind::Forbidden, "only an operator may make accounts here"))
            }
            None => Err(Problem::new(
                Kind::Unauthorized,
                "only an operator may make accounts here: send Authorization: Bearer <admin token>",
            )),
        }
    }

    /// Whether a new password of a user keeps to its bounds and is none that everybody tries first.
    pub(crate) fn check(&self, password: &Secret, user: &UserId) -> Result<(), Problem> {
        let (chars, bytes) = (password.expose().chars().count(), password.expose().len());
        if chars < self.password_chars_min {
            return Err(Problem::bad(format!(
                "password must have at least {} characters",
                self.password_chars_min
            )));
        }
        if bytes > PASSWORD_BYTES_MAX {
            return Err(Problem::bad(format!(
                "password must have at most {PASSWORD_BYTES_MAX} bytes"
            )));
        }
        match too_common(password.expose(), user.as_str()) {
            Some(why) => Err(Problem::bad(format!("password {why}; choose another"))),
            None => Ok(()),
        }
    }

    /// The hash to be stored: a PHC string with a salt of its own.
    pub(crate) async fn hash(&self, password: &Secret) -> Result<String, Problem> {
        let salt = clock::random::<16>().map_err(|_| Problem::no_randomness())?;
        let (password, desks) = (password.clone(), Arc::clone(&self.desks));
        self.work(move || desks.hash(&password, &salt)).await?.ok_or_else(|| {
            Problem::new(Kind::Internal, "the password cannot be hashed; this is a defect")
        })
    }

    /// Whether it is the password of `stored`. Without one it takes as long and says no, so that the
    /// time does not tell whether there is an account.
    pub(crate) async fn verify(
        &self,
        password: &Secret,
        stored: Option<&str>,
    ) -> Result<bool, Problem> {
        if password.expose().len() > PASSWORD_BYTES_MAX {
            return Ok(false);
        }
        let (password, stored) = (password.clone(), stored.map(str::to_owned));
        let desks = Arc::clone(&self.desks);
        self.work(move || match stored {
            Some(stored) => desks.verify(&password, &stored),
            None => {
                desks.hash(&password, &[0; 16]);
                false
            }
        })
        .await
    }

    /// A token for a device whose user has shown the password, and when it ends, in milliseconds
    /// since 1970.
    pub(crate) fn token(&self, identity: &Identity, now_ms: u64) -> Result<(Secret, u64), Problem> {
        let failed = |_| Problem::new(Kind::Internal, "no token can be signed now");
        self.key.mint_until(identity, self.token_ttl, None, now_ms).map_err(failed)
    }

    /// Runs Argon2 on a thread that may block, a few at a time; who waits is bounded too.
    async fn work<T: Send + 'static>(
        &self,
        task: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let busy = || {
            let detail = "too many passwords are being checked at the moment";
            Problem::throttled(detail, Duration::from_secs(1))
        };
        let queued = Arc::clone(&self.queue).try_acquire_owned().map_err(|_| busy())?;
        let turn = Arc::clone(&self.hashing).acquire_owned().await.map_err(|_| busy())?;
        // The permits go with the work, which goes on when the caller hangs up.
        let done = tokio::task::spawn_blocking(move || {
            let result = task();
            drop((queued, turn));
            result
        });
        done.await.map_err(|_| Problem::new(Kind::Internal, "the password could not be checked"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts(min: usize) -> Accounts {
        let mut config = Config::default();
        (config.accounts.enabled, config.accounts.password_chars_min) = (true, min);
        Accounts::new(&config, &EmbeddedKey::stand_in())
    }

    #[tokio::test]
    async fn passwords_are_hashed_by_argon2id_with_salts_of_their_own() {
        let (accounts, right) = (accounts(8), Secret::new("correct horse"));
        let first = accounts.hash(&right).await.unwrap_or_default();
        assert!(first.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{first}");
        assert_ne!(accounts.hash(&right).await.unwrap_or_default(), first);
        let verify = |password: &'static str, stored: Option<&'static str>, first: String| {
            let accounts = &accounts;
            async move {
                let stored = stored.or(Some(&first)).filter(|text| !text.is_empty());
                accounts.verify(&Secret::new(password), stored).await.unwrap_or(true)
            }
        };
        assert!(verify("correct horse", None, first.clone()).await);
        assert!(!verify("correct horsf", None, first.clone()).await);
        assert!(!verify("correct horse", Some("no hash at all"), String::new()).await);
        assert!(!verify("correct horse", Some(""), String::new()).await);
    }

    #[test]
    fn new_passwords_are_held_to_their_bounds() {
        let accounts = accounts(8);
        let check = |text: &str| accounts.check(&Secret::new(text), &UserId::new("dora").unwrap());
        for (text, fine) in [
            ("kiwi-17", false),
            ("kiwi-178", true),
            ("äöüäöüäß", true),
            ("", false),
            ("12345678", false),
            ("dora2024", false),
        ] {
            assert_eq!(check(text).is_ok(), fine, "{text}");
        }
        let long = "kiwi-and-plum-17".repeat(PASSWORD_BYTES_MAX / 16);
        assert!(check(&long).is_ok() && check(&format!("{long}x")).is_err());
    }

    /// However many log in at once, memory is that of those who may hash at once.
    #[tokio::test]
    async fn many_logins_hash_in_the_same_memory() {
        let (accounts, right) = (Arc::new(accounts(8)), Secret::new("correct horse"));
        let hash = accounts.hash(&right).await.unwrap_or_default();
        let tasks: Vec<_> = (0..PASSWORD_QUEUE_MAX)
            .map(|_| {
                let (accounts, right, hash) = (Arc::clone(&accounts), right.clone(), hash.clone());
                tokio::spawn(async move { accounts.verify(&right, Some(&hash)).await.ok() })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), Some(true));
        }
        let made = accounts.desks.free();
        assert!((1..=PASSWORD_HASHES_MAX).contains(&made), "{made}");
    }

    #[tokio::test]
    async fn work_is_bounded() {
        let accounts = Arc::new(accounts(1));
        let all = u32::try_from(PASSWORD_HASHES_MAX + PASSWORD_QUEUE_MAX).unwrap();
        let held = Arc::clone(&accounts.queue).acquire_many_owned(all).await.unwrap();
        assert!(accounts.work(|| ()).await.is_err());
        drop(held);
        assert!(accounts.work(|| ()).await.is_ok());
    }
}
