//! Scope: an ordered set of scope tokens (RFC 6749 section 3.3).

use std::fmt;

use serde::{Deserialize, Serialize};

/// How many scope tokens one request or client may name.
pub const MAX_SCOPES: usize = 64;
const MAX_LENGTH: usize = 2048;

/// The scopes that OpenID Connect gives a meaning; never granted to a client on its own behalf.
pub(crate) const OPENID_SCOPES: [&str; 6] =
    ["openid", "profile", "email", "address", "phone", "offline_access"];

/// An ordered set of scope tokens.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Scope(Vec<String>);

/// A text that is not a scope: a character outside the grammar, or too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a scope is up to 64 tokens of printable ASCII without quote and backslash, single-spaced")]
pub struct MalformedScope;

impl Scope {
    /// The empty scope.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Vec::new())
    }

    /// Reads a space-separated scope. Repeated tokens count once; the order is kept.
    ///
    /// # Errors
    /// When it breaks the grammar of RFC 6749 section 3.3 (also by a leading, trailing or double
    /// space), has more than 64 tokens or is longer than 2,048 bytes.
    pub fn parse(text: &str) -> Result<Self, MalformedScope> {
        if text.len() > MAX_LENGTH {
            return Err(MalformedScope);
        }
        if text.is_empty() {
            return Ok(Self::empty());
        }
        Self::collect(text.split(' '))
    }

    /// A scope from single tokens.
    ///
    /// # Errors
    /// As [`Scope::parse`].
    pub fn collect<T: AsRef<str>>(
        tokens: impl IntoIterator<Item = T>,
    ) -> Result<Self, MalformedScope> {
        let mut scope = Self::empty();
        for token in tokens {
            let token = token.as_ref();
            if !is_scope_token(token) {
                return Err(MalformedScope);
            }
            if !scope.contains(token) {
                if scope.0.len() == MAX_SCOPES {
                    return Err(MalformedScope);
                }
                scope.0.push(token.to_owned());
            }
        }
        Ok(scope)
    }

    /// Whether `token` is in the set.
    #[must_use]
    pub fn contains(&self, token: &str) -> bool {
        self.0.iter().any(|have| have == token)
    }

    /// Whether every token of this scope is in `other`.
    #[must_use]
    pub fn is_within(&self, other: &Scope) -> bool {
        self.0.iter().all(|token| other.contains(token))
    }

    /// The tokens that are in both, in this scope's order.
    #[must_use]
    pub fn intersection(&self, other: &Scope) -> Self {
        self.filter(|token| other.contains(token))
    }

    /// The tokens of this scope that are not in `other`.
    #[must_use]
    pub fn without(&self, other: &Scope) -> Self {
        self.filter(|token| !other.contains(token))
    }

    /// The tokens of both, this scope's first.
    #[must_use]
    pub fn union(&self, other: &Scope) -> Self {
        let mut tokens = self.0.clone();
        tokens.extend(other.0.iter().filter(|token| !self.contains(token)).cloned());
        Self(tokens)
    }

    /// The tokens for which `keep` holds.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(&str) -> bool) -> Self {
        Self(self.0.iter().filter(|token| keep(token)).cloned().collect())
    }

    /// Whether there is no token.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tokens, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )`
fn is_scope_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5B | 0x5D..=0x7E))
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.join(" "))
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.0.join(" ")
    }
}

impl TryFrom<String> for Scope {
    type Error = MalformedScope;
    fn try_from(text: String) -> Result<Self, MalformedScope> {
        // A stored scope is not bound by the cap on what a request may bring: a client and its
        // remembered consent may together name more.
        if text.is_empty() {
            return Ok(Self::empty());
        }
        let tokens: Vec<String> = text.split(' ').map(str::to_owned).collect();
        tokens.iter().all(|t| is_scope_token(t)).then_some(Self(tokens)).ok_or(MalformedScope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_of_the_greatest_length_is_one_and_its_text_is_its_tokens() {
        let longest = "s".repeat(2048);
        assert_eq!(String::from(Scope::parse(&longest).unwrap()), longest);
        assert!(Scope::parse(&format!("{longest}s")).is_err());
        let scope = Scope::parse("openid email").unwrap();
        assert_eq!(format!("{scope:?}"), "\"openid email\"");
        assert_eq!(String::from(scope), "openid email");
    }

    #[test]
    fn the_grammar_is_that_of_the_rfc() {
        for bad in [" a", "a ", "a  b", "a\tb", "a\"b", "a\\b", "a\u{0}", "é", "a\u{7f}"] {
            assert_eq!(Scope::parse(bad), Err(MalformedScope), "{bad:?}");
        }
        assert_eq!(Scope::parse("b a b").unwrap().to_string(), "b a");
        assert!(Scope::parse("").unwrap().is_empty());
    }

    #[test]
    fn the_number_and_length_of_tokens_are_bounded() {
        let many: Vec<String> = (0..65).map(|n| n.to_string()).collect();
        assert_eq!(Scope::parse(&many.join(" ")), Err(MalformedScope));
        assert_eq!(Scope::parse(&"x".repeat(2049)), Err(MalformedScope));
    }
}
