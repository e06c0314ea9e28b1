//! What can be registered.

use std::collections::HashSet;

use url::Url;

use super::redirect::{check_origin, check_redirect_uri};
use super::registry::{RegistryError, invalid};
use super::{AuthMethod, Client, ClientAuthentication, GrantType, SubjectType};
use crate::http::has_control;
use crate::keys::JwkSet;

const MAX_REDIRECT_URIS: usize = 20;
const MAX_ORIGINS: usize = 20;
const MAX_AUDIENCES: usize = 20;
const MAX_CONTACTS: usize = 10;
const MAX_JWKS: usize = 8192;
const MAX_TEXT: usize = 2048;
const MAX_LANGUAGES: usize = 20;

/// Judges the whole of a client, every time: what a change makes of it counts, not the change.
pub(super) fn check(client: &Client) -> Result<(), RegistryError> {
    let id = &client.client_id;
    if id.is_empty() || id.len() > 255 || !id.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
        return invalid("client_id", "use 1 to 255 printable ASCII characters, without a colon");
    }
    check_name(&client.client_name)?;
    if client.description.as_ref().is_some_and(|text| text.len() > MAX_TEXT) {
        return invalid("description", "it is longer than 2,048 bytes");
    }
    for (field, uris) in [
        ("redirect_uris", &client.redirect_uris),
        ("post_logout_redirect_uris", &client.post_logout_redirect_uris),
    ] {
        if uris.len() > MAX_REDIRECT_URIS {
            return invalid(field, "at most 20");
        }
        for uri in uris {
            if let Err(why) = check_redirect_uri(uri, client.native) {
                return invalid(field, format!("{uri:?}: {why}"));
            }
        }
    }
    let redirects = [GrantType::AuthorizationCode, GrantType::Implicit];
    if redirects.iter().any(|one| client.may(*one)) && client.redirect_uris.is_empty() {
        return invalid("redirect_uris", "the authorization_code grant needs at least one");
    }
    check_response_types(client)?;
    if client.may(GrantType::RefreshToken) && !client.may(GrantType::AuthorizationCode) {
        return invalid("grant_types", "refresh_token goes with authorization_code");
    }
    if client.may(GrantType::ClientCredentials) && client.is_public() {
        return invalid("grant_types", "client_credentials is for confidential clients");
    }
    if client.allowed_origins.len() > MAX_ORIGINS {
        return invalid("allowed_origins", "at most 20");
    }
    for origin in &client.allowed_origins {
        if let Err(why) = check_origin(origin) {
            return invalid("allowed_origins", format!("{origin:?}: {why}"));
        }
    }
    if let ClientAuthentication::Secret { method: Some(method), .. } = client.authentication
        && !matches!(method, AuthMethod::Basic | AuthMethod::Post | AuthMethod::SecretJwt)
    {
        return invalid("token_endpoint_auth_method", "it is not for clients with a secret");
    }
    check_keys(client)?;
    if client.authentication.is_by_shared_secret()
        && client.token_endpoint_auth_signing_alg.is_some()
    {
        return invalid("token_endpoint_auth_signing_alg", "client_secret_jwt is signed by HS256");
    }
    check_sector(client)?;
    check_logout(client)?;
    check_localized(client)?;
    for (field, names) in [("audiences", &client.audiences), ("resources", &client.resources)] {
        let sound = |name: &String| {
            (1..=MAX_TEXT).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic())
        };
        if names.len() > MAX_AUDIENCES || !names.iter().all(sound) {
            return invalid(field, "at most 20, of 1 to 2,048 printable ASCII characters each");
        }
    }
    if client.contacts.len() > MAX_CONTACTS
        || client.contacts.iter().any(|contact| contact.len() > 255 || has_control(contact))
    {
        return invalid("contacts", "at most 10, of at most 255 characters each");
    }
    for uri in &client.request_uris {
        // The fragment, which may be a hash of the content, is part of what is compared.
        if client.request_uris.len() > MAX_REDIRECT_URIS || uri.len() > 512 || !is_https(uri) {
            return invalid(
                "request_uris",
                "at most 20 https URLs, of at most 512 characters each",
            );
        }
    }
    let uris = [
        ("client_uri", &client.client_uri),
        ("initiate_login_uri", &client.initiate_login_uri),
        ("logo_uri", &client.logo_uri),
        ("policy_uri", &client.policy_uri),
        ("tos_uri", &client.tos_uri),
    ];
    for (field, uri) in uris {
        check_url(field, uri.as_ref())?;
    }
    for (field, lifetime) in [
        ("access_token_lifetime", client.access_token_lifetime),
        ("refresh_token_lifetime", client.refresh_token_lifetime),
        ("id_token_lifetime", client.id_token_lifetime),
    ] {
        if lifetime.is_some_and(|lifetime| lifetime.as_secs() == 0) {
            return invalid(field, "use at least one second");
        }
    }
    Ok(())
}

/// Response types and grant types go together (RFC 7591 section 2.1).
fn check_response_types(client: &Client) -> Result<(), RegistryError> {
    let types = &client.response_types;
    let distinct: HashSet<_> = types.iter().collect();
    if distinct.len() < types.len() {
        return invalid("response_types", "one stands twice");
    }
    if let Some(one) = types.iter().find(|one| one.is_implicit() && !client.may_get(**one)) {
        let needed: Vec<_> = one.grant_types().map(GrantType::as_str).collect();
        return invalid(
            "grant_types",
            format!("{:?} needs {}", one.as_str(), needed.join(" and ")),
        );
    }
    // Tokens must not travel in the clear (OpenID Connect Dynamic Client Registration section 2, application_type).
    let is_implicit = types.iter().any(|one| one.is_implicit());
    let in_the_clear = |uri: &&String| !uri.starts_with("https://");
    if let Some(uri) = client.redirect_uris.iter().find(in_the_clear)
        && is_implicit
        && !client.native
    {
        let why = format!("{uri:?}: a web application that gets tokens there must use https");
        return invalid("redirect_uris", why);
    }
    for (grant_type, has_one) in [
        (GrantType::AuthorizationCode, types.iter().any(|one| one.has_code())),
        (GrantType::Implicit, is_implicit),
    ] {
        if client.may(grant_type) && !has_one {
            return invalid("response_types", format!("none of them is for {grant_type}"));
        }
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), RegistryError> {
    if name.trim().is_empty() || name.chars().count() > 200 {
        return invalid("client_name", "use 1 to 200 characters");
    }
    if name.chars().any(is_deceptive) {
        return invalid("client_name", "control, direction and invisible characters are refused");
    }
    Ok(())
}

/// Pairwise identifiers need to know which clients share them.
fn check_sector(client: &Client) -> Result<(), RegistryError> {
    check_url("sector_identifier_uri", client.sector_identifier_uri.as_ref())?;
    if client.subject_type == SubjectType::Pairwise && client.sector().is_none() {
        let why = "it has redirect URIs of several hosts: it needs a sector_identifier_uri";
        return invalid("subject_type", why);
    }
    Ok(())
}

/// Where it is told that a session has ended.
fn check_logout(client: &Client) -> Result<(), RegistryError> {
    for (field, uri) in [
        ("backchannel_logout_uri", &client.backchannel_logout_uri),
        ("frontchannel_logout_uri", &client.frontchannel_logout_uri),
    ] {
        if let Some(Err(why)) = uri.as_ref().map(|uri| check_redirect_uri(uri, false)) {
            return invalid(field, why);
        }
    }
    // Signing out must not open pages of others (OpenID Connect Front-Channel Logout section 2).
    let origin = |uri: &String| Url::parse(uri).ok().map(|url| url.origin());
    if let Some(page) = &client.frontchannel_logout_uri
        && !client.redirect_uris.iter().any(|uri| origin(uri) == origin(page))
    {
        return invalid("frontchannel_logout_uri", "it must be of the origin of a redirect URI");
    }
    Ok(())
}

fn check_localized(client: &Client) -> Result<(), RegistryError> {
    if client.localized.len() > MAX_LANGUAGES {
        return invalid("client_name", "at most 20 languages");
    }
    let mut seen = HashSet::new();
    for (tag, localized) in &client.localized {
        let is_tag = (1..=35).contains(&tag.len())
            && tag.split('-').all(|part| {
                (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
            });
        if !is_tag || !seen.insert(tag.to_ascii_lowercase()) {
            return invalid("client_name", "a language is no BCP 47 tag, or stands twice");
        }
        if let Some(name) = &localized.client_name {
            check_name(name)?;
        }
        for (field, uri) in [
            ("client_uri", &localized.client_uri),
            ("logo_uri", &localized.logo_uri),
            ("policy_uri", &localized.policy_uri),
            ("tos_uri", &localized.tos_uri),
        ] {
            check_url(field, uri.as_ref())?;
        }
    }
    Ok(())
}

fn check_url(field: &'static str, uri: Option<&String>) -> Result<(), RegistryError> {
    match uri.is_some_and(|uri| uri.len() > MAX_TEXT || !is_https(uri)) {
        true => invalid(field, "use an https URL"),
        false => Ok(()),
    }
}

/// The keys that it signs with, and what needs them.
fn check_keys(client: &Client) -> Result<(), RegistryError> {
    if client.jwks.is_some() && client.jwks_uri.is_some() {
        return invalid("jwks", "either jwks or jwks_uri, not both (RFC 7591 section 2)");
    }
    // It is kept as it came, so it is bounded as everything that is kept.
    if client.jwks.as_ref().is_some_and(|jwks| jwks.len() > MAX_JWKS) {
        return invalid("jwks", "at most 8,192 bytes; more keys can be at a jwks_uri");
    }
    if let Some(jwks) = &client.jwks
        && let Err(why) = JwkSet::from_json(jwks.as_bytes())
    {
        return invalid("jwks", why.to_string());
    }
    check_url("jwks_uri", client.jwks_uri.as_ref())?;
    let has_keys = client.jwks.is_some() || client.jwks_uri.is_some();
    if client.authentication == ClientAuthentication::PrivateKeyJwt && !has_keys {
        return invalid("jwks", "private_key_jwt needs the client's public keys: jwks or jwks_uri");
    }
    if client.require_signed_request_object && !has_keys {
        return invalid("jwks", "signed request objects need the client's public keys");
    }
    Ok(())
}

/// An https URL with a host, without credentials.
fn is_https(uri: &str) -> bool {
    let url = Url::parse(uri).ok().filter(|url| uri.starts_with("https://") && url.has_host());
    url.is_some_and(|url| url.username().is_empty() && url.password().is_none())
}

/// Characters that make a name look like another: controls, line breaks, direction overrides, and those that show nothing.
/// A person decides by the name they see.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}
