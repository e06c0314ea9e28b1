//! What an authorization response carries (OAuth 2.0 Multiple Response Type Encoding Practices).

use std::fmt;
use std::str::FromStr;

use super::{GrantType, UnknownName};

/// `response_type`: what the authorization endpoint answers with.
///
/// Everything but [`ResponseType::Code`] sends tokens through the browser and needs [`crate::Policy::implicit`].
/// `token` alone is not there: nothing in such an answer tells a client whether the token was made for it (RFC 9700
/// section 2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResponseType {
    /// `code`: the code flow, in which no token goes through the browser.
    Code,
    /// `id_token`: the implicit flow, to sign in alone.
    IdToken,
    /// `id_token token`: the implicit flow.
    IdTokenToken,
    /// `code id_token`: a hybrid flow.
    CodeIdToken,
    /// `code token`: a hybrid flow.
    CodeToken,
    /// `code id_token token`: a hybrid flow.
    CodeIdTokenToken,
}

impl ResponseType {
    /// Every response type that is known.
    pub const ALL: [Self; 6] = [
        Self::Code,
        Self::IdToken,
        Self::IdTokenToken,
        Self::CodeIdToken,
        Self::CodeToken,
        Self::CodeIdTokenToken,
    ];

    /// The registered name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::IdToken => "id_token",
            Self::IdTokenToken => "id_token token",
            Self::CodeIdToken => "code id_token",
            Self::CodeToken => "code token",
            Self::CodeIdTokenToken => "code id_token token",
        }
    }

    fn has(self, word: &str) -> bool {
        self.as_str().split(' ').any(|one| one == word)
    }

    pub(crate) fn has_code(self) -> bool {
        self.has("code")
    }

    pub(crate) fn has_id_token(self) -> bool {
        self.has("id_token")
    }

    pub(crate) fn has_token(self) -> bool {
        self.has("token")
    }

    /// Whether tokens go through the browser.
    pub(crate) fn is_implicit(self) -> bool {
        self != Self::Code
    }

    /// The grant types that a client needs for it (OpenID Connect Dynamic Client Registration section 2).
    pub(crate) fn grant_types(self) -> impl Iterator<Item = GrantType> {
        let needed = [
            (self.has_code(), GrantType::AuthorizationCode),
            (self.is_implicit(), GrantType::Implicit),
        ];
        needed.into_iter().filter(|(needed, _)| *needed).map(|(_, grant_type)| grant_type)
    }
}

impl FromStr for ResponseType {
    type Err = UnknownName;

    /// The words may come in any order (RFC 6749 section 3.1.1).
    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let sorted = |text: &str| {
            let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            words.sort_unstable();
            words
        };
        let wanted = sorted(text);
        let found = Self::ALL.into_iter().find(|one| sorted(one.as_str()) == wanted);
        found.ok_or(UnknownName)
    }
}

impl fmt::Display for ResponseType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_response_type_come_in_any_order_and_each_once() {
        for response_type in ResponseType::ALL {
            assert_eq!(response_type.as_str().parse(), Ok(response_type));
        }
        assert_eq!("token code id_token".parse(), Ok(ResponseType::CodeIdTokenToken));
        for bad in ["", "token", "code code", "code  token", "none", "Code", "code token x"] {
            assert_eq!(bad.parse::<ResponseType>(), Err(UnknownName), "{bad:?}");
        }
    }
}
