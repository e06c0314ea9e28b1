//! What the server knows of a person: the standard claims of OpenID Connect Core section 5.1.
//!
//! The e-mail address is the user name, and has a column of its own.

use grantor::Claims;
use serde_json::{Map, Value};
use url::Url;

/// What a claim is.
enum Kind {
    /// What people are shown: shorter, and without blanks around it.
    Name,
    Text,
    Url,
    Flag,
    Address,
}

const MAX_TEXT: usize = 2048;
/// The longest name of a person.
pub(super) const MAX_NAME: usize = 200;
const ADDRESS: [&str; 6] =
    ["formatted", "street_address", "locality", "region", "postal_code", "country"];

fn kind(name: &str) -> Option<Kind> {
    Some(match name {
        "name" => Kind::Name,
        "given_name" | "family_name" | "middle_name" | "nickname" | "preferred_username"
        | "gender" | "birthdate" | "zoneinfo" | "locale" | "phone_number" => Kind::Text,
        "profile" | "picture" | "website" => Kind::Url,
        "email_verified" | "phone_number_verified" => Kind::Flag,
        "address" => Kind::Address,
        _ => return None,
    })
}

/// Checks what is to become of somebody's claims: a value sets, `null` takes away. Or a sentence about the first
/// that cannot be.
pub(crate) fn check(change: &Claims) -> Result<(), String> {
    for (name, value) in change {
        let kind = kind(name).ok_or_else(|| format!("{name:?} is no claim that can be set"))?;
        let wanted = match (kind, value) {
            (_, Value::Null) => None,
            (Kind::Name, Value::String(text))
                if is_text(text) && text.trim() == text && (1..=MAX_NAME).contains(&text.len()) =>
            {
                None
            }
            (Kind::Name, _) => Some("a text of 1 to 200 bytes without blanks around it"),
            (Kind::Text, Value::String(text)) if is_text(text) => None,
            (Kind::Url, Value::String(text)) if is_url(text) => None,
            (Kind::Flag, Value::Bool(_)) => None,
            (Kind::Address, Value::Object(parts)) if is_address(parts) => None,
            (Kind::Text, _) => Some("a text of at most 2,048 bytes"),
            (Kind::Url, _) => Some("an http or https URL"),
            (Kind::Flag, _) => Some("true or false"),
            (Kind::Address, _) => Some("an object of texts: formatted, street_address, and so on"),
        };
        if let Some(wanted) = wanted {
            return Err(format!("{name} must be {wanted}"));
        }
    }
    Ok(())
}

/// Makes a change that was checked.
pub(crate) fn apply(claims: &mut Claims, change: Claims) {
    for (name, value) in change {
        match value {
            Value::Null => claims.remove(&name),
            value => claims.insert(name, value),
        };
    }
}

fn is_text(text: &str) -> bool {
    text.len() <= MAX_TEXT && !text.chars().any(char::is_control)
}

fn is_url(text: &str) -> bool {
    let is_web = Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    is_text(text) && is_web
}

fn is_address(parts: &Map<String, Value>) -> bool {
    // The whole of it may be written over several lines.
    let is_part = |text: &str| is_text(&text.replace(['\r', '\n'], " "));
    parts.iter().all(|(name, value)| {
        ADDRESS.contains(&name.as_str()) && value.as_str().is_some_and(is_part)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(value: &Value) -> Claims {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn each_claim_has_its_type() {
        let good = json!({
            "given_name": "Ann", "picture": "https://example.com/ann.png", "email_verified": true,
            "address": {"formatted": "1 Street\nTown", "country": "GB"}, "nickname": null,
        });
        assert_eq!(check(&of(&good)), Ok(()));
        for bad in [
            json!({"sub": "somebody"}),
            json!({"email": "a@b.example"}),
            json!({"updated_at": 1}),
            json!({"is_admin": true}),
            json!({"name": " Ann"}),
            json!({"name": "x".repeat(201)}),
            json!({"given_name": 7}),
            json!({"given_name": "two\nlines"}),
            json!({"picture": "javascript:alert(1)"}),
            json!({"email_verified": "yes"}),
            json!({"address": "1 Street"}),
            json!({"address": {"planet": "Mars"}}),
            json!({"address": {"country": 1}}),
            json!({"nickname": "x".repeat(2049)}),
        ] {
            assert!(check(&of(&bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_null_takes_away_and_what_is_absent_stays() {
        let mut claims = of(&json!({"name": "Ann", "nickname": "A"}));
        apply(&mut claims, of(&json!({"nickname": null, "locale": "de"})));
        assert_eq!(claims, of(&json!({"name": "Ann", "locale": "de"})));
    }
}
