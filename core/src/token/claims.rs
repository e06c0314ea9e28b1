//! Which claims a scope releases (OpenID Connect Core section 5.4).

use std::collections::BTreeSet;

use serde_json::Value;

use crate::scope::Scope;
use crate::subject::Claims;

const PROFILE: [&str; 14] = [
    "name",
    "family_name",
    "given_name",
    "middle_name",
    "nickname",
    "preferred_username",
    "profile",
    "picture",
    "website",
    "gender",
    "birthdate",
    "zoneinfo",
    "locale",
    "updated_at",
];

const BY_SCOPE: [(&str, &[&str]); 4] = [
    ("profile", &PROFILE),
    ("email", &["email", "email_verified"]),
    ("address", &["address"]),
    ("phone", &["phone_number", "phone_number_verified"]),
];

/// The scope that releases a claim.
pub(crate) fn scope_of(claim: &str) -> Option<&'static str> {
    let releases = BY_SCOPE.iter().find(|(_, claims)| claims.contains(&claim));
    releases.map(|(scope, _)| *scope)
}

/// The claims that the scope releases, and those that were granted by name; without the ones that have no
/// value.
pub(crate) fn released(all: Claims, scope: &Scope, by_name: &BTreeSet<String>) -> Claims {
    let is_released = |name: &str| {
        by_name.contains(name) || scope_of(name).is_some_and(|releases| scope.contains(releases))
    };
    all.into_iter().filter(|(name, value)| is_released(name) && *value != Value::Null).collect()
}

/// Every claim that some scope releases, for the discovery document.
pub(crate) fn supported() -> impl Iterator<Item = &'static str> {
    std::iter::once("sub").chain(BY_SCOPE.iter().flat_map(|(_, claims)| claims.iter().copied()))
}

/// Claims that the engine sets itself and that nothing a host adds may replace.
pub(crate) fn is_reserved(name: &str) -> bool {
    matches!(
        name,
        "iss"
            | "sub"
            | "aud"
            | "exp"
            | "nbf"
            | "iat"
            | "jti"
            | "nonce"
            | "azp"
            | "cnf"
            | "act"
            | "may_act"
            | "scope"
            | "client_id"
            | "sid"
            | "acr"
            | "amr"
            | "auth_time"
            | "at_hash"
            | "c_hash"
            | "s_hash"
            | "events"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_scope_releases_its_own_claims_and_no_null() {
        let all = json!({"name": "Ann", "email": "a@x", "phone_number": null, "secret": "s"});
        let all = all.as_object().unwrap().clone();
        let of = |scope: &str| {
            let none = BTreeSet::new();
            let claims = released(all.clone(), &Scope::parse(scope).unwrap(), &none);
            claims.keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(of("openid profile"), ["name"]);
        assert_eq!(of("email phone"), ["email"]);
        assert!(of("openid").is_empty());
        let email = BTreeSet::from(["email".to_owned()]);
        assert!(released(all.clone(), &Scope::empty(), &email).contains_key("email"));
    }
}
