//! Tokens against THREATS.md, and who is let in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use godwit_core::people::{Ban, Revocation};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::config::Config;
use crate::testing::Dir;

/// The tests' now: 2026-01-01.
const NOW_S: u64 = 1_767_225_600;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/auth/fixtures").join(name)
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}

fn issuer(name: &str, algorithm: config::Algorithm, key: &str) -> config::Issuer {
    config::Issuer {
        name: name.to_owned(),
        algorithm,
        key_file: Some(fixture(key)),
        jwks_file: None,
    }
}

fn jwk(kid: &str, key: &EncodingKey, algorithm: Algorithm) -> Jwk {
    let mut jwk = Jwk::from_encoding_key(key, algorithm).unwrap();
    jwk.common.key_id = Some(kid.to_owned());
    jwk
}

struct Keys {
    ed: EncodingKey,
    ec: EncodingKey,
    rsa: EncodingKey,
}

fn keys() -> Keys {
    Keys {
        ed: EncodingKey::from_ed_pem(&read("ed25519.pem")).unwrap(),
        ec: EncodingKey::from_ec_pem(&read("p256.pem")).unwrap(),
        rsa: EncodingKey::from_rsa_pem(&read("rsa.pem")).unwrap(),
    }
}

/// A doorkeeper with the embedded issuer and one of each kind, whose clock stands at `NOW_S`.
struct Door {
    door: Doorkeeper,
    embedded: EmbeddedKey,
    config: Config,
    dir: Dir,
}

fn door(open: bool) -> Door {
    let dir = Dir::new();
    let mut config = Config::default();
    config.server.data_dir = dir.path().to_owned();
    let jwks = JwkSet {
        keys: vec![
            jwk("2026-a", &keys().ec, Algorithm::ES256),
            jwk("rsa", &keys().rsa, Algorithm::RS256),
        ],
    };
    let jwks_file = dir.path().join("jwks.json");
    std::fs::write(&jwks_file, serde_json::to_string(&jwks).unwrap()).unwrap();
    config.auth.issuers = vec![
        issuer("ed", config::Algorithm::EdDsa, "ed25519.pub.pem"),
        issuer("ec", config::Algorithm::Es256, "p256.pub.pem"),
        issuer("rsa", config::Algorithm::Rs256, "rsa.pub.pem"),
        config::Issuer {
            name: "jwks".to_owned(),
            algorithm: config::Algorithm::Es256,
            key_file: None,
            jwks_file: Some(jwks_file),
        },
    ];
    let embedded = EmbeddedKey::load(&config).unwrap();
    let door =
        Doorkeeper { clock: || NOW_S * 1000, ..Doorkeeper::new(&config, &embedded, open).unwrap() };
    Door { door, embedded, config, dir }
}

fn claims(iss: &str) -> Value {
    json!({"iss": iss, "sub": "alice", "dev": "phone", "aud": "godwit", "exp": NOW_S + 60})
}

fn with(mut claims: Value, key: &str, value: Value) -> Value {
    claims[key] = value;
    claims
}

fn without(mut claims: Value, key: &str) -> Value {
    claims.as_object_mut().unwrap().remove(key);
    claims
}

fn sign(algorithm: Algorithm, kid: Option<&str>, claims: &Value, key: &EncodingKey) -> String {
    let mut header = Header::new(algorithm);
    header.kid = kid.map(str::to_owned);
    encode(&header, claims, key).unwrap()
}

/// A token with any header, signed by nobody.
fn unsigned(header: &Value, claims: &Value, signature: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(header), part(claims))
}

fn shown(
    client_id: &str,
    user: Option<&str>,
    password: Option<&str>,
    version: Version,
) -> Credentials {
    Credentials {
        client_id: client_id.into(),
        user_name: user.map(Into::into),
        password: password.map(|p| Bytes::copy_from_slice(p.as_bytes())),
        version,
        peer: Some(([127, 0, 0, 1], 1).into()),
    }
}

#[test]
fn every_issuer_is_believed_by_its_own_key() {
    let door = door(false);
    let (ed, ec, rsa) = (keys().ed, keys().ec, keys().rsa);
    let hs = EncodingKey::from_secret(&door.embedded.bytes());
    for (name, algorithm, kid, key) in [
        ("ed", Algorithm::EdDSA, None, &ed),
        ("ec", Algorithm::ES256, None, &ec),
        ("ec", Algorithm::ES256, Some("whatever"), &ec),
        ("rsa", Algorithm::RS256, None, &rsa),
        ("jwks", Algorithm::ES256, Some("2026-a"), &ec),
        // Only one of the file's keys is of the issuer's kind.
        ("jwks", Algorithm::ES256, None, &ec),
        (EMBEDDED_ISSUER, Algorithm::HS256, None, &hs),
    ] {
        let token = sign(algorithm, kid, &claims(name), key);
        let verified = door.door.verify(token.as_bytes()).unwrap();
        assert_eq!(verified.identity.to_string(), "alice:phone", "{name}");
        assert_eq!(verified.expires_ms, (NOW_S + 60) * 1000);
    }
}

#[test]
fn forged_tokens_are_refused() {
    let door = door(false);
    let (ed, ec, rsa) = (keys().ed, keys().ec, keys().rsa);
    // The public key of RS256 used as a secret of HS256.
    let confused = EncodingKey::from_secret(&read("rsa.pub.pem"));
    let good = sign(Algorithm::EdDSA, None, &claims("ed"), &ed);
    let parts: Vec<&str> = good.split('.').collect();
    let other_claims = URL_SAFE_NO_PAD.encode(with(claims("ed"), "sub", json!("bob")).to_string());
    let hs = EncodingKey::from_secret(b"guess");
    let table = [
        ("empty", String::new()),
        ("no token", "hunter2".to_owned()),
        ("dots only", "..".to_owned()),
        ("too long", format!("{good}{}", "A".repeat(9000))),
        ("none", unsigned(&json!({"alg": "none"}), &claims("ed"), "")),
        ("None", unsigned(&json!({"alg": "None", "typ": "JWT"}), &claims(EMBEDDED_ISSUER), "")),
        ("no alg", unsigned(&json!({"typ": "JWT"}), &claims("ed"), parts[2])),
        ("signature cut off", format!("{}.{}.", parts[0], parts[1])),
        ("claims exchanged", format!("{}.{other_claims}.{}", parts[0], parts[2])),
        ("HS256 by an RSA key", sign(Algorithm::HS256, None, &claims("rsa"), &confused)),
        ("HS256 by a guess", sign(Algorithm::HS256, None, &claims(EMBEDDED_ISSUER), &hs)),
        ("right key, other issuer", sign(Algorithm::EdDSA, None, &claims("ec"), &ed)),
        ("other algorithm", sign(Algorithm::ES256, None, &claims("ed"), &ec)),
        ("RS512 for RS256", sign(Algorithm::RS512, None, &claims("rsa"), &rsa)),
        ("unknown issuer", sign(Algorithm::EdDSA, None, &claims("evil"), &ed)),
        ("no issuer, many known", sign(Algorithm::EdDSA, None, &without(claims("ed"), "iss"), &ed)),
        ("kid path", sign(Algorithm::ES256, Some("../../dev/null"), &claims("jwks"), &ec)),
        ("kid of another kind", sign(Algorithm::RS256, Some("rsa"), &claims("jwks"), &rsa)),
        ("crit", {
            let mut header = Header::new(Algorithm::EdDSA);
            header.crit = Some(vec!["exp".to_owned()]);
            encode(&header, &claims("ed"), &ed).unwrap()
        }),
    ];
    for (what, token) in table {
        let refused = door.door.verify(token.as_bytes());
        assert!(matches!(refused, Err(Refused::Bad(_))), "{what}: {refused:?}");
    }
}

#[test]
fn claims_are_judged() {
    let door = door(false);
    let sign = |claims: &Value| sign(Algorithm::EdDSA, None, claims, &keys().ed);
    let year = 365 * 86_400;
    let bad = |claims| (claims, "bad");
    let table = [
        (claims("ed"), "ok"),
        (with(claims("ed"), "aud", json!(["x", "godwit"])), "ok"),
        (with(claims("ed"), "exp", json!(NOW_S + year)), "ok"),
        (with(claims("ed"), "exp", json!(NOW_S as f64 + 0.5)), "ok"),
        (with(claims("ed"), "nbf", json!(NOW_S)), "ok"),
        (with(claims("ed"), "more", json!({"of": "the app"})), "ok"),
        (with(claims("ed"), "exp", json!(NOW_S)), "untimely"),
        (with(claims("ed"), "exp", json!(0)), "untimely"),
        (with(claims("ed"), "nbf", json!(NOW_S + 1)), "untimely"),
        bad(with(claims("ed"), "exp", json!(NOW_S + 2 * year))),
        bad(with(claims("ed"), "exp", json!(u64::MAX))),
        bad(with(claims("ed"), "exp", json!(1e300))),
        bad(with(claims("ed"), "exp", json!(-5))),
        bad(with(claims("ed"), "exp", json!("2026"))),
        bad(without(claims("ed"), "exp")),
        bad(with(claims("ed"), "aud", json!("other"))),
        bad(with(claims("ed"), "aud", json!([]))),
        bad(without(claims("ed"), "aud")),
        bad(without(claims("ed"), "sub")),
        bad(without(claims("ed"), "dev")),
        bad(with(claims("ed"), "sub", json!("a/#"))),
        bad(with(claims("ed"), "sub", json!(""))),
        bad(with(claims("ed"), "dev", json!("+"))),
        bad(with(claims("ed"), "sub", json!(7))),
        bad(with(claims("ed"), "acl", json!("#"))),
        bad(with(claims("ed"), "acl", json!({"pub": vec!["a"; 65]}))),
    ];
    for (claims, expected) in table {
        let got = match door.door.verify(sign(&claims).as_bytes()) {
            Ok(_) => "ok",
            Err(Refused::Bad(_)) => "bad",
            Err(Refused::Untimely(_)) => "untimely",
        };
        assert_eq!(got, expected, "{claims}");
    }
    let acl = json!({"pub": ["a/#", "$SYS/#", "b#"], "sub": ["c"]});
    let verified = door.door.verify(sign(&with(claims("ed"), "acl", acl)).as_bytes()).unwrap();
    assert_eq!((verified.publish, verified.subscribe), (vec!["a/#".into()], vec!["c".into()]));
}

/// A revocation by time alone is bypassed by a token that says to come from the future.
#[test]
fn the_time_of_issue_is_bounded() {
    let mut door = door(false);
    let verify = |door: &Door, claims| {
        door.door.verify(sign(Algorithm::EdDSA, None, &claims, &keys().ed).as_bytes())
    };
    let at = |iat: f64| with(claims("ed"), "iat", json!(iat));
    let now = NOW_S as f64;
    // A whole second may be rounded up; a fraction is exact.
    for (iat, fine) in [
        (now, true),
        (now + 1.0, true),
        (now + 2.0, false),
        (now + 0.4, false),
        (now + 86_400.0, false),
    ] {
        let verified = verify(&door, at(iat));
        assert_eq!(verified.is_ok(), fine, "{iat}: {verified:?}");
        if let Err(refused) = verified {
            assert!(matches!(refused, Refused::Untimely(_)), "{refused:?}");
        }
    }
    // What counts is the earliest moment at which it may have been issued.
    assert_eq!(verify(&door, at(now - 5.0)).unwrap().issued_ms, Some((NOW_S - 6) * 1000));
    assert_eq!(verify(&door, at(now - 4.5)).unwrap().issued_ms, Some((NOW_S - 5) * 1000 + 500));
    door.door.times.leeway = Duration::from_secs(10);
    assert_eq!(verify(&door, at(now - 4.5)).unwrap().issued_ms, Some((NOW_S - 15) * 1000 + 500));
    assert!(verify(&door, at(now + 10.4)).is_err() && verify(&door, at(now + 9.9)).is_ok());
    // No token lives longer than it may, so that a revocation can be forgotten.
    let year = 365 * 86_400;
    let old = with(with(claims("ed"), "iat", json!(NOW_S - year)), "exp", json!(NOW_S + year / 2));
    assert!(matches!(verify(&door, old), Err(Refused::Bad(why)) if why.contains("iat")));
}

#[test]
fn leeway_moves_both_ends() {
    let mut door = door(false);
    door.door.times.leeway = Duration::from_secs(10);
    let verify =
        |claims| door.door.verify(sign(Algorithm::EdDSA, None, &claims, &keys().ed).as_bytes());
    let late = verify(with(claims("ed"), "exp", json!(NOW_S - 9))).unwrap();
    assert_eq!(late.expires_ms, (NOW_S + 1) * 1000);
    assert!(verify(with(claims("ed"), "exp", json!(NOW_S - 10))).is_err());
    assert!(verify(with(claims("ed"), "nbf", json!(NOW_S + 10))).is_ok());
    assert!(verify(with(claims("ed"), "nbf", json!(NOW_S + 11))).is_err());
}

#[test]
fn who_comes_in() {
    let door = door(false);
    let token = sign(Algorithm::EdDSA, None, &claims("ed"), &keys().ed);
    let expired = with(claims("ed"), "exp", json!(NOW_S - 1));
    let expired = sign(Algorithm::EdDSA, None, &expired, &keys().ed);
    let (v3, v5) = (Version::V3, Version::V5);
    let token = Some(token.as_str());
    let table = [
        (shown("alice:phone", Some("alice"), token, v3), Ok("alice:phone")),
        (shown("alice:phone", Some(""), token, v5), Ok("alice:phone")),
        (shown("alice:phone", None, token, v5), Ok("alice:phone")),
        (shown("", None, token, v5), Ok("alice:phone")),
        (shown("", None, token, v3), Err(Code::CLIENT_ID_INVALID)),
        (shown("alice:laptop", None, token, v5), Err(Code::NOT_AUTHORIZED)),
        (shown("bob:phone", Some("bob"), token, v5), Err(Code::NOT_AUTHORIZED)),
        (shown("alice", None, token, v5), Err(Code::NOT_AUTHORIZED)),
        (shown("alice:phone/#", None, token, v5), Err(Code::NOT_AUTHORIZED)),
        (shown("ALICE:phone", None, token, v5), Err(Code::NOT_AUTHORIZED)),
        (shown("alice:phone", Some("bob"), token, v5), Err(Code::NOT_AUTHORIZED)),
        (shown("alice:phone", Some("alice"), None, v5), Err(Code::BAD_CREDENTIALS)),
        (shown("alice:phone", None, Some(""), v5), Err(Code::BAD_CREDENTIALS)),
        (shown("alice:phone", None, Some("secret"), v5), Err(Code::BAD_CREDENTIALS)),
        (shown("alice:phone", None, Some(&expired), v5), Err(Code::NOT_AUTHORIZED)),
        (shown("", None, None, v3), Err(Code::BAD_CREDENTIALS)),
    ];
    for (credentials, expected) in table {
        let got = door.door.admit(&credentials);
        let got =
            got.as_ref().map(|a| a.client_id.as_ref() as &str).map_err(|refused| refused.code);
        assert_eq!(got, expected, "{credentials:?}");
    }
}

#[test]
fn open_mode_lets_anyone_in_but_no_wrong_token() {
    let door = door(true);
    let anyone = door.door.admit(&shown("any/thing #", Some("x"), None, Version::V3)).unwrap();
    assert_eq!((anyone.client_id.as_ref() as &str, anyone.identity), ("any/thing #", None));
    let first = door.door.admit(&shown("", None, None, Version::V5)).unwrap().client_id;
    let second = door.door.admit(&shown("", None, None, Version::V3)).unwrap().client_id;
    assert!(first.starts_with("anonymous-") && first != second);
    let wrong = door.door.admit(&shown("alice:phone", None, Some("x"), Version::V5));
    assert_eq!(wrong.unwrap_err().code, Code::BAD_CREDENTIALS);
    let token = sign(Algorithm::EdDSA, None, &claims("ed"), &keys().ed);
    let alice = door.door.admit(&shown("alice:phone", None, Some(&token), Version::V5)).unwrap();
    assert!(alice.identity.is_some());
}

#[test]
fn what_is_minted_is_believed() {
    let door = door(false);
    let who: Identity = "bob:laptop".parse().unwrap();
    let acl = claims::Acl { publish: vec!["a/#".into()], subscribe: vec![] };
    let ttl = Duration::from_secs(90);
    let minted = door.embedded.mint(&who, ttl, Some(acl), NOW_S * 1000).unwrap();
    let verified = door.door.verify(minted.expose().as_bytes()).unwrap();
    assert_eq!((verified.identity, verified.expires_ms), (who, (NOW_S + 90) * 1000));
    assert_eq!(verified.publish, ["a/#"]);
    // Never shorter than asked for, and the longest one is not refused for its rounding.
    let longest = door.config.auth.token_age_max;
    let minted = door
        .embedded
        .mint(&"bob:laptop".parse().unwrap(), longest, None, NOW_S * 1000 + 1)
        .unwrap();
    let verified = door.door.verify(minted.expose().as_bytes()).unwrap();
    assert_eq!(verified.expires_ms, (NOW_S + 1 + longest.as_secs()) * 1000);
}

#[test]
fn without_issuers_of_its_own_a_token_needs_no_name() {
    let dir = Dir::new();
    let mut config = Config::default();
    config.server.data_dir = dir.path().to_owned();
    let key = EmbeddedKey::load(&config).unwrap();
    let door =
        Doorkeeper { clock: || NOW_S * 1000, ..Doorkeeper::new(&config, &key, false).unwrap() };
    let secret = EncodingKey::from_secret(&key.bytes());
    let token = sign(Algorithm::HS256, None, &without(claims("x"), "iss"), &secret);
    assert!(door.verify(token.as_bytes()).is_ok());
}

#[test]
fn keys_are_read_again_and_bad_files_are_told() {
    let mut door = door(false);
    let token = sign(Algorithm::ES256, Some("2026-b"), &claims("jwks"), &keys().ec);
    assert!(door.door.verify(token.as_bytes()).is_err());
    let file = door.dir.path().join("jwks.json");
    let renewed = JwkSet { keys: vec![jwk("2026-b", &keys().ec, Algorithm::ES256)] };
    std::fs::write(&file, serde_json::to_string(&renewed).unwrap()).unwrap();
    door.door.reload(&door.config, &door.embedded).unwrap();
    assert!(door.door.verify(token.as_bytes()).is_ok());

    let twice = JwkSet { keys: vec![renewed.keys[0].clone(), renewed.keys[0].clone()] };
    let table = [
        ("{}".to_owned(), "not a JWKS"),
        ("{\"keys\": []}".to_owned(), "has no key for ES256"),
        (serde_json::to_string(&twice).unwrap(), "the same kid"),
    ];
    for (text, part) in table {
        std::fs::write(&file, text).unwrap();
        let message = door.door.reload(&door.config, &door.embedded).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("jwks.json"), "{message}");
        assert!(door.door.verify(token.as_bytes()).is_ok(), "the keys before stay in force");
    }
    door.config.auth.issuers = vec![issuer("x", config::Algorithm::EdDsa, "rsa.pub.pem")];
    let message = door.door.reload(&door.config, &door.embedded).unwrap_err().to_string();
    assert!(message.contains("no public key for EdDSA"), "{message}");
    door.config.auth.issuers = vec![issuer("x", config::Algorithm::EdDsa, "missing.pem")];
    let message = door.door.reload(&door.config, &door.embedded).unwrap_err().to_string();
    assert!(message.contains("missing.pem"), "{message}");
}

#[test]
fn a_token_changed_anywhere_is_refused() {
    let door = door(false);
    let good = sign(Algorithm::EdDSA, None, &claims("ed"), &keys().ed);
    for (i, old) in good.char_indices() {
        let new = if old == 'A' { 'B' } else { 'A' };
        let mut changed = good.clone();
        changed.replace_range(i..=i, &new.to_string());
        assert!(door.door.verify(changed.as_bytes()).is_err(), "byte {i} of {good}");
    }
    for end in 0..good.len() {
        assert!(door.door.verify(&good.as_bytes()[..end]).is_err(), "cut at {end}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_no_token(bytes in prop::collection::vec(any::<u8>(), 0..64), parts: [Vec<u8>; 3]) {
        let issuers: &[Issuer] = &[Issuer::embedded(&EmbeddedKey::stand_in())];
        let times = Times { leeway: Duration::ZERO, age_max: Duration::from_secs(60) };
        let dotted = parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        for token in [bytes.as_slice(), dotted.as_bytes()] {
            prop_assert!(token::verify(token, issuers, times, NOW_S * 1000).is_err());
        }
    }
}

#[tokio::test]
async fn a_revoked_device_neither_comes_in_nor_speaks() {
    let door = door(false);
    let minted = |seconds: u64| {
        let identity: Identity = "alice:phone".parse().unwrap();
        let ttl = Duration::from_secs(60);
        door.embedded.mint(&identity, ttl, None, seconds * 1000).unwrap().expose().to_owned()
    };
    let connect = async |token: &str| {
        let shown = shown("alice:phone", None, Some(token), Version::V5);
        door.door.authenticate(shown).await.map_err(|outcome| outcome.code)
    };
    let (before, later) = (minted(NOW_S - 10), minted(NOW_S - 5));
    let admitted = connect(&before).await.unwrap();
    assert_eq!(admitted.issued_ms, Some((NOW_S - 10) * 1000));
    let topic = Action::Publish("u/alice/x");
    assert!(door.door.holds(&admitted) && !door.door.authorize(&admitted, topic).is_denied());

    let device: Identity = "alice:phone".parse().unwrap();
    let ban = Ban { issued_until_ms: Some((NOW_S - 7) * 1000), barred: false };
    let Identity { user, device } = device;
    door.door.learn(&Revocation { number: 1, user, device: Some(device), ban });
    // A will that is due now is asked for like any other publish.
    assert!(!door.door.holds(&admitted) && door.door.authorize(&admitted, topic).is_denied());
    assert_eq!(connect(&before).await.unwrap_err(), Code::NOT_AUTHORIZED);
    assert!(door.door.holds(&connect(&later).await.unwrap()));
    // A token that does not say when it was issued is as old as can be; another device is another.
    let hs = EncodingKey::from_secret(&door.embedded.bytes());
    let silent = sign(Algorithm::HS256, None, &claims(EMBEDDED_ISSUER), &hs);
    assert_eq!(connect(&silent).await.unwrap_err(), Code::NOT_AUTHORIZED);
    let laptop = with(claims(EMBEDDED_ISSUER), "dev", json!("laptop"));
    let laptop = sign(Algorithm::HS256, None, &laptop, &hs);
    assert!(door.door.verify(laptop.as_bytes()).is_ok());
    let odd = with(claims(EMBEDDED_ISSUER), "iat", json!(-1));
    let odd = sign(Algorithm::HS256, None, &odd, &hs);
    assert_eq!(door.door.verify(odd.as_bytes()), Err(Refused::Bad("the token's iat is no time")));
}
