//! A token: what it claims, and when that is believed.

use std::time::Duration;

use godwit_core::ids::{DeviceId, Identity, UserId};
use jsonwebtoken::{Header, Validation, decode, decode_header};
use serde::Deserialize;

use super::claims::{AUDIENCE, Claims, EMBEDDED_ISSUER};
use super::filter::is_valid;
use super::issuer::Issuer;

/// Bytes of a token; a longer one is refused unread. The `acl` claim is what makes tokens long.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Filters of one list of the `acl` claim; more are refused.
const ACL_FILTERS_MAX: usize = 64;

/// Why a token is refused; variants by the answer it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is no token of ours, or was tampered with.
    Bad(&'static str),
    /// It was one, or will be.
    Untimely(&'static str),
}

/// What a token says, believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verified {
    /// Who.
    pub(crate) identity: Identity,
    /// Plain filters that it may publish to.
    pub(crate) publish: Vec<String>,
    /// Plain filters that it may subscribe.
    pub(crate) subscribe: Vec<String>,
    /// The earliest moment at which it may have been issued, in milliseconds since 1970: its `iat`,
    /// less what an issuer outside of this server may be off. `None`: it does not say.
    pub(crate) issued_ms: Option<u64>,
    /// Milliseconds since 1970 when it ends, leeway included.
    pub(crate) expires_ms: u64,
}

/// When a token is believed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// How far clocks may differ.
    pub(crate) leeway: Duration,
    /// How far ahead `exp` may be.
    pub(crate) age_max: Duration,
}

/// The issuer that a token names, before anything of it is believed.
#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    iss: Option<String>,
}

/// Believes a token, or says why not. The signature is checked before any claim is used, but for
/// the issuer's name, which only chooses among the configured ones.
pub(crate) fn verify(
    token: &[u8],
    issuers: &[Issuer],
    times: Times,
    now_ms: u64,
) -> Result<Verified, Refused> {
    const NO_TOKEN: Refused = Refused::Bad("the password is no token");
    if token.len() > TOKEN_BYTES_MAX {
        return Err(NO_TOKEN);
    }
    let header = decode_header(token).map_err(|_| NO_TOKEN)?;
    let named: Named =
        jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| NO_TOKEN)?;
    let issuer = choose(issuers, named.iss.as_deref())?;
    let claims = signed(token, &header, issuer)?;
    believe(claims, issuer.name == EMBEDDED_ISSUER, times, now_ms)
}

fn choose<'a>(issuers: &'a [Issuer], name: Option<&str>) -> Result<&'a Issuer, Refused> {
    const UNKNOWN: Refused = Refused::Bad("the token's issuer is not known here");
    match (name, issuers) {
        (Some(name), _) => issuers.iter().find(|issuer| issuer.name == name).ok_or(UNKNOWN),
        (None, [only]) => Ok(only),
        (None, _) => Err(UNKNOWN),
    }
}

/// Checks header and signature. The algorithm is the issuer's; the token's own word about it only
/// has to be the same.
fn signed(token: &[u8], header: &Header, issuer: &Issuer) -> Result<Claims, Refused> {
    const FORGED: Refused = Refused::Bad("the token's signature is not its issuer's");
    if header.alg != issuer.algorithm || header.crit.is_some() {
        return Err(FORGED);
    }
    let key = issuer.key(header.kid.as_deref()).ok_or(FORGED)?;
    let mut validation = Validation::new(issuer.algorithm);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["exp", "aud", "sub"]);
    // Times are checked by `believe`, against the caller's clock.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    decode::<Claims>(token, key, &validation).map(|data| data.claims).map_err(|error| {
        use jsonwebtoken::errors::ErrorKind;
        match error.kind() {
            ErrorKind::InvalidAudience => Refused::Bad("the token is for another audience"),
            ErrorKind::MissingRequiredClaim(_) | ErrorKind::Json(_) => {
                Refused::Bad("the token lacks a claim: sub, dev, exp and aud are needed")
            }
            _ => FORGED,
        }
    })
}

/// `embedded`: signed by this server, whose clock is its own.
fn believe(claims: Claims, embedded: bool, times: Times, now_ms: u64) -> Result<Verified, Refused> {
    let leeway_ms = millis(times.leeway);
    let exp_ms = numeric_date(&claims.exp).ok_or(Refused::Bad("the token's exp is no time"))?;
    let expires_ms = exp_ms.saturating_add(leeway_ms);
    if expires_ms <= now_ms {
        return Err(Refused::Untimely("the token has expired"));
    }
    // A second more, for issuers that round up.
    if exp_ms > now_ms.saturating_add(millis(times.age_max)).saturating_add(1000) {
        return Err(Refused::Bad("the token's exp is too far ahead"));
    }
    if let Some(nbf) = &claims.nbf {
        let nbf_ms = numeric_date(nbf).ok_or(Refused::Bad("the token's nbf is no time"))?;
        if nbf_ms > now_ms.saturating_add(leeway_ms) {
            return Err(Refused::Untimely("the token is not valid yet"));
        }
    }
    let issued_ms = match &claims.iat {
        None => None,
        Some(iat) => Some(issued(iat, exp_ms, embedded, times, now_ms)?),
    };
    let identity = identity(&claims)
        .ok_or(Refused::Bad("the token's sub and dev must be 1-64 of A-Z a-z 0-9 _ . -"))?;
    let acl = claims.acl.unwrap_or_default();
    Ok(Verified {
        identity,
        publish: filters(acl.publish)?,
        subscribe: filters(acl.subscribe)?,
        issued_ms,
        expires_ms,
    })
}

/// When a token was issued at the earliest. `iat` mostly counts whole seconds, which an issuer may have
/// rounded up, and its clock may be ahead by the leeway: both are allowed, and neither may date a token
/// after a revocation that came later. What is further in the future is not believed yet. The price: a
/// token in whole seconds that is issued within a second after its device was revoked is refused, too.
/// The embedded issuer writes milliseconds of this server's own clock, so its tokens are good from the
/// next millisecond on.
fn issued(
    iat: &serde_json::Number,
    exp_ms: u64,
    embedded: bool,
    times: Times,
    now_ms: u64,
) -> Result<u64, Refused> {
    let iat_ms = numeric_date(iat).ok_or(Refused::Bad("the token's iat is no time"))?;
    let rounded_ms = if iat_ms.is_multiple_of(1000) { 1000 } else { 0 };
    let off_ms = millis(times.leeway).saturating_add(rounded_ms);
    // A login right after a new password is dated a millisecond behind it, wherever the clock stands.
    let ahead_ms = if embedded { off_ms.max(1000) } else { off_ms };
    if iat_ms > now_ms.saturating_add(ahead_ms) {
        return Err(Refused::Untimely("the token's iat is in the future; see auth.leeway"));
    }
    // So that a revocation can be forgotten when so much time has passed.
    let end_ms = iat_ms.saturating_add(millis(times.age_max)).saturating_add(off_ms + 1000);
    if exp_ms > end_ms {
        return Err(Refused::Bad("the token's exp is too far from its iat"));
    }
    Ok(if embedded { iat_ms } else { iat_ms.saturating_sub(off_ms) })
}

fn identity(claims: &Claims) -> Option<Identity> {
    let user = UserId::new(&claims.sub).ok()?;
    let device = DeviceId::new(&claims.dev).ok()?;
    Some(Identity { user, device })
}

/// The filters that can open something; others are left out, for they open nothing.
fn filters(list: Vec<String>) -> Result<Vec<String>, Refused> {
    if list.len() > ACL_FILTERS_MAX {
        return Err(Refused::Bad("the token's acl has more than 64 filters in a list"));
    }
    Ok(list.into_iter().filter(|f| is_valid(f) && !f.starts_with('$')).collect())
}

/// Seconds since 1970, whole or not, as milliseconds, rounded down. `None`: negative.
fn numeric_date(number: &serde_json::Number) -> Option<u64> {
    if let Some(seconds) = number.as_u64() {
        return Some(seconds.saturating_mul(1000));
    }
    let seconds = number.as_f64().filter(|seconds| *seconds >= 0.0)?;
    // A microsecond more than what a float of today's dates may be off, so that a whole millisecond
    // comes back as itself. A cast of a float saturates, and a date beyond the range is refused as
    // too far ahead.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Some((seconds * 1000.0 + 0.001) as u64)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn milliseconds_come_back(ms in 0_u64..10_000_000_000_000) {
            let number = super::super::claims::number_of_ms(ms);
            let text = serde_json::to_string(&number).unwrap();
            let read: serde_json::Number = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(numeric_date(&read), Some(ms));
        }
    }

    #[test]
    fn fractions_are_rounded_down() {
        let date = |text: &str| numeric_date(&serde_json::from_str(text).unwrap());
        assert_eq!(date("1767225600"), Some(1_767_225_600_000));
        assert_eq!(date("1767225600.1239"), Some(1_767_225_600_123));
        assert_eq!(date("-1"), None);
    }
}
