//! What people are shown of a client, in their language (RFC 7591 section 2.2).

use super::Client;

/// The texts and URLs of a client for one language. What is absent is as in [`Client`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Localized {
    /// `client_name`
    pub client_name: Option<String>,
    /// `client_uri`
    pub client_uri: Option<String>,
    /// `logo_uri`
    pub logo_uri: Option<String>,
    /// `policy_uri`
    pub policy_uri: Option<String>,
    /// `tos_uri`
    pub tos_uri: Option<String>,
}

/// What a page shows of a client. Data, not markup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shown<'a> {
    /// Its name.
    pub client_name: &'a str,
    /// Its home page.
    pub client_uri: Option<&'a str>,
    /// Its logo.
    pub logo_uri: Option<&'a str>,
    /// Its privacy policy.
    pub policy_uri: Option<&'a str>,
    /// Its terms of service.
    pub tos_uri: Option<&'a str>,
}

impl Client {
    /// What people who understand these languages (BCP 47, the best first) are shown, such as those of
    /// [`crate::Pending::ui_locales`]: each thing in the first language that the client has it in. `de-CH` finds
    /// `de` too (RFC 4647 section 3.4).
    #[must_use]
    pub fn shown<'a>(&'a self, languages: &[String]) -> Shown<'a> {
        let fitting: Vec<&Localized> = languages
            .iter()
            .flat_map(|language| ranges(language))
            .filter_map(|r| self.of(r))
            .collect();
        let find = |field: fn(&Localized) -> Option<&String>, own: Option<&'a String>| {
            fitting.iter().find_map(|localized| field(localized)).or(own).map(String::as_str)
        };
        Shown {
            client_name: find(|l| l.client_name.as_ref(), None).unwrap_or(&self.client_name),
            client_uri: find(|l| l.client_uri.as_ref(), self.client_uri.as_ref()),
            logo_uri: find(|l| l.logo_uri.as_ref(), self.logo_uri.as_ref()),
            policy_uri: find(|l| l.policy_uri.as_ref(), self.policy_uri.as_ref()),
            tos_uri: find(|l| l.tos_uri.as_ref(), self.tos_uri.as_ref()),
        }
    }

    fn of(&self, language: &str) -> Option<&Localized> {
        let found = self.localized.iter().find(|(tag, _)| tag.eq_ignore_ascii_case(language));
        found.map(|(_, localized)| localized)
    }
}

/// A language, and what is left of it as its subtags are taken away from the end.
fn ranges(language: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(language), |shorter| {
        shorter.rsplit_once('-').map(|(front, _)| front)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_shown_in_the_first_language_that_has_it() {
        let mut client = Client::public("c", "Shop");
        client.tos_uri = Some("https://rp.example/tos".into());
        let german = Localized { client_name: Some("Laden".into()), ..Localized::default() };
        let mut french = Localized { client_name: Some("Boutique".into()), ..Localized::default() };
        french.tos_uri = Some("https://rp.example/cgu".into());
        client.localized = [("de".to_owned(), german), ("fr-CA".to_owned(), french)].into();
        let shown = |languages: &[&str]| {
            let languages: Vec<String> = languages.iter().map(|one| (*one).to_owned()).collect();
            let shown = client.shown(&languages);
            (shown.client_name.to_owned(), shown.tos_uri.unwrap().to_owned())
        };
        let pair = |name: &str, path: &str| (name.to_owned(), format!("https://rp.example/{path}"));
        assert_eq!(shown(&[]), pair("Shop", "tos"));
        assert_eq!(shown(&["it", "de-CH"]), pair("Laden", "tos"));
        assert_eq!(shown(&["DE", "fr-ca"]), pair("Laden", "cgu"));
        assert_eq!(shown(&["fr"]), pair("Shop", "tos"));
    }
}
