//! Proves that the tests can fail: applies one small wrong change at a time to a copy of the
//! sources, and demands that some test turns red.
//!
//! A change that leaves every test green is a promise that nobody checks.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::{Done, root};

/// One wrong change.
struct Sabotage {
    name: &'static str,
    file: &'static str,
    /// Stands exactly once in the file.
    from: &'static str,
    to: &'static str,
    /// The tests that must notice. Later ones run when the earlier ones do not.
    tests: Tests,
}

type Tests = &'static [&'static [&'static str]];

/// But for the thousand issuers, who take longer than all else.
const CORE: Tests = &[
    &["-p", "grantor", "--test", "spec"],
    &["-p", "grantor", "--lib", "--", "--skip", "thousand"],
];
/// The tests of one specification, and all others should those not notice.
macro_rules! spec {
    ($module:literal) => {
        &[&["-p", "grantor", "--test", "spec", $module], &["-p", "grantor", "--test", "spec"]]
    };
}
const IMPLICIT: Tests = spec!("oidc_implicit::");
const SESSION_END: Tests = spec!("oidc_session_end::");
const SESSION_MANAGEMENT: Tests = spec!("oidc_session_management::");
const PAIRWISE: Tests = spec!("oidc_pairwise::");
const ASSERTIONS: Tests = spec!("rfc7523::");
const REGISTRATION: Tests = spec!("rfc7591::");
const SQLITE: Tests = &[&["-p", "grantor-sqlite"]];
const AXUM: Tests = &[&["-p", "grantor-axum", "--test", "serve"]];
const ADAPTERS: Tests = &[&["-p", "grantor-adapter-tests"]];
const SLED: Tests = &[&["-p", "grantor-sled"]];
const FETCH: Tests = &[&["-p", "grantor-fetch"]];
/// The server's tests take a minute; each change is known to a part of them.
macro_rules! server {
    ($part:literal) => {
        &[&["-p", "grantor-server", "--test", "server", $part]]
    };
}
const PAGES: Tests = server!("pages::");
const ADMIN_API: Tests = server!("admin_api::");
const COMMAND_LINE: Tests = server!("command_line::");
const GUIDE: Tests = server!("guide::");
const SESSIONS: Tests = server!("sessions::");
const AUDIT: Tests = server!("audit::");
const LOAD: Tests = &[&["-p", "grantor-tokio"]];
const LOGOUT: Tests = server!("logout::");
const CONSOLE: Tests = server!("console::");
const USERS_API: Tests = server!("users_api::");
const LOGIN_UI: Tests = server!("login_ui::");
const MOVING: Tests = server!("sled::");
const CERTIFIED_SESSIONS: Tests =
    &[&["-p", "grantor-server", "--test", "certification", "basic_session"]];
const LIMITS: Tests = &[&["-p", "grantor-server", "--bin", "grantor-server", "limits::"]];
const PROXY: Tests = &[&["-p", "grantor-server", "--bin", "grantor-server", "proxy::"]];

const fn core(
    name: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
) -> Sabotage {
    Sabotage { name, file, from, to, tests: CORE }
}

const ALL: &[Sabotage] = &[
    core("drop the PKCE check", "core/src/grant.rs", "_ => Err(Field::Verifier),", "_ => Ok(()),"),
    core(
        "skip the client comparison when a code is redeemed",
        "core/src/grant.rs",
        "if client != self.client_id {\n            return (None, Outcome::Mismatch(Field::Client));\n        }\n        let bindings",
        "let bindings",
    ),
    core(
        "do not compare the redirect URI at the token endpoint",
        "core/src/grant.rs",
        "_ => Err(Field::RedirectUri),",
        "_ => Ok(()),",
    ),
    core(
        "let codes live for ever",
        "core/src/grant.rs",
        "State::Approved if now >= self.code_expires_at",
        "State::Approved if now < Time::EPOCH",
    ),
    core(
        "let a code live one moment too long",
        "core/src/grant.rs",
        "State::Approved if now >= self.code_expires_at",
        "State::Approved if now > self.code_expires_at",
    ),
    core(
        "do not revoke when a code is reused",
        "core/src/grant.rs",
        "Ok(()) => self.reused(),",
        "Ok(()) => (None, Outcome::Spent),",
    ),
    core(
        "revoke for anybody who presents a spent code",
        "core/src/grant.rs",
        "Err(_) => (None, Outcome::Spent),",
        "Err(_) => self.reused(),",
    ),
    core(
        "accept an old refresh token for ever",
        "core/src/grant.rs",
        "now.since(at).max(at.since(now)) < window",
        "now.since(at).max(at.since(now)) < window || window > Duration::ZERO",
    ),
    core(
        "write again at a retry",
        "core/src/grant.rs",
        "return (None, Outcome::Granted(Box::new(self.clone())));",
        "return self.advanced(generation + 1, now);",
    ),
    core(
        "rotate again in the middle of a burst",
        "core/src/grant.rs",
        "rotate && from == generation && generation > 1 && within",
        "rotate && from == generation && generation == 0 && within",
    ),
    core(
        "grant more scope at a refresh than was granted",
        "core/src/grant.rs",
        "if wish.scope.is_some_and(|scope| !scope.is_within(&self.scope)) {",
        "if wish.scope.is_some_and(|scope| scope.is_empty()) {",
    ),
    core(
        "let a stranger revoke",
        "core/src/grant.rs",
        "if client.is_some_and(|client| client != self.client_id) {",
        "if client.is_some_and(|client| client.is_empty()) {",
    ),
    core(
        "match redirect URIs by prefix",
        "core/src/client/redirect.rs",
        "registered == named ||",
        "named.starts_with(registered.as_str()) ||",
    ),
    core(
        "believe public clients that need no PKCE",
        "core/src/client/mod.rs",
        "self.require_pkce || self.is_public()",
        "self.require_pkce",
    ),
    core(
        "accept any PKCE method",
        "core/src/endpoint/authorize.rs",
        "(Some(challenge), Some(\"S256\"))",
        "(Some(challenge), Some(_))",
    ),
    core(
        "accept any client secret",
        "core/src/client/authentication.rs",
        "matches && right_way",
        "right_way || matches",
    ),
    core(
        "let inactive clients authenticate",
        "core/src/client/authentication.rs",
        "(true, false) => Err(Misdeed::ClientInactive { basic }),",
        "(true, false) => Ok(AuthenticatedClient(client)),",
    ),
    core(
        "forget CORS on errors",
        "core/src/endpoint/cors.rs",
        "(Some(origin), Page::Allowed) => response",
        "(Some(origin), Page::Allowed) if response.status < 400 => response",
    ),
    core(
        "let every origin read",
        "core/src/endpoint/cors.rs",
        "Some(client) => client.allows_origin(origin).into(),",
        "Some(_) => Page::Allowed,",
    ),
    core(
        "accept any type of token as an access token",
        "core/src/token/jwt.rs",
        "if jws.typ() != Some(typ) {",
        "if typ.is_empty() {",
    ),
    core(
        "accept expired tokens",
        "core/src/token/jwt.rs",
        "Some(exp) if now < Time::from_secs(exp) => Ok(claims),",
        "Some(exp) if Time::EPOCH < Time::from_secs(exp).max(now) => Ok(claims),",
    ),
    core(
        "accept tokens without a right signature",
        "core/src/token/jwt.rs",
        "if !candidates.iter().any(is_of) {",
        "if candidates.iter().all(is_of) && self.signature.is_empty() {",
    ),
    core(
        "accept access tokens of revoked grants",
        "core/src/token/access_token.rs",
        "g.state != State::Revoked && now < g.expires_at",
        "now < g.expires_at",
    ),
    core(
        "let a host's claim replace ours",
        "core/src/token/access_token.rs",
        "extra.into_iter().filter(|(name, _)| !claims::is_reserved(name)).collect();\n",
        "extra.clone().into_iter().collect();\n    let after = extra;\n",
    ),
    core(
        "let a token request ask for a resource that was not granted",
        "core/src/grant.rs",
        "self.resources.is_empty() || self.resources.contains(resource)",
        "self.resources.contains(resource) || !self.client_id.is_empty()",
    ),
    core(
        "let a client ask for a resource of others",
        "core/src/token/audience.rs",
        "if !available.contains(&resource) {",
        "if available.is_empty() {",
    ),
    core(
        "forget for which resources was asked",
        "core/src/token/audience.rs",
        "[granted, asked].into_iter()",
        "[granted, granted].into_iter()",
    ),
    core(
        "forget which resources were granted",
        "core/src/interaction/mod.rs",
        "resources: request.resources.clone(),",
        "resources: Vec::new(),",
    ),
    core(
        "accept credentials without a right tag",
        "core/src/token/credential.rs",
        "!secret.verifies(kind.prefix(), issuer, &[sealed], tag)",
        "tag.is_empty()",
    ),
    core(
        "accept tickets without a right tag",
        "core/src/interaction/ticket.rs",
        "!ring.secret(*key_id)?.verifies(purpose.as_str(), server.issuer(), &[sealed], tag)",
        "tag.is_empty()",
    ),
    core(
        "grant what was not asked for",
        "core/src/interaction/mod.rs",
        "None => requested.intersection(approved),",
        "None => requested.union(approved),",
    ),
    core(
        "ignore prompt=login",
        "core/src/interaction/mod.rs",
        "if self.request.prompt.contains(&Prompt::Login) {",
        "if self.request.prompt.len() > 9 {",
    ),
    core(
        "ignore the barriers",
        "core/src/server/still_allowed.rs",
        "SubjectStatus::Active { valid_from } if since < valid_from => {",
        "SubjectStatus::Active { valid_from } if valid_from < Time::EPOCH => {",
    ),
    core(
        "leave iss out of authorization responses",
        "core/src/endpoint/authorize.rs",
        "parameters.iter().copied().chain(state).chain([iss])",
        "parameters.iter().copied().chain(state).chain([iss].into_iter().skip(1))",
    ),
    core(
        "describe foreign tokens at introspection",
        "core/src/endpoint/introspect.rs",
        "if !own && !served {",
        "if own && !served && token.scope.is_empty() {",
    ),
    core(
        "let public clients introspect",
        "core/src/endpoint/introspect.rs",
        "if client.is_public() {",
        "if client.client_id.is_empty() {",
    ),
    core(
        "sign with a key as soon as it is published",
        "core/src/keys/ring.rs",
        ".filter(|key| key.algorithm == algorithm && key.active_from <= now)",
        ".filter(|key| key.algorithm == algorithm && (key.active_from <= now || now > Time::EPOCH))",
    ),
    core(
        "accept repeated parameters",
        "core/src/http.rs",
        "if !self.repeated.is_empty() {\n            return Err(Misdeed::Repeated);",
        "if self.repeated.len() > 60 {\n            return Err(Misdeed::Repeated);",
    ),
    core(
        "let the clock run backwards",
        "core/src/env.rs",
        "Time(self.0.fetch_max(now, Ordering::Relaxed).max(now))",
        "Time(self.0.fetch_max(now, Ordering::Relaxed).min(now).max(now))",
    ),
    core(
        "let caches keep token answers",
        "core/src/http.rs",
        "self.header(\"cache-control\", \"no-store\").header(\"pragma\", \"no-cache\")",
        "self.header(\"pragma\", \"no-cache\")",
    ),
    core(
        "accept an assertion twice",
        "core/src/client/assertion.rs",
        "Inserted::Existing(_) => Err(Misdeed::ClientAssertion(\"it was used before\")),",
        "Inserted::Existing(_) => Ok(()),",
    ),
    core(
        "accept an assertion that is meant for another server too",
        "core/src/client/assertion.rs",
        "!audiences.is_empty() && audiences.iter().all(ours)",
        "audiences.iter().any(ours)",
    ),
    core(
        "accept an assertion for ever",
        "core/src/client/assertion.rs",
        "time(\"exp\")?.filter(|at| *at > call.now);",
        "time(\"exp\")?.filter(|at| *at > Time::EPOCH);",
    ),
    core(
        "fetch a request object from wherever the request says",
        "core/src/endpoint/request_object.rs",
        "if !client.request_uris.iter().any(|registered| registered == uri) {",
        "if client.request_uris.is_empty() {",
    ),
    core(
        "take a client assertion for a request",
        "core/src/endpoint/request_object.rs",
        "if text(\"sub\") == Some(&client.client_id) {",
        "if text(\"sub\") == Some(\"\") {",
    ),
    core(
        "let the outer request speak for a client that must sign",
        "core/src/endpoint/request_object.rs",
        "None if client.require_signed_request_object => continue,",
        "None if outer.any_repeated() => continue,",
    ),
    core(
        "release a claim by name beyond the client's registration",
        "core/src/endpoint/authorize.rs",
        "let by_name = claims.by_name.within(&client.scope);",
        "let by_name = claims.by_name.clone();",
    ),
    core(
        "grant a claim that the person refused",
        "core/src/interaction/mod.rs",
        "let claims = request.claims.within(scope);",
        "let claims = request.claims.clone();",
    ),
    core(
        "write what came in into the form that is posted",
        "core/src/endpoint/response_mode.rs",
        "            '\"' => escaped.push_str(\"&quot;\"),\n",
        "",
    ),
    core(
        "let a session of any context class do",
        "core/src/interaction/mod.rs",
        "if !self.request.essential_acr.as_ref().is_none_or(reached) {",
        "if self.request.essential_acr.is_some() && session.id.is_empty() {",
    ),
    core(
        "keep retired keys until the next rotation",
        "core/src/keys/mod.rs",
        "if ring.has_old(policy, now) {",
        "if ring.has_old(policy, Time::EPOCH) {",
    ),
    core(
        "let any token manage a client",
        "core/src/endpoint/register.rs",
        "let is_right = digest.unwrap_or(&decoy).matches(&token) && digest.is_some();",
        "let is_right = !decoy.matches(&token) && digest.is_some();",
    ),
    core(
        "let a client that registers itself skip consent on a change",
        "core/src/endpoint/register.rs",
        "require_consent: registered.require_consent,",
        "require_consent: secret.is_none(),",
    ),
    core(
        "give those who register themselves every scope of the server",
        "core/src/registration.rs",
        "    client.scope = client.scope.intersection(scope);\n",
        "    let _ = scope;\n",
    ),
    core(
        "register without an initial access token",
        "core/src/registration.rs",
        "Ok(match known || request.registered.is_some() {",
        "Ok(match known || request.initial_access_token.is_none() {",
    ),
    core(
        "choose the id of a client that registers itself",
        "core/src/endpoint/register.rs",
        "metadata::read(&wanted, client_id.expose(), known)",
        "metadata::read(&wanted, wanted.get(\"client_id\").and_then(Value::as_str).unwrap_or(client_id.expose()), known)",
    ),
    core(
        "give machine tokens to clients that register themselves",
        "core/src/registration.rs",
        "match client.may(GrantType::ClientCredentials) {",
        "match client.grant_types.is_empty() && client.may(GrantType::ClientCredentials) {",
    ),
    core(
        "let a client take back what an operator took from it",
        "core/src/endpoint/register.rs",
        "client.scope = client.scope.intersection(&registered.scope);",
        "let _ = &registered.scope;",
    ),
    core(
        "keep consents for a client whose answers go elsewhere",
        "core/src/endpoint/register.rs",
        "false => just_after(now),",
        "false => registered.valid_from.min(just_after(now)),",
    ),
    core(
        "forget an assertion while another process may still take it",
        "core/src/client/assertion.rs",
        "let until = expires_at.plus(CLOCK_DIFFERENCE);",
        "let until = expires_at.plus(CLOCK_DIFFERENCE.min(Duration::ZERO));",
    ),
    core(
        "give claims by name that the client has lost",
        "core/src/endpoint/userinfo.rs",
        "&claims.within(&client.scope).userinfo)",
        "&claims.userinfo)",
    ),
    core(
        "store the consent of a refused insertion",
        "core/src/store/memory.rs",
        "return Ok(Inserted::Existing(Box::new(existing.clone())));",
        "let existing = existing.clone();\n            if let Some(next) = remember {\n                let key = (next.issuer.clone(), next.subject.clone(), next.client_id.clone());\n                tables.remembered.insert(key, next);\n            }\n            return Ok(Inserted::Existing(Box::new(existing)));",
    ),
    Sabotage {
        name: "send tokens in a query",
        file: "core/src/endpoint/response_mode.rs",
        from: "(None | Some(Self::Query), true) => Self::Fragment,",
        to: "(None | Some(Self::Query), true) => Self::Query,",
        tests: IMPLICIT,
    },
    Sabotage {
        name: "give an ID token through the browser without a nonce",
        file: "core/src/endpoint/authorize.rs",
        from: "if response_type.has_id_token() && nonce.is_none() {",
        to: "if response_type.has_id_token() && nonce.is_none() && !response_type.is_implicit() {",
        tests: IMPLICIT,
    },
    Sabotage {
        name: "give tokens through the browser though the policy does not let it",
        file: "core/src/endpoint/authorize.rs",
        from: "(Some(_), Some(known)) if server.policy().implicit || !known.is_implicit() => known,",
        to: "(Some(_), Some(known)) => known,",
        tests: spec!("rfc6749::"),
    },
    Sabotage {
        name: "give a client a response type that it is not registered for",
        file: "core/src/client/mod.rs",
        from: "self.response_types.contains(&response_type)\n            && ",
        to: "",
        tests: IMPLICIT,
    },
    Sabotage {
        name: "leave the code out of the ID token that comes with it",
        file: "core/src/token/id_token.rs",
        from: "(\"c_hash\", code.map(hash)),",
        to: "(\"c_hash\", code.filter(|_| false).map(hash)),",
        tests: IMPLICIT,
    },
    Sabotage {
        name: "give an ID token to a client that may not have openid",
        file: "core/src/endpoint/authorize.rs",
        from: "!granted.is_empty() && has_openid",
        to: "!granted.is_empty() && (has_openid || !granted.is_empty())",
        tests: IMPLICIT,
    },
    Sabotage {
        name: "register response types without their grant types",
        file: "core/src/client/check.rs",
        from: "one.is_implicit() && !client.may_get(**one)",
        to: "one.is_implicit() && client.grant_types.is_empty() && !client.may_get(**one)",
        tests: IMPLICIT,
    },
    Sabotage {
        name: "tell a pairwise client the host's own identifier",
        file: "core/src/client/sector.rs",
        from: "self.pseudonym(\"subject\", client, subject)",
        to: "let _ = client;\n        Cow::Borrowed(subject)",
        tests: PAIRWISE,
    },
    Sabotage {
        name: "let pairwise clients compare sessions",
        file: "core/src/client/sector.rs",
        from: "self.pseudonym(\"session\", client, sid)",
        to: "{\n            let _ = client;\n            Cow::Borrowed(sid)\n        }",
        tests: PAIRWISE,
    },
    Sabotage {
        name: "let everybody join a sector",
        file: "core/src/client/sector.rs",
        from: "find(|uri| !listed.contains(*uri))",
        to: "find(|uri| uri.is_empty() && !listed.contains(*uri))",
        tests: PAIRWISE,
    },
    Sabotage {
        name: "join applications on people's own machines by their loopback address",
        file: "core/src/client/sector.rs",
        from: "(0 | 1, None) => Some(self.shared_with_nobody()),",
        to: "(0 | 1, None) => Some(String::new()),",
        tests: PAIRWISE,
    },
    Sabotage {
        name: "let grants outlive the names that they were made under",
        file: "core/src/client/registry.rs",
        from: "if !client.active || sees_others {",
        to: "if !client.active || sees_others && client.client_id.is_empty() {",
        tests: PAIRWISE,
    },
    Sabotage {
        name: "make people strangers when all keys are replaced",
        file: "core/src/keys/ring.rs",
        from: "ring.salt = self.salt.clone().or(ring.salt);",
        to: "",
        tests: PAIRWISE,
    },
    Sabotage {
        name: "take a hint that another client got",
        file: "core/src/endpoint/authorize.rs",
        from: "if claims.get(\"aud\").and_then(Value::as_str) != Some(&client.client_id) {",
        to: "if claims.get(\"aud\").and_then(Value::as_str).is_none() {",
        tests: PAIRWISE,
    },
    Sabotage {
        name: "sign somebody else out without a question",
        file: "core/src/logout.rs",
        from: "|| *subject != server.subject_for(client, &session.subject)",
        to: "|| *subject != *subject",
        tests: PAIRWISE,
    },
    Sabotage {
        name: "tell whoever introspects a name that they do not know",
        file: "core/src/endpoint/introspect.rs",
        from: "body.insert(\"sub\".into(), call.server.subject_for(client, subject).into());",
        to: "body.insert(\"sub\".into(), subject.as_str().into());",
        tests: PAIRWISE,
    },
    Sabotage {
        name: "take any algorithm for one with the secret",
        file: "core/src/token/jwt.rs",
        from: "if self.text(\"alg\") != Some(SHARED) {",
        to: "if self.text(\"alg\").is_none() {",
        tests: ASSERTIONS,
    },
    Sabotage {
        name: "open a sealed secret for any client",
        file: "core/src/keys/mod.rs",
        from: "format!(\"grantor client secret 1\\0{}\\0{client_id}\", self.issuer)",
        to: "format!(\"grantor client secret 1\\0{}\\0{}\", self.issuer, client_id.is_empty())",
        tests: ASSERTIONS,
    },
    Sabotage {
        name: "take a secret that is sent from a client that signs with it",
        file: "core/src/client/authentication.rs",
        from: "let right_way = method.is_none_or(|method| method == used);",
        to: "let right_way = method.is_none_or(|method| method == used || method == AuthMethod::SecretJwt);",
        tests: ASSERTIONS,
    },
    Sabotage {
        name: "take the last of two members of a JWT",
        file: "core/src/json.rs",
        from: "if members.insert(name, value).is_some() {",
        to: "if members.insert(name, value).is_some() && members.is_empty() {",
        tests: ASSERTIONS,
    },
    Sabotage {
        name: "show a deceptive name in another language",
        file: "core/src/client/check.rs",
        from: "        if let Some(name) = &localized.client_name {\n            check_name(name)?;",
        to: "        if let Some(name) = localized.client_name.as_ref().filter(|name| name.is_empty()) {\n            check_name(name)?;",
        tests: REGISTRATION,
    },
    Sabotage {
        name: "tell nobody that a session has ended",
        file: "core/src/session_end.rs",
        from: "if let Some(outbox) = self.outbox() {",
        to: "if let Some(outbox) = self.outbox().filter(|_| messages.is_empty()) {",
        tests: SESSION_END,
    },
    Sabotage {
        name: "tell the applications of other sessions",
        file: "core/src/session_end.rs",
        from: "let of = Owner::Session(self.issuer().clone(), session.sid(self));\n        self.end(",
        to: "let of = Owner::Subject(self.issuer().clone(), session.subject.clone());\n        self.end(",
        tests: SESSION_END,
    },
    Sabotage {
        name: "tell an application that a person has refused",
        file: "core/src/session_end.rs",
        from: "grant.sid.clone().filter(|_| !grant.scope.is_empty())",
        to: "grant.sid.clone()",
        tests: SESSION_END,
    },
    Sabotage {
        name: "tell of a session that has ended before",
        file: "core/src/session_end.rs",
        from: "Ok(told.is_none().then_some(",
        to: "Ok((told.is_none() || told.is_some()).then_some(",
        tests: SESSION_END,
    },
    Sabotage {
        name: "give a session state that holds for every origin",
        file: "core/src/browser_state.rs",
        from: "format!(\"{} {origin} {state} {salt}\", client.client_id)",
        to: "format!(\"{} {} {state} {salt}\", client.client_id, origin.len())",
        tests: SESSION_MANAGEMENT,
    },
    Sabotage {
        name: "let a frame of another site sign a browser out",
        file: "core/src/browser_state.rs",
        from: "let cookie = known.map(|(state, lives)| self.cookie(&state, lives));",
        to: "let cookie = Some(known.map_or(self.cookie(NOBODY, None), |(state, lives)| self.cookie(&state, lives)));",
        tests: SESSION_MANAGEMENT,
    },
    Sabotage {
        name: "show scripts a name of the session that applications know",
        file: "core/src/browser_state.rs",
        from: "self.ring().pseudonym(\"browser state\", self.issuer(), \"\", &session.id)",
        to: "session.sid(self)",
        tests: SESSION_MANAGEMENT,
    },
    Sabotage {
        name: "leave the browser's state as it was when a person signs out",
        file: "examples/server/src/replies.rs",
        from: "for cookie in [Some(own), device, shared].into_iter().flatten() {",
        to: "for cookie in [Some(own), device, shared.filter(|_| session.is_some())].into_iter().flatten() {",
        tests: CERTIFIED_SESSIONS,
    },
    Sabotage {
        name: "say nothing when a store fails while applications are told",
        file: "core/src/backchannel.rs",
        from: "if let Err(error) = &done {",
        to: "if let Some(error) = done.as_ref().err().filter(|_| self.outbox().is_none()) {",
        tests: SESSION_END,
    },
    Sabotage {
        name: "leave in tokens what was taken from their client",
        file: "core/src/token/access_token.rs",
        from: "    if scope != token.scope {\n",
        to: "    if scope.is_empty() {\n",
        tests: spec!("lifecycle::"),
    },
    Sabotage {
        name: "take any ticket for a ticket to sign out",
        file: "core/src/logout.rs",
        from: "Ticket::open(self, Purpose::Logout, text, now)",
        to: "Ticket::open(self, Purpose::Authorization, text, now)",
        tests: spec!("confusion::"),
    },
    Sabotage {
        name: "leave nobody to administer an organisation",
        file: "examples/server/src/accounts.rs",
        from: "if loses && !others_administer(connection, &user)? {",
        to: "if loses && user.id.is_empty() {",
        tests: USERS_API,
    },
    Sabotage {
        name: "let a form token of one page pass on all others",
        file: "examples/server/src/session.rs",
        from: "        hash.update(purpose.as_bytes());\n",
        to: "        hash.update(purpose.get(..0).unwrap_or_default().as_bytes());\n",
        tests: server!("hostile_pages::"),
    },
    Sabotage {
        name: "take the first of two tokens of a form",
        file: "core/src/endpoint/userinfo.rs",
        from: "Ok(form) if form.is_repeated(NAME) => return Err(Misdeed::TokenTransport),",
        to: "Ok(form) if form.is_repeated(NAME) => None,",
        tests: spec!("rfc6750::"),
    },
    Sabotage {
        name: "call a refresh token alive that its client can do nothing with",
        file: "core/src/endpoint/introspect.rs",
        from: "Some(owner) if owner.may(GrantType::RefreshToken) => grant.scope",
        to: "Some(owner) => grant.scope",
        tests: spec!("rfc7662::"),
    },
    Sabotage {
        name: "take a person for the application of the same name",
        file: "core/src/token/access_token.rs",
        from: "Some(Id::Grant(_)) => false,",
        to: "Some(Id::Grant(_)) => claims.get(\"sub\") == claims.get(\"client_id\"),",
        tests: spec!("rfc9068::"),
    },
    Sabotage {
        name: "take a client that lost its assertion for a public one",
        file: "core/src/client/authentication.rs",
        from: "if parameters.get(\"client_assertion_type\").is_some() && secret.is_none() {",
        to: "if parameters.get(\"client_assertion_type\").is_some() && secret.is_some() {",
        tests: ASSERTIONS,
    },
    Sabotage {
        name: "register from a body that is encoded",
        file: "core/src/endpoint/register.rs",
        from: "if call.request.all(\"content-encoding\").next().is_some() {",
        to: "if call.request.all(\"content-encoding\").nth(1).is_some() {",
        tests: REGISTRATION,
    },
    Sabotage {
        name: "let a stranger's link end a session whose time has run out",
        file: "examples/server/src/sign_out.rs",
        from: "match sessions.iter().find(asks) {",
        to: "match sessions.iter().find(asks).filter(|_| logout.is_some()) {",
        tests: PAGES,
    },
    Sabotage {
        name: "take a decision from a page of another person, or of another request",
        file: "examples/server/src/sign_in.rs",
        from: "if !session.is_csrf_token(&decision_on(&interaction), &form.csrf) {",
        to: "if form.csrf.is_empty() {",
        tests: PAGES,
    },
    Sabotage {
        name: "sign nobody out who has two session cookies",
        file: "examples/server/src/session.rs",
        from: "for token in cookies(headers).take(MAX_NAMED) {",
        to: "for token in cookie(headers).into_iter().take(MAX_NAMED) {",
        tests: PAGES,
    },
    Sabotage {
        name: "end what was meant to outlive the session",
        file: "core/src/session_end.rs",
        from: "EndsWithSession::Online => !grant.scope.contains(\"offline_access\"),",
        to: "EndsWithSession::Online => true,",
        tests: SESSION_END,
    },
    Sabotage {
        name: "give a message up at its first failure",
        file: "core/src/backchannel.rs",
        from: "let next = next_try(message, server.now());",
        to: "let next = next_try(message, server.now()).filter(|_| message.attempts > 1);",
        tests: SESSION_END,
    },
    Sabotage {
        name: "tell again what was told",
        file: "core/src/backchannel.rs",
        from: "                outbox.settle(&message.id, None).await?;\n                server.emit(&Event::LogoutDelivered",
        to: "                server.emit(&Event::LogoutDelivered",
        tests: SESSION_END,
    },
    Sabotage {
        name: "let a logout token pass for an ID token",
        file: "core/src/backchannel.rs",
        from: "const TYP: &str = \"logout+jwt\";",
        to: "const TYP: &str = \"JWT\";",
        tests: SESSION_END,
    },
    Sabotage {
        name: "call a client that was switched off to tell it",
        file: "core/src/backchannel.rs",
        from: "client.filter(|client| client.active);",
        to: "client.filter(|client| client.active || !client.client_id.is_empty());",
        tests: SESSION_END,
    },
    Sabotage {
        name: "forget who is in a session when their tokens have ended",
        file: "core/src/interaction/mod.rs",
        from: "self.session.expires_at.filter(|_| client.is_told_of_logout());",
        to: "self.session.expires_at.filter(|_| client.client_id.is_empty());",
        tests: SESSION_END,
    },
    Sabotage {
        name: "open pages of others when a person signs out",
        file: "core/src/client/check.rs",
        from: "origin(uri) == origin(page)",
        to: "origin(uri).is_some() && origin(page).is_some()",
        tests: SESSION_END,
    },
    Sabotage {
        name: "join a sector that can be answered elsewhere too",
        file: "core/src/client/sector.rs",
        from: "(1, Some(host)) => Some(host),\n            _ => None,",
        to: "(1, Some(host)) => Some(host),\n            _ => web(self.redirect_uris.first()?).and_then(host),",
        tests: PAIRWISE,
    },
    Sabotage {
        name: "give tokens of the front channel to a barrier that has moved",
        file: "core/src/interaction/answer.rs",
        from: "if allowed.is_err() || !request",
        to: "if !request",
        tests: IMPLICIT,
    },
    Sabotage {
        name: "keep a secret that does not sign any more",
        file: "core/src/client/registry.rs",
        from: "secrets.iter_mut().for_each(|entry| entry.sealed = None);",
        to: "",
        tests: ASSERTIONS,
    },
    Sabotage {
        name: "let a host add to a page's policy",
        file: "core/src/http.rs",
        from: "origin.bytes().all(is_plain).then_some(origin)",
        to: "origin.bytes().any(is_plain).then_some(origin)",
        tests: &[&["-p", "grantor", "--lib", "http::"]],
    },
    Sabotage {
        name: "hand one message to two",
        file: "storage-sqlite/src/outbox.rs",
        from: "                message.due_at = until;\n",
        to: "",
        tests: SQLITE,
    },
    Sabotage {
        name: "hand one message to two threads of sled",
        file: "storage-sled/src/outbox.rs",
        from: "is_ours.set(message.due_at <= now);",
        to: "is_ours.set(true);",
        tests: SLED,
    },
    Sabotage {
        name: "deliver one message after the other",
        file: "adapters/tokio/src/lib.rs",
        from: "            running.spawn(async move {\n                drop(delivery.deliver().await);",
        to: "            drop(delivery.deliver().await);\n            running.spawn(async move {",
        tests: LOGOUT,
    },
    Sabotage {
        name: "tell every application the server's own name of a person",
        file: "examples/server/src/api/profile.rs",
        from: "known_as.unwrap_or(&user.id).into()",
        to: "known_as.map_or(&user.id, |_| &user.id).as_str().into()",
        tests: GUIDE,
    },
    Sabotage {
        name: "let everybody register for tokens through the browser",
        file: "examples/server/src/registration.rs",
        from: "if client.may(GrantType::Implicit) && !self.implicit {",
        to: "if client.may(GrantType::Implicit) && !self.implicit && client.native {",
        tests: ADMIN_API,
    },
    Sabotage {
        name: "answer before the commit",
        file: "storage-sqlite/src/database.rs",
        from: "            replies.push(reply);\n            if !keep",
        to: "            reply(Ok(()));\n            if !keep",
        tests: SQLITE,
    },
    Sabotage {
        name: "keep what a failing job did",
        file: "storage-sqlite/src/database.rs",
        from: "            if !keep {\n",
        to: "            if false && !keep {\n",
        tests: SQLITE,
    },
    Sabotage {
        name: "do not sync commits",
        file: "storage-sqlite/src/database.rs",
        from: "\"synchronous\", \"FULL\"",
        to: "\"synchronous\", \"NORMAL\"",
        tests: SQLITE,
    },
    Sabotage {
        name: "forget to save a refusal that revokes",
        file: "storage-sqlite/src/store.rs",
        from: "            if let Some(next) = next {\n                save(connection, &next)?;",
        to: "            if let (Some(next), Outcome::Granted(_)) = (next, &outcome) {\n                save(connection, &next)?;",
        tests: SQLITE,
    },
    Sabotage {
        name: "overwrite a client that somebody else changed",
        file: "storage-sqlite/src/store.rs",
        from: "WHERE issuer = ?1 AND client_id = ?2 AND version = ?3\n",
        to: "WHERE issuer = ?1 AND client_id = ?2 AND ?3 IS NOT NULL\n",
        tests: SQLITE,
    },
    Sabotage {
        name: "keep the origins of inactive clients",
        file: "storage-sqlite/src/store.rs",
        from: "if client.active {",
        to: "if client.version > 0 {",
        tests: SQLITE,
    },
    Sabotage {
        name: "purge grants that have not ended",
        file: "storage-sqlite/src/store.rs",
        from: "(SELECT number FROM grants WHERE expires_at < ?1 LIMIT ?2)",
        to: "(SELECT number FROM grants WHERE expires_at <= ?1 LIMIT ?2)",
        tests: SQLITE,
    },
    Sabotage {
        name: "mix the grants of issuers",
        file: "storage-sqlite/src/store.rs",
        from: "WHERE issuer = ?1 AND id > ?2 AND {condition}",
        to: "WHERE issuer <> ?1 || 'x' AND id > ?2 AND {condition}",
        tests: SQLITE,
    },
    Sabotage {
        name: "let pages of other sites use the administration API",
        file: "examples/server/src/api/administrator.rs",
        from: "if is_foreign(app, headers) || wrong_token {",
        to: "if wrong_token {",
        tests: ADMIN_API,
    },
    Sabotage {
        name: "let every person administer",
        file: "examples/server/src/api/administrator.rs",
        from: "session.user.organisation.id != organisation.id || !session.user.is_admin",
        to: "session.user.organisation.id != organisation.id",
        tests: ADMIN_API,
    },
    Sabotage {
        name: "make a new master key beside old records",
        file: "examples/server/src/command/mod.rs",
        from: "config.master_key(!storage::is_in(data))",
        to: "config.master_key(true)",
        tests: COMMAND_LINE,
    },
    Sabotage {
        name: "believe tokens for another audience",
        file: "core/src/guard.rs",
        from: "match token.audience.iter().any(|audience| accepted.contains(audience)) {",
        to: "match token.audience.len() == accepted.len() || !accepted.is_empty() {",
        tests: CORE,
    },
    Sabotage {
        name: "let a withdrawn consent be outrun",
        file: "core/src/interaction/mod.rs",
        from: "if standing.is_some_and(|standing| request.scope.is_within(&standing.scope)) {",
        to: "if true {",
        tests: CORE,
    },
    Sabotage {
        name: "sign a person out without asking",
        file: "core/src/logout.rs",
        from: "*sid != server.sid_for(client, &session.sid(server))",
        to: "sid.is_empty()",
        tests: CORE,
    },
    Sabotage {
        name: "send people from a sign-out to a client that was switched off",
        file: "core/src/logout.rs",
        from: ".filter(|client| client.active)",
        to: ".filter(|client| client.active || true)",
        tests: CORE,
    },
    Sabotage {
        name: "take a sign-out ticket for an authorization",
        file: "core/src/interaction/ticket.rs",
        from: "Purpose::Logout => \"logout ticket\",",
        to: "Purpose::Logout => \"ticket\",",
        tests: CORE,
    },
    Sabotage {
        name: "count a login as fresh for another request",
        file: "core/src/endpoint/authorize.rs",
        from: "&& ticket.query() == parameters.encode_only(&PARAMETERS)",
        to: "",
        tests: CORE,
    },
    Sabotage {
        name: "accept Basic beside a second secret",
        file: "core/src/client/authentication.rs",
        from: "if ways.into_iter().filter(|used| *used).count() > 1 || authorizations.next().is_some() {",
        to: "if ways.is_empty() || authorizations.next().is_some() {",
        tests: CORE,
    },
    Sabotage {
        name: "do not count who names no client",
        file: "core/src/endpoint/revoke.rs",
        from: "    limit(call, \"\")?;\n",
        to: "",
        tests: CORE,
    },
    Sabotage {
        name: "let sessions live for ever",
        file: "examples/server/src/session.rs",
        from: "if now >= session.expires_at || now >= last_seen.plus(self.idle) {",
        to: "if false {",
        tests: GUIDE,
    },
    Sabotage {
        name: "let everybody use every organisation's clients",
        file: "examples/server/src/sign_in.rs",
        from: "|session: &&SignedIn| tenant.is_none_or(|tenant| *tenant == session.user.organisation.id);",
        to: "|_: &&SignedIn| tenant.is_none_or(|_| true);",
        tests: PAGES,
    },
    Sabotage {
        name: "count passwords only after they were checked",
        file: "examples/server/src/limits.rs",
        from: "        self.here.take((account.clone(), address), now)?;\n",
        to: "",
        tests: LIMITS,
    },
    Sabotage {
        name: "let pages of other sites change clients",
        file: "examples/server/src/api/administrator.rs",
        from: "if !parts.method.is_safe() {",
        to: "if parts.method == axum::http::Method::POST {",
        tests: ADMIN_API,
    },
    Sabotage {
        name: "take a form of the administration pages without its token",
        file: "examples/server/src/console/mod.rs",
        from: "if is_foreign || !administrator.0.is_csrf_token(FORMS, fields.text(\"csrf\")) {",
        to: "if is_foreign {",
        tests: CONSOLE,
    },
    Sabotage {
        name: "show the administration pages to everybody",
        file: "examples/server/src/console/mod.rs",
        from: "Ok(Some(session)) if session.user.is_admin => {",
        to: "Ok(Some(session)) if !session.user.email.is_empty() => {",
        tests: CONSOLE,
    },
    Sabotage {
        name: "let administrators lock themselves out",
        file: "examples/server/src/administration/users.rs",
        from: "if user.id == me.id && loses {",
        to: "if false && loses {",
        tests: USERS_API,
    },
    Sabotage {
        name: "let administrators change another organisation's people",
        file: "examples/server/src/administration/users.rs",
        from: "user.filter(|user| user.organisation.id == organisation.id)",
        to: "user.filter(|user| !user.organisation.id.is_empty() || organisation.id.is_empty())",
        tests: USERS_API,
    },
    Sabotage {
        name: "let every page use people's sessions",
        file: "examples/server/src/trusted.rs",
        from: "then_some(origin)",
        to: "then_some(origin).or(Some(origin))",
        tests: LOGIN_UI,
    },
    Sabotage {
        name: "believe every forwarded address",
        file: "examples/server/src/proxy.rs",
        from: "while self.trusts(client) {",
        to: "loop {",
        tests: PROXY,
    },
    Sabotage {
        name: "send people to a login page elsewhere for ever",
        file: "examples/server/src/sign_in.rs",
        from: ".filter(|_| !pending.has_returned())",
        to: "",
        tests: LOGIN_UI,
    },
    Sabotage {
        name: "write to sled whatever stands there",
        file: "storage-sled/src/records.rs",
        from: "let swapped = self.grants.compare_and_swap(id.as_bytes(), Some(bytes), Some(next))?;",
        to: "let now_there = self.grants.get(id.as_bytes())?;\n            let _ = bytes;\n            let swapped = self.grants.compare_and_swap(id.as_bytes(), now_there, Some(next))?;",
        tests: SLED,
    },
    Sabotage {
        name: "follow sled's hints blindly",
        file: "storage-sled/src/records.rs",
        from: "grants.extend(self.grant(id)?.filter(|grant| of.owns(grant)));",
        to: "grants.extend(self.grant(id)?);",
        tests: SLED,
    },
    Sabotage {
        name: "let sled keep hints to clients that have changed",
        file: "storage-sled/src/records.rs",
        from: "client.is_some_and(|client| client.active && client.allows_origin(origin))",
        to: "client.is_some_and(|client| client.allows_origin(origin))",
        tests: SLED,
    },
    Sabotage {
        name: "move records beside a running server",
        file: "examples/server/src/command/migrate.rs",
        from: "let _alone = Lock::alone(data)?;",
        to: "let _alone = Lock::shared(data)?;",
        tests: MOVING,
    },
    Sabotage {
        name: "work for a client as long as it listens",
        file: "adapters/tokio/src/lib.rs",
        from: "match handling.await {",
        to: "drop(handling);\n    match Ok::<_, ()>(server.handle(&request).await) {",
        tests: ADAPTERS,
    },
    Sabotage {
        name: "let actix take the first of repeated headers",
        file: "adapters/actix/src/routes.rs",
        from: "request.headers().get_all(*name).map(",
        to: "request.headers().get_all(*name).take(1).map(",
        tests: ADAPTERS,
    },
    Sabotage {
        name: "hide the host's answers from its clients' pages",
        file: "adapters/actix/src/protect.rs",
        from: "let mut answer = answer.map_into_left_body();\n                    add_headers(answer.headers_mut(), headers);",
        to: "let answer = answer.map_into_left_body();\n                    drop(headers);",
        tests: ADAPTERS,
    },
    Sabotage {
        name: "hide the refusals of the host's middlewares from its clients' pages",
        file: "adapters/actix/src/protect.rs",
        from: "let mut answer = error.error_response();\n                    add_headers(answer.headers_mut(), headers);",
        to: "let answer = error.error_response();\n                    drop(headers);",
        tests: ADAPTERS,
    },
    Sabotage {
        name: "know a browser for everybody in which one person has signed in",
        file: "examples/server/src/devices.rs",
        from: "WHERE devices.id = ?1 AND email = ?2 AND seen_at > ?3",
        to: "WHERE devices.id = ?1 AND ?2 <> '' AND seen_at > ?3",
        tests: SESSIONS,
    },
    Sabotage {
        name: "keep knowing browsers when a password is replaced",
        file: "examples/server/src/accounts.rs",
        from: "if password.is_some() {\n                    // Whoever knew",
        to: "if password.is_none() {\n                    // Whoever knew",
        tests: SESSIONS,
    },
    Sabotage {
        name: "hash a password anew that was wrong",
        file: "examples/server/src/authenticate.rs",
        from: "Ok::<_, Refused>(user.filter(|user| right && !user.is_disabled))",
        to: "Ok::<_, Refused>(user.filter(|user| (right || !user.password.is_empty()) && !user.is_disabled))",
        tests: SESSIONS,
    },
    Sabotage {
        name: "write into the audit what was typed",
        file: "examples/server/src/authenticate.rs",
        from: "audit!(\"login.failure\", subject = known, \"a login failed\");",
        to: "audit!(\"login.failure\", subject = known, email, \"a login failed\");",
        tests: AUDIT,
    },
    Sabotage {
        name: "refuse nobody when there is too much to do",
        file: "adapters/tokio/src/load.rs",
        from: "self.in_flight.load(Ordering::Relaxed) >= IN_FLIGHT\n            || self.is_late.load(Ordering::Relaxed)",
        to: "self.in_flight.load(Ordering::Relaxed) >= IN_FLIGHT * 1000",
        tests: LOAD,
    },
    Sabotage {
        name: "begin work however long it has waited",
        file: "adapters/tokio/src/turn.rs",
        from: "(since.elapsed() <= PATIENCE).then_some",
        to: "(since.elapsed() <= PATIENCE * 1000).then_some",
        tests: LOAD,
    },
    Sabotage {
        name: "work before what has come is read",
        file: "adapters/tokio/src/turn.rs",
        from: "if self.0.is_some() {",
        to: "if false {",
        tests: LOAD,
    },
    Sabotage {
        name: "refuse for a moment of being late",
        file: "adapters/tokio/src/load.rs",
        from: "self.is_strained && is_late",
        to: "is_late",
        tests: LOAD,
    },
    core(
        "remember the consent to whoever listens on the person's machine",
        "core/src/interaction/mod.rs",
        "|| self.client.is_public() && !self.request.redirect.uri.is_web_host();",
        "|| self.client.redirect_uris.is_empty();",
    ),
    core(
        "go on refreshing for a client that has lost offline_access",
        "core/src/endpoint/token.rs",
        "else if !first && !still_refreshes {",
        "else if first && !still_refreshes {",
    ),
    core(
        "take whoever tries again for a thief when the client has lost everything",
        "core/src/endpoint/token.rs",
        "take(call, credential, Step::Revoke { client: None }).await?;",
        "take(call, credential, Step::Revoke { client: Some(String::new()) }).await?;",
    ),
    core(
        "believe what keys have verified that are gone",
        "core/src/token/verified.rs",
        "std::ptr::eq(self.ring.as_ptr(), Arc::as_ptr(ring))",
        "Arc::strong_count(ring) > 0",
    ),
    core(
        "believe a verified token after its end",
        "core/src/token/access_token.rs",
        "return match now < token.expires_at {",
        "return match now < Time::from_millis(i64::MAX) {",
    ),
    core(
        "tell everybody that nothing has changed",
        "core/src/endpoint/document.rs",
        "tag.strip_prefix(\"W/\").unwrap_or(tag) == self.etag",
        "tag.len() == self.etag.len()",
    ),
    Sabotage {
        name: "go on with a client as it was before another process changed it",
        file: "storage-sqlite/src/cache.rs",
        from: "i64::try_from(client.version) == Ok(version)",
        to: "client.version > 0 || version > 0",
        tests: SQLITE,
    },
    Sabotage {
        name: "let those who say nothing keep everybody else out",
        file: "adapters/axum/src/waiting.rs",
        from: "self.lock().places.pop_first()",
        to: "self.lock().places.pop_last()",
        tests: &[&["-p", "grantor-axum", "--lib"]],
    },
    core(
        "lead forms wherever",
        "core/src/http.rs",
        "let mut policy = \"; form-action 'self'\".to_owned();",
        "let mut policy = \"; form-action *\".to_owned();",
    ),
    core(
        "find every value the same",
        "core/src/mac.rs",
        "verify_slices_are_equal(one, other).is_ok()",
        "one.len() == other.len() || verify_slices_are_equal(one, other).is_ok()",
    ),
    Sabotage {
        name: "open a sled folder again whose sync failed",
        file: "storage-sled/src/durable.rs",
        from: "!self.counters.unsure.load(Ordering::SeqCst) && self.file.sync_data().is_ok()",
        to: "self.file.sync_data().is_ok()",
        tests: SLED,
    },
    Sabotage {
        name: "call an address that is not public when a name leads there",
        file: "fetch/src/address.rs",
        from: "match is_named && addresses.iter().all(|address| self.is_allowed(address.ip())) {",
        to: "match is_named && addresses.len() < 1000 {",
        tests: FETCH,
    },
    Sabotage {
        name: "follow a redirect wherever it leads",
        file: "fetch/src/fetcher.rs",
        from: "at = self.parse(to.as_str())?;",
        to: "at = to;",
        tests: FETCH,
    },
    Sabotage {
        name: "call again and again what has just failed",
        file: "fetch/src/fetcher.rs",
        from: "failed.map(|(_, error)| Err(error.clone()))",
        to: "failed.and(None)",
        tests: FETCH,
    },
    Sabotage {
        name: "accept an ID token at an API elsewhere",
        file: "core/src/resource.rs",
        from: "if !typ.eq_ignore_ascii_case(\"at+jwt\") {",
        to: "if typ.is_empty() {",
        tests: CORE,
    },
    Sabotage {
        name: "use the last keys for ever while the server is away",
        file: "core/src/resource.rs",
        from: "match kept.filter(|kept| younger_than(kept, STALE)) {",
        to: "match kept {",
        tests: CORE,
    },
    Sabotage {
        name: "hand out what the host's signer gave, unchecked",
        file: "core/src/keys/mod.rs",
        from: "match published.iter().any(|key| key.verify(algorithm, encoded, input.as_bytes())) {",
        to: "match published.iter().any(|_| encoded.len() > input.len() || true) {",
        tests: CORE,
    },
    Sabotage {
        name: "show people more than the host lets them give",
        file: "core/src/interaction/mod.rs",
        from: "self.request.scope = self.request.scope.intersection(&decision.scope);",
        to: "if decision.scope.is_empty() {\n            self.request.scope = decision.scope;\n        }",
        tests: CORE,
    },
    Sabotage {
        name: "wait minutes for a header",
        file: "adapters/tokio/src/lib.rs",
        from: "pub const HEADER_DEADLINE: Duration = Duration::from_secs(30);",
        to: "pub const HEADER_DEADLINE: Duration = Duration::from_secs(300);",
        tests: AXUM,
    },
    Sabotage {
        name: "stop without finishing what is in flight",
        file: "adapters/axum/src/serve.rs",
        from: "let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;",
        to: "drop(graceful);\n        let _ = GRACE;",
        tests: AXUM,
    },
    Sabotage {
        name: "take a folder that has lost its half for a new one",
        file: "examples/server/src/command/mod.rs",
        from: "(true, _, false) => \"accounts.db\".to_owned(),",
        to: "(true, _, false) if data.to_string().is_empty() => \"accounts.db\".to_owned(),",
        tests: COMMAND_LINE,
    },
];

/// Every how many commits CI tries one and the same change.
const TURNS: usize = 3;

/// Applies every change, or those whose name contains one of the words; or those whose turn it is, by the number of a
/// commit.
pub(crate) fn run(only: &[&str]) -> Done {
    let chosen: VecDeque<&Sabotage> = match only {
        ["--turn", number] => {
            let turn = number.parse::<usize>()? % TURNS;
            println!("turn {turn} of {TURNS}");
            ALL.iter().skip(turn).step_by(TURNS).collect()
        }
        [] => ALL.iter().collect(),
        words => ALL.iter().filter(|s| words.iter().any(|word| s.name.contains(word))).collect(),
    };
    let total = chosen.len();
    let [one, two] = ["one", "two"].map(Bench::new);
    one.check_unchanged(&chosen)?;
    two.prepare_like(&one)?;
    // Two at once, from both ends: neighbours in the list are of one package, and are built quicker one after the
    // other.
    let (waiting, survived) = (Mutex::new(chosen), Mutex::new(Vec::new()));
    let work = |bench: &Bench, from_the_end: bool| -> Result<(), String> {
        loop {
            let next = {
                let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                if from_the_end { waiting.pop_back() } else { waiting.pop_front() }
            };
            let Some(sabotage) = next else { return Ok(()) };
            let noticed = bench.is_noticed(sabotage).map_err(|error| error.to_string())?;
            println!("{} … {}", sabotage.name, if noticed { "noticed" } else { "NOT NOTICED" });
            if !noticed {
                survived.lock().unwrap_or_else(PoisonError::into_inner).push(sabotage.name);
            }
        }
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| work(&two, true));
        let done = work(&one, false);
        done.and(other.join().unwrap_or_else(|_| Err("a worker panicked".to_owned())))
    })?;
    let survived = survived.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{} of {total} wrong changes were noticed", total - survived.len());
    match survived.as_slice() {
        [] => Ok(()),
        survived => Err(format!("no test notices: {}", survived.join("; ")).into()),
    }
}

/// A copy of the sources, and what is built of it.
struct Bench {
    copy: PathBuf,
    target: PathBuf,
}

impl Bench {
    fn new(name: &str) -> Self {
        let folder = root().join("target/sabotage").join(name);
        Self { copy: folder.join("tree"), target: folder.join("target") }
    }

    /// Without any change the tests must pass: a test that fails anyway would notice everything.
    fn check_unchanged(&self, chosen: &VecDeque<&Sabotage>) -> Done {
        refresh(&self.copy)?;
        let mut seen: Vec<&[&str]> = Vec::new();
        for sabotage in chosen {
            for tests in sabotage.tests {
                if !seen.contains(tests) {
                    seen.push(tests);
                    if !self.cargo_test(tests, &[])? {
                        return Err(format!("{tests:?} fail without any change").into());
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes over what was built of other packages, which is the same wherever the copy is.
    fn prepare_like(&self, other: &Bench) -> Done {
        if !self.target.exists() {
            fs::create_dir_all(&self.copy)?;
            let mut copy = Command::new("cp");
            let copied = copy.arg("-r").args([&other.target, &self.target]);
            if !copied.status()?.success() {
                return Err("what is built could not be copied".into());
            }
        }
        refresh(&self.copy)
    }

    fn is_noticed(&self, sabotage: &Sabotage) -> Result<bool, Box<dyn std::error::Error>> {
        refresh(&self.copy)?;
        apply(&self.copy, sabotage)?;
        for tests in sabotage.tests {
            if !self.cargo_test(tests, &["--no-run"])? {
                return Err(format!("{:?} does not compile: mend the list", sabotage.name).into());
            }
            if !self.cargo_test(tests, &[])? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether `cargo test` succeeds.
    fn cargo_test(&self, tests: &[&str], more: &[&str]) -> Result<bool, std::io::Error> {
        let status = Command::new("cargo")
            .current_dir(&self.copy)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("PROPTEST_FAILURE_PERSISTENCE", "off")
            // Each change builds a part anew: quickly, and without filling the disk.
            .env("CARGO_INCREMENTAL", "1")
            .env("CARGO_PROFILE_DEV_DEBUG", "none")
            .args(["test", "--quiet"])
            .args(more)
            .args(tests)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        Ok(status.success())
    }
}

/// Copies what git tracks. Only what differs is written, so that cargo rebuilds only that.
fn refresh(copy: &Path) -> Done {
    forget_deleted(copy, copy)?;
    let listed = Command::new("git").current_dir(root()).args(["ls-files", "-z"]).output()?;
    for name in String::from_utf8(listed.stdout)?.split('\0').filter(|name| !name.is_empty()) {
        let (from, to) = (root().join(name), copy.join(name));
        if !from.is_file() || name.starts_with("e2e/") {
            continue;
        }
        let wanted = fs::read(&from)?;
        if fs::read(&to).ok().as_ref() != Some(&wanted) {
            fs::create_dir_all(to.parent().unwrap_or(copy))?;
            fs::write(&to, wanted)?;
        }
    }
    Ok(())
}

/// Deletes from the copy what the checkout has not: two files of one module would not compile.
fn forget_deleted(copy: &Path, folder: &Path) -> Done {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            forget_deleted(copy, &path)?;
        } else if !root().join(path.strip_prefix(copy)?).is_file() {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// The file with the wrong change in it.
fn sabotaged(tree: &Path, sabotage: &Sabotage) -> Result<String, Box<dyn std::error::Error>> {
    let text = fs::read_to_string(tree.join(sabotage.file))?;
    let found = text.matches(sabotage.from).count();
    if found != 1 {
        let name = sabotage.name;
        return Err(format!("{name:?}: its text stands {found} times in {}", sabotage.file).into());
    }
    Ok(text.replace(sabotage.from, sabotage.to))
}

fn apply(copy: &Path, sabotage: &Sabotage) -> Done {
    Ok(fs::write(copy.join(sabotage.file), sabotaged(copy, sabotage)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_each_wrong_change_stands_once_in_its_file() {
        let wrong = ALL.iter().filter_map(|sabotage| sabotaged(&root(), sabotage).err());
        let wrong: Vec<String> = wrong.map(|why| why.to_string()).collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
