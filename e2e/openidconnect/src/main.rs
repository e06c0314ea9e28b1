//! The crate `openidconnect`: the code flow of a public client.
//!
//! Arguments: the issuer, the client id, the redirect URI. Prints the authorize URL, reads the URL
//! that the browser came back to, and prints the e-mail address that UserInfo has.

use std::error::Error;

use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreProviderMetadata, CoreUserInfoClaims,
};
use openidconnect::reqwest::blocking::Client;
use openidconnect::reqwest::redirect::Policy;
use openidconnect::{
    AccessTokenHash, AuthorizationCode, ClientId, CsrfToken, IssuerUrl, Nonce,
    OAuth2TokenResponse as _, PkceCodeChallenge, RedirectUrl, Scope, TokenResponse as _,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [issuer, client_id, redirect_uri] = arguments.as_slice() else {
        return Err("give issuer, client id and redirect URI".into());
    };
    let http = Client::builder().redirect(Policy::none()).build()?;
    let metadata = CoreProviderMetadata::discover(&IssuerUrl::new(issuer.clone())?, &http)?;
    let client =
        CoreClient::from_provider_metadata(metadata, ClientId::new(client_id.clone()), None)
            .set_redirect_uri(RedirectUrl::new(redirect_uri.clone())?);
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (url, state, nonce) = client
        .authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            CsrfToken::new_random,
            Nonce::new_random,
        )
        .add_scope(Scope::new("email".into()))
        .set_pkce_challenge(challenge)
        .url();
    println!("{url}");

    let mut back = String::new();
    std::io::stdin().read_line(&mut back)?;
    let parameter = |name: &str| {
        let url = openidconnect::url::Url::parse(back.trim()).ok()?;
        url.query_pairs().find(|(have, _)| have == name).map(|(_, value)| value.into_owned())
    };
    assert_eq!(parameter("state").as_ref(), Some(state.secret()));
    let code = AuthorizationCode::new(parameter("code").ok_or("no code")?);
    let tokens = client.exchange_code(code)?.set_pkce_verifier(verifier).request(&http)?;

    let verifier = client.id_token_verifier();
    let id_token = tokens.id_token().ok_or("no ID token")?;
    let claims = id_token.claims(&verifier, &nonce)?;
    if let Some(expected) = claims.access_token_hash() {
        let algorithm = id_token.signing_alg()?;
        let key = id_token.signing_key(&verifier)?;
        let actual = AccessTokenHash::from_token(tokens.access_token(), algorithm, key)?;
        assert_eq!(actual, *expected);
    }
    let subject = Some(claims.subject().clone());
    let person: CoreUserInfoClaims =
        client.user_info(tokens.access_token().clone(), subject)?.request(&http)?;

    let refresh_token = tokens.refresh_token().ok_or("no refresh token")?;
    let refreshed = client.exchange_refresh_token(refresh_token)?.request(&http)?;
    assert_ne!(
        refreshed.refresh_token().map(|token| token.secret()),
        Some(refresh_token.secret()),
        "the refresh token moves on"
    );
    println!("{}", person.email().map_or("", |email| email.as_str()));
    Ok(())
}
