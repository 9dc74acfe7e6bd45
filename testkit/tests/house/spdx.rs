//! Licence expressions: whether one can be satisfied by an allow-list.

/// Whether `expression` (SPDX, also cargo's old `A/B` for OR) is satisfied by `allowed`.
pub(super) fn satisfied(expression: &str, allowed: &[String]) -> Result<bool, String> {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words, at: 0, allowed };
    let answer = parser.any()?;
    if parser.at == words.len() {
        Ok(answer)
    } else {
        Err(format!("{expression:?} has something left at word {}", parser.at))
    }
}

struct Parser<'a> {
    words: &'a [&'a str],
    at: usize,
    allowed: &'a [String],
}

impl Parser<'_> {
    fn take(&mut self, word: &str) -> bool {
        let found = self.words.get(self.at).is_some_and(|w| w.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    fn any(&mut self) -> Result<bool, String> {
        let mut answer = self.all()?;
        while self.take("OR") {
            answer |= self.all()?;
        }
        Ok(answer)
    }

    fn all(&mut self) -> Result<bool, String> {
        let mut answer = self.one()?;
        while self.take("AND") {
            answer &= self.one()?;
        }
        Ok(answer)
    }

    fn one(&mut self) -> Result<bool, String> {
        if self.take("(") {
            let answer = self.any()?;
            return if self.take(")") { Ok(answer) } else { Err("a parenthesis is open".into()) };
        }
        let id = *self.words.get(self.at).ok_or("a licence is missing")?;
        if matches!(id, ")" | "AND" | "OR" | "WITH") {
            return Err(format!("a licence is missing before {id}"));
        }
        self.at += 1;
        let mut name = id.to_owned();
        if self.take("WITH") {
            let exception = *self.words.get(self.at).ok_or("an exception is missing")?;
            self.at += 1;
            name = format!("{name} WITH {exception}");
        }
        Ok(self.allowed.contains(&name))
    }
}

#[test]
fn expressions_mean_what_they_say() {
    let allowed: Vec<String> = ["MIT", "ISC", "A WITH E"].map(str::to_owned).to_vec();
    let table = [
        ("MIT", Some(true)),
        ("GPL-3.0", Some(false)),
        ("GPL-3.0 OR MIT", Some(true)),
        ("GPL-3.0/MIT", Some(true)),
        ("GPL-3.0 AND MIT", Some(false)),
        ("MIT AND ISC", Some(true)),
        ("MIT AND (GPL-3.0 OR ISC)", Some(true)),
        ("GPL-3.0 OR MIT AND GPL-2.0", Some(false)),
        ("A WITH E", Some(true)),
        ("A", Some(false)),
        ("", None),
        ("MIT OR", None),
        ("(MIT", None),
        ("MIT ISC", None),
    ];
    for (expression, expected) in table {
        assert_eq!(satisfied(expression, &allowed).ok(), expected, "{expression:?}");
    }
}
