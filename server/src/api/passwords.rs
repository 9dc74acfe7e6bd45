//! Passwords: which are too common, and their Argon2id hashes.
//!
//! A hash needs 19 MiB for some 20 ms. Memory is taken from [`Desks`]: as many as may hash at once, made
//! at the first need and used again and again. So logins, however many, need no more than these, and the
//! allocator is not left with a place of 19 MiB for each thread that ever hashed.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Block, Params};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use crate::secret::Secret;

/// Memory for hashing.
#[derive(Default)]
pub(super) struct Desks(Mutex<Vec<Vec<Block>>>);

impl std::fmt::Debug for Desks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Desks({} free)", self.0.lock().len())
    }
}

impl Desks {
    /// How many are free.
    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.0.lock().len()
    }

    /// A PHC string. `None`: no password can be hashed, which is a defect.
    pub(super) fn hash(&self, password: &Secret, salt: &[u8; 16]) -> Option<String> {
        let params = Params::default();
        let output = self.output(&params, password, salt, Params::DEFAULT_OUTPUT_LEN)?;
        let (salt, output) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(output));
        let (m, t, p) = (params.m_cost(), params.t_cost(), params.p_cost());
        Some(format!("$argon2id$v=19$m={m},t={t},p={p}${salt}${output}"))
    }

    /// Whether it is the password of a hash.
    pub(super) fn verify(&self, password: &Secret, stored: &str) -> bool {
        let read = PasswordHash::new(stored).ok().and_then(|hash| {
            let params = Params::try_from(&hash).ok()?;
            Some((params, hash.salt?, hash.hash?))
        });
        let Some((params, salt, expected)) = read else {
            tracing::error!("a stored password hash cannot be read");
            return false;
        };
        let output = self.output(&params, password, &salt, expected.as_bytes().len());
        // Digests are compared, so the time taken says nothing about how much of it was right.
        output.is_some_and(|o| Sha256::digest(o) == Sha256::digest(expected.as_bytes()))
    }

    fn output(
        &self,
        params: &Params,
        password: &Secret,
        salt: &[u8],
        len: usize,
    ) -> Option<Vec<u8>> {
        let usual = Params::default().block_count();
        let blocks = params.block_count();
        let mut desk = if blocks == usual { self.0.lock().pop() } else { None }
            .unwrap_or_else(|| vec![Block::default(); blocks]);
        let argon2 = Argon2::from(params.clone());
        let (password, mut output) = (password.expose().as_bytes(), vec![0; len]);
        let done =
            argon2.hash_password_into_with_memory(password, salt, &mut output, &mut desk[..]);
        // A hash of other parameters (made by another version) had memory of its own.
        if blocks == usual {
            self.0.lock().push(desk);
        }
        done.ok().map(|()| output)
    }
}

/// Why a password is too common, if it is: a list of those that are tried first everywhere, with what
/// people hang behind them, and what is no secret by its form. In English, for programs.
pub(super) fn too_common(password: &str, user: &str) -> Option<&'static str> {
    let lower = password.to_lowercase();
    let plain: String = lower.chars().filter(|c| c.is_alphanumeric()).collect();
    let stem = plain.trim_end_matches(|c: char| c.is_ascii_digit());
    let user = user.to_lowercase();
    let listed = |text: &str| text.len() >= 4 && COMMON.split_whitespace().any(|word| word == text);
    if is_run(&lower) {
        return Some("is a row of keys, or one key again and again");
    }
    // The name with nothing but digits and signs around it.
    let around = |text: &str| text.chars().all(|c| !c.is_alphabetic());
    if user.len() >= 3 && lower.contains(&user) && around(&lower.replace(&user, "")) {
        return Some("is the user id and little more");
    }
    let unleeted: String = stem.chars().map(unleet).collect();
    let candidates = [lower.as_str(), plain.as_str(), stem, unleeted.as_str()];
    // Behind a common word a few digits are no secret; many may be one.
    let short = lower.chars().count() <= unleeted.chars().count() + 4;
    let common = candidates[..2].iter().any(|text| listed(text))
        || (short && candidates[2..].iter().any(|text| listed(text)));
    common.then_some("is one of the most common ones")
}

/// What people write for a letter.
fn unleet(c: char) -> char {
    match c {
        '0' => 'o',
        '1' => 'l',
        '3' => 'e',
        '4' => 'a',
        '5' => 's',
        '7' => 't',
        other => other,
    }
}

/// Whether every character follows from the one before it: the same, the next, the one before, or the
/// neighbour on a keyboard; or a short piece is repeated.
fn is_run(text: &str) -> bool {
    const ROWS: [&str; 8] = [
        "1234567890",
        "qwertyuiop",
        "asdfghjkl",
        "zxcvbnm",
        "qwertzuiop",
        "yxcvbnm",
        "azertyuiop",
        "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik",
    ];
    let chars: Vec<char> = text.chars().collect();
    let steps = |step: i64| {
        let (next, all) = (|c: char| i64::from(u32::from(c)) + step, chars.windows(2));
        all.into_iter().all(|pair| next(pair[0]) == i64::from(u32::from(pair[1])))
    };
    let backwards: String = chars.iter().rev().collect();
    let in_a_row = |text: &str| ROWS.iter().any(|row| format!("{row}{row}").contains(text));
    let repeats = (1..=6)
        .any(|len| chars.len() >= 2 * len && chars.iter().zip(&chars[len..]).all(|(a, b)| a == b));
    (-1..=1).any(steps) || in_a_row(text) || in_a_row(&backwards) || repeats
}

/// The passwords, or their words, that lists of leaked ones have at their top, of four characters and
/// more, in lower case.
const COMMON: &str = "
    password passwort motdepasse contrasena parola senha passw0rd p@ssw0rd p@ssword pa55word
    password1 password123 passpass changeme changeit letmein welcome welkom willkommen bienvenue
    default secret geheim hello hallo test testing testtest tester guest admin administrator root
    toor user demo login master access server system manager oracle mysql postgres support
    qwerty qwertz azerty qwerty123 qwertyui qwertyuiop asdf asdfgh asdfghjk asdfghjkl zxcvbn
    zxcvbnm 1q2w3e 1q2w3e4r 1q2w3e4r5t 1qaz2wsx qazwsx qazwsxedc zaq12wsx q1w2e3r4 qweasd qweasdzxc
    1234qwer qwer1234 abc123 abcd1234 a1b2c3d4 abcdef abcdefgh 123abc 123qwe 123456a a123456
    123456789a aa123456 12341234 11223344 112233 123321 123123 123123123 147258369 159753 159357
    741852963 789456123 987654321 1234554321 123454321 102030 10203040 192837465 5201314 7758521
    woaini 1314520 iloveyou iloveyou1 iloveyou2 ilove loveyou lovely love lovers loveme sweetheart
    sunshine princess prinzessin dragon monkey shadow superman batman spiderman ironman starwars
    pokemon naruto minecraft fortnite football fussball futbol baseball basketball soccer hockey
    tennis golf liverpool chelsea arsenal barcelona realmadrid juventus manchester everton celtic
    rangers cowboys steelers yankees lakers eagles michael jennifer jessica jordan ashley andrew
    daniel thomas robert charlie matthew anthony nicole michelle amanda joshua hannah samantha
    alexander alexandra andrea stefan sebastian christian martin florian patrick benjamin sophie
    marie julia anna maria carlos antonio alejandro roberto francisco george richard william james
    summer winter spring autumn sommer herbst january february december monday friday whatever
    trustno trustno1 freedom mustang harley ferrari porsche mercedes corvette yamaha suzuki honda
    chocolate cookie cookies cheese banana orange apple ginger pepper peanut coffee pizza
    computer internet google facebook instagram twitter youtube amazon samsung iphone nokia android
    microsoft windows linux matrix phoenix thunder lightning killer hunter ranger soldier warrior
    wizard merlin gandalf hacker ninja samurai buster tigger bailey maggie lucky happy smile angel
    angels heaven jesus christ blessed god faith family mother father brother sister friends
    friend forever together flower butterfly rainbow diamond silver golden purple yellow orange
    fuckyou fuckoff asshole bitch pussy sexy biteme creative nothing something anything everything
    secure security private letmein1 passcode opensesame sesame xxxxxx xxxxxxxx money dollar rich
    zaq1zaq1 zaq1xsw2 asd123 asdasd asdasdasd qweqwe qweqweqwe zxczxc poiuytrewq lkjhgfdsa mnbvcxz
    godwit changethis temp temporary temppass testpass userpass adminpass rootpass mypassword
    yourpassword thepassword nopassword passwords newpassword oldpassword
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tried_first_is_refused() {
        for bad in [
            "12345678",
            "123456789",
            "1234567890",
            "87654321",
            "11111111",
            "aaaaaaaa",
            "abababab",
            "abcdefgh",
            "qwertyui",
            "poiuytre",
            "asdfghjkl",
            "1q2w3e4r",
            "1qaz2wsx",
            "password",
            "Password",
            "Password1",
            "password123!",
            "P@ssw0rd",
            "passw0rd",
            "iloveyou",
            "sunshine1",
            "Football2024",
            "princess99",
            "trustno1",
            "letmein!!",
            "alice123",
            "alice-2024!",
            "ALICEALICE",
            "123123123",
            "dragon12",
            "00000000",
            "changeme1",
            "abc123abc123",
        ] {
            assert!(too_common(bad, "alice").is_some(), "{bad}");
        }
        for fine in [
            "correct horse",
            "correct horse battery staple",
            "äöüäöüäöß",
            "kP3!x_mma0q",
            "another long password",
            "dragonflies over water",
            "malice aforethought",
            "password8150931772",
            "7391842605",
            "hunter of snarks",
        ] {
            assert_eq!(too_common(fine, "alice"), None, "{fine}");
        }
        // A short user id is in many words.
        assert_eq!(too_common("x-ray tango", "x"), None);
    }

    #[test]
    fn memory_is_used_again() {
        let (desks, right) = (Desks::default(), Secret::new("correct horse"));
        let hash = desks.hash(&right, &[7; 16]).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(desks.verify(&right, &hash) && !desks.verify(&Secret::new("wrong"), &hash));
        assert_eq!(desks.free(), 1);
        // What the crate's own hasher has made is read, too.
        use argon2::password_hash::PasswordHasher as _;
        let theirs: PasswordHash =
            Argon2::default().hash_password_with_salt(b"correct horse", &[7; 16]).unwrap();
        assert_eq!(theirs.to_string(), hash);
        for bad in ["", "no hash at all", "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA"] {
            assert!(!desks.verify(&right, bad), "{bad}");
        }
    }
}
