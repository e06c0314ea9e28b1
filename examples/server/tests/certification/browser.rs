//! A person with a browser that runs no scripts.

use std::collections::BTreeMap;

use url::Url;

use crate::suite::{EMAIL, PASSWORD, suite};
use crate::wire::Answer;

/// The cookie that a page of the server reads.
const STATE: &str = "grantor_browser_state";

/// A browser with its cookies.
#[derive(Default)]
pub(crate) struct Browser {
    cookies: BTreeMap<String, String>,
    /// Which pages asked something since somebody looked.
    pub(crate) asked: Vec<&'static str>,
    /// What the last page opened in frames.
    pub(crate) frames: Vec<String>,
    /// The login page as it was last shown.
    pub(crate) login_page: String,
}

/// Where the way through the pages ended.
#[derive(Debug)]
pub(crate) enum End {
    /// At the application, with the URL.
    Redirected(Url),
    /// At the application, with a form.
    Posted(String, BTreeMap<String, String>),
    /// On a page that asks nothing.
    Shown(Answer),
}

impl Browser {
    /// Opens a URL of the server, signs in and allows whatever is asked.
    pub(crate) fn open(&mut self, url: &str) -> End {
        let answer = self.send("GET", url, "");
        self.follow(url, answer)
    }

    /// Posts a form to the server, and goes on as after opening a URL.
    pub(crate) fn post(&mut self, url: &str, form: &[(&str, &str)]) -> End {
        let answer = self.submit(url, form);
        self.follow(url, answer)
    }

    fn follow(&mut self, url: &str, mut answer: Answer) -> End {
        self.asked.clear();
        let mut url = Url::parse(url).unwrap();
        for _ in 0..10 {
            if let Some(location) = answer.header("location") {
                assert_eq!(answer.status, 303, "{answer:?}");
                url = url.join(location).unwrap();
                if url.origin() != Url::parse(&suite().issuer).unwrap().origin() {
                    return End::Redirected(url);
                }
                answer = self.send("GET", url.as_str(), "");
                continue;
            }
            let page = answer.text.clone();
            if page.contains("id=\"login-submit\"") {
                assert_eq!((answer.status, url.path()), (200, "/login"));
                assert!(page.contains("<h1>Sign in</h1>"), "{page}");
                self.asked.push("login");
                self.login_page.clone_from(&page);
                let ticket = field(&page, "ticket");
                let form = [("ticket", &*ticket), ("username", EMAIL), ("password", PASSWORD)];
                url.set_query(None);
                answer = self.submit(url.as_str(), &form);
            } else if page.contains("id=\"consent-allow\"") {
                assert_eq!((answer.status, url.path()), (200, "/consent"));
                self.asked.push("consent");
                let (ticket, csrf) = (field(&page, "ticket"), field(&page, "csrf"));
                url.set_query(None);
                let form = [("ticket", &*ticket), ("csrf", &*csrf), ("decision", "allow")];
                answer = self.submit(url.as_str(), &form);
            } else if page.contains("id=\"logout-confirm\"") {
                assert_eq!((answer.status, url.path()), (200, "/logout"));
                self.asked.push("logout");
                let (ticket, csrf) = (field(&page, "ticket"), field(&page, "csrf"));
                url.set_query(None);
                answer = self.submit(url.as_str(), &[("ticket", &*ticket), ("csrf", &*csrf)]);
            } else if page.contains("http-equiv=\"refresh\"") {
                let frames = page.split("<iframe ").skip(1);
                self.frames = frames.map(|frame| attribute(frame, "src=\"")).collect();
                let policy = answer.header("content-security-policy").unwrap();
                assert!(policy.contains(&format!("frame-src {}", suite().application)), "{policy}");
                return End::Redirected(Url::parse(&attribute(&page, ";url=")).unwrap());
            } else if page.contains("document.forms[0].submit()") {
                let action = attribute(&page, "action=\"");
                return End::Posted(action, hidden_fields(&page));
            } else {
                return End::Shown(answer);
            }
        }
        panic!("the pages never end: {url}");
    }

    fn submit(&mut self, url: &str, form: &[(&str, &str)]) -> Answer {
        let mut encoded = url::form_urlencoded::Serializer::new(String::new());
        encoded.extend_pairs(form);
        self.send("POST", url, &encoded.finish())
    }

    fn send(&mut self, method: &str, url: &str, body: &str) -> Answer {
        let mut headers = vec![("accept", "text/html")];
        if method == "POST" {
            headers.push(("content-type", "application/x-www-form-urlencoded"));
        }
        let cookies = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
        let cookies = cookies.collect::<Vec<_>>().join("; ");
        if !cookies.is_empty() {
            headers.push(("cookie", &cookies));
        }
        let answer = suite().send(method, url, &headers, body);
        for set in answer.headers("set-cookie") {
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            assert!(set.contains("; Secure"), "{set}");
            assert_eq!(set.contains("; HttpOnly"), name != STATE, "{set}");
            match value {
                "" => self.cookies.remove(name),
                value => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        answer
    }

    /// What the page that applications have in a frame makes of its cookie: nothing when nobody is signed in.
    pub(crate) fn state(&self) -> &str {
        let state = self.cookies.get(STATE).map(String::as_str);
        state.filter(|state| *state != "nobody").unwrap_or_default()
    }
}

/// What stands behind a piece of markup, up to the quote.
fn attribute(page: &str, before: &str) -> String {
    let (_, rest) = page.split_once(before).unwrap_or_else(|| panic!("no {before}: {page}"));
    unescaped(rest.split('"').next().unwrap())
}

fn field(page: &str, name: &str) -> String {
    attribute(page, &format!("name=\"{name}\" value=\""))
}

fn hidden_fields(page: &str) -> BTreeMap<String, String> {
    let inputs = page.split("<input type=\"hidden\" ").skip(1);
    inputs.map(|input| (attribute(input, "name=\""), attribute(input, "value=\""))).collect()
}

fn unescaped(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    let text = text.replace("&#60;", "<").replace("&#62;", ">").replace("&#34;", "\"");
    text.replace("&#39;", "'").replace("&#38;", "&").replace("&amp;", "&")
}
