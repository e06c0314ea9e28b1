//! How an authorization response travels (OAuth 2.0 Multiple Response Type Encoding Practices, OAuth 2.0 Form
//! Post Response Mode).

use std::fmt::Write as _;

use crate::client::ResponseType;
use crate::client::redirect::ValidatedRedirect;
use crate::http::Response;

/// `response_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponseMode {
    /// In the query of the redirect URI: the default for a code.
    Query,
    /// In its fragment, which browsers keep to themselves.
    Fragment,
    /// In the body of a form that the browser posts, so that neither histories nor logs have it.
    FormPost,
}

impl ResponseMode {
    pub(crate) const ALL: [Self; 3] = [Self::Query, Self::Fragment, Self::FormPost];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Fragment => "fragment",
            Self::FormPost => "form_post",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text)
    }

    /// The mode of an answer, as it is asked for or goes without saying. Tokens never travel in a query, which
    /// servers and proxies write to their logs: then even the refusal comes in the fragment, where a client that
    /// asks for tokens looks for it.
    pub(crate) fn of(asked: Option<Self>, response_type: Option<ResponseType>) -> Self {
        match (asked, response_type.is_some_and(ResponseType::is_implicit)) {
            (None | Some(Self::Query), true) => Self::Fragment,
            (None, false) => Self::Query,
            (Some(asked), _) => asked,
        }
    }

    /// The response.
    pub(crate) fn send<'a>(
        self,
        to: &ValidatedRedirect,
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Response {
        match self {
            Self::Query => Response::see_other(&to.with(parameters)),
            Self::Fragment => Response::see_other(&to.with_fragment(parameters)),
            Self::FormPost => form_post(to.as_str(), parameters),
        }
    }
}

/// It sends the form at once; a person without scripts presses the button.
const SCRIPT: &str = "document.forms[0].submit()";
/// The one script that the page may run.
const SCRIPT_HASH: &str = "sha256-ePniVEkSivX/c7XWBGafqh8tSpiRrKiqYeqbG7N1TOE=";

fn form_post<'a>(
    action: &str,
    parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Response {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>One moment</title>\
         <form method=\"post\" action=\"{}\">",
        escaped(action)
    );
    for (name, value) in parameters {
        let (name, value) = (escaped(name), escaped(value));
        let _ = write!(page, "<input type=\"hidden\" name=\"{name}\" value=\"{value}\">");
    }
    let _ = write!(page, "<button>Continue</button></form><script>{SCRIPT}</script></html>");
    Response::html(200, page).header(
        "content-security-policy",
        format!("default-src 'none'; script-src '{SCRIPT_HASH}'; frame-ancestors 'none'; base-uri 'none'"),
    )
}

/// Text in an attribute: what comes from a request must end neither the attribute nor the tag.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn the_page_may_run_its_own_script_and_no_other() {
        let hash = BASE64_STANDARD.encode(Sha256::digest(SCRIPT));
        assert_eq!(SCRIPT_HASH, format!("sha256-{hash}"));
    }
}
