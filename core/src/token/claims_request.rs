//! The `claims` parameter (OpenID Connect Core section 5.5): single claims, asked for by name.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::json;
use crate::scope::Scope;
use crate::token::claims;

/// How long the parameter may be, in bytes.
const MAX_LENGTH: usize = 4096;
/// How many claims it may name for each place.
const MAX_CLAIMS: usize = 64;

/// Claims that a client may have by name, beside those that its scopes release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimsByName {
    /// From UserInfo.
    pub userinfo: BTreeSet<String>,
    /// In ID tokens.
    pub id_token: BTreeSet<String>,
}

impl ClaimsByName {
    /// Those that a scope releases.
    pub(crate) fn within(&self, scope: &Scope) -> Self {
        let is_released =
            |name: &&String| claims::scope_of(name).is_some_and(|behind| scope.contains(behind));
        let within = |names: &BTreeSet<String>| names.iter().filter(is_released).cloned().collect();
        Self { userinfo: within(&self.userinfo), id_token: within(&self.id_token) }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.userinfo.iter().chain(&self.id_token).map(String::as_str)
    }
}

/// What the parameter asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClaimsRequest {
    pub(crate) by_name: ClaimsByName,
    /// Whom the ID token must be about (section 5.5.1: `sub` with a value).
    pub(crate) subject: Option<String>,
    /// The context classes of which one must have been reached (section 5.5.1.1: an essential `acr`).
    pub(crate) essential_acr: Option<Vec<String>>,
    /// The context classes that are wished for.
    pub(crate) acr_values: Vec<String>,
}

impl ClaimsRequest {
    /// Reads the parameter. Members and claims that are not known are ignored (section 5.5).
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        const MALFORMED: &str =
            "the claims parameter is not as OpenID Connect Core section 5.5 has it";
        if text.len() > MAX_LENGTH {
            return Err("the claims parameter is too long");
        }
        let request = json::object(text.as_bytes()).ok_or(MALFORMED)?;
        let place = |name: &str| match request.get(name) {
            None | Some(Value::Null) => Ok(Map::new()),
            Some(Value::Object(claims)) if claims.len() <= MAX_CLAIMS => Ok(claims.clone()),
            Some(_) => Err(MALFORMED),
        };
        let (userinfo, id_token) = (place("userinfo")?, place("id_token")?);
        for wish in userinfo.values().chain(id_token.values()) {
            if !matches!(wish, Value::Null | Value::Object(_)) {
                return Err(MALFORMED);
            }
        }
        let value = |wish: &Value| wish.get("value").and_then(Value::as_str).map(str::to_owned);
        let mut subject = None;
        for wish in [&userinfo, &id_token].into_iter().filter_map(|place| place.get("sub")) {
            let named = match wish.get("value") {
                None => continue,
                Some(named) => named.as_str().ok_or(MALFORMED)?,
            };
            if subject.replace(named.to_owned()).is_some_and(|before| before != named) {
                return Err("the claims parameter names different people");
            }
        }
        let acr = id_token.get("acr");
        let acr_values: Vec<String> = acr
            .map(|acr| {
                let values = acr.get("values").and_then(Value::as_array).into_iter().flatten();
                let values = values.filter_map(Value::as_str).map(str::to_owned);
                values.chain(value(acr)).collect()
            })
            .unwrap_or_default();
        let is_essential = acr.and_then(|acr| acr.get("essential")) == Some(&Value::Bool(true));
        let names = |place: Map<String, Value>| place.into_iter().map(|(name, _)| name).collect();
        Ok(Self {
            by_name: ClaimsByName { userinfo: names(userinfo), id_token: names(id_token) },
            subject,
            essential_acr: (is_essential && !acr_values.is_empty()).then(|| acr_values.clone()),
            acr_values,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification_is_read() {
        let text = r#"{
            "userinfo": {"given_name": {"essential": true}, "nickname": null, "picture": null,
                "http://example.info/claims/groups": null},
            "id_token": {"auth_time": {"essential": true}, "sub": {"value": "248289761001"},
                "acr": {"essential": true, "values": ["urn:mace:incommon:iap:silver"]}}
        }"#;
        let request = ClaimsRequest::parse(text).unwrap();
        assert!(request.by_name.userinfo.contains("nickname"));
        assert!(request.by_name.id_token.contains("auth_time"));
        assert_eq!(request.subject.as_deref(), Some("248289761001"));
        assert_eq!(request.essential_acr.unwrap(), ["urn:mace:incommon:iap:silver"]);
    }

    #[test]
    fn a_wish_for_a_context_is_no_demand() {
        let wish = ClaimsRequest::parse(r#"{"id_token": {"acr": {"value": "1"}}}"#).unwrap();
        assert_eq!((wish.essential_acr, wish.acr_values), (None, vec!["1".to_owned()]));
    }

    #[test]
    fn what_is_malformed_or_too_large_is_refused() {
        let many: Vec<String> = (0..65).map(|n| format!("\"c{n}\": null")).collect();
        for bad in [
            "",
            "[]",
            "{\"userinfo\": 1}",
            "{\"userinfo\": {\"name\": true}}",
            "{\"id_token\": [\"name\"]}",
            &format!("{{\"userinfo\": {{{}}}}}", many.join(",")),
            &format!("{{\"x\": \"{}\"}}", "x".repeat(4096)),
        ] {
            assert!(ClaimsRequest::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(ClaimsRequest::parse("{\"other\": 1}").unwrap(), ClaimsRequest::default());
    }
}
