//! The shop's pages.

use crate::{Order, User};

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width\"><title>{title}</title>\
         <main><h1>{title}</h1>{body}</main></html>"
    )
}

/// Text in a page.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            character => escaped.push(character),
        }
    }
    escaped
}

/// The front page.
#[must_use]
pub fn home(user: Option<&User>, orders: &[Order]) -> String {
    let Some(user) = user else {
        return page("The shop", "<p><a href=/login>Sign in</a>");
    };
    let row = |order: &Order| format!("<li>{}</li>", escape(&order.article));
    let orders: String = orders.iter().map(row).collect();
    page(
        "The shop",
        &format!(
            "<p>Hello {}!<ul>{orders}</ul><form method=post action=/logout><button>Sign out</button></form>",
            escape(&user.name)
        ),
    )
}

/// The login page.
#[must_use]
pub fn login(next: &str, error: Option<&str>) -> String {
    let error = error.map(|error| format!("<p role=alert>{}</p>", escape(error)));
    page(
        "Sign in",
        &format!(
            "{}<form method=post action=/login><input type=hidden name=next value=\"{}\">\
             <label>E-mail <input name=email type=email autocomplete=username required></label>\
             <label>Password <input name=password type=password autocomplete=current-password \
             required></label><button>Sign in</button></form>",
            error.unwrap_or_default(),
            escape(next)
        ),
    )
}

/// A question with two answers, which a form posts to `action`.
#[must_use]
pub fn question(title: &str, text: &str, action: &str, hidden: &[(&str, &str)]) -> String {
    let field = |(name, value): &(&str, &str)| {
        format!("<input type=hidden name={name} value=\"{}\">", escape(value))
    };
    let fields: String = hidden.iter().map(field).collect();
    page(
        &escape(title),
        &format!(
            "<p>{}</p><form method=post action={action}>{fields}\
             <button name=allow value=yes>Allow</button> <button name=allow value=no>Refuse</button></form>",
            escape(text)
        ),
    )
}
