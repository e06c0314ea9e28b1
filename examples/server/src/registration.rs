//! Which applications may register themselves (RFC 7591), and whose they are then.

use async_trait::async_trait;
use grantor::store::StoreError;
use grantor::{
    Client, GrantType, OpenRegistration, Policy, Registration, RegistrationByToken,
    RegistrationDecision, RegistrationRequest, Scope, Secret, SecretDigest,
};
use serde::{Deserialize, Serialize};

use crate::accounts::Accounts;
use crate::config::RedactedText;

/// The setting `registration`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) mode: Mode,
    /// Initial access tokens, for `mode = "token"`.
    pub(crate) tokens: Vec<RedactedText>,
    /// The short name of the organisation that such applications belong to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) organisation: Option<String>,
    /// Scopes that they may ask for beside OpenID Connect's.
    pub(crate) scopes: Vec<String>,
    /// Whether they may have tokens in the authorization response, where the setting `implicit` is on.
    pub(crate) implicit: bool,
    /// Whether those with a secret or a key need PKCE too. The others always do.
    pub(crate) require_pkce: bool,
    /// How many registrations there may be from one address in an hour; half of them at once.
    pub(crate) per_hour: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::Closed,
            tokens: Vec::new(),
            organisation: None,
            scopes: Vec::new(),
            implicit: false,
            require_pkce: true,
            per_hour: 60,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Administrators register applications.
    #[default]
    Closed,
    /// Whoever has an initial access token does.
    Token,
    /// Everybody does.
    Open,
}

/// The shortest initial access token: it must not be guessed.
const SHORTEST: usize = 20;

impl Settings {
    /// What is wrong with them.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !(2..=1_000_000).contains(&self.per_hour) {
            return Err(format!("registration.per_hour is {}; use 2 to 1000000", self.per_hour));
        }
        if self.mode == Mode::Closed {
            return Ok(());
        }
        if self.organisation.is_none() {
            let text = "registration.organisation is missing: applications that register themselves belong to";
            return Err(format!("{text} an organisation; name its short name"));
        }
        if self.mode == Mode::Token && self.tokens.is_empty() {
            let text = "registration.tokens is empty: nobody could register";
            return Err(format!("{text}. Make one with: openssl rand -base64 32"));
        }
        if self.tokens.iter().any(|token| token.expose().len() < SHORTEST) {
            return Err(format!("registration.tokens: use at least {SHORTEST} characters each"));
        }
        Scope::collect(&self.scopes).map_err(|error| format!("registration.scopes: {error}"))?;
        Ok(())
    }

    /// The rules, when anybody may register.
    pub(crate) fn rules(&self, accounts: &Accounts) -> Option<Rules> {
        let own = Scope::collect(&self.scopes).unwrap_or_default();
        let scope = Policy::default().scopes.union(&own);
        let tokens = self.tokens.iter().map(|token| SecretDigest::of(&Secret::new(token.expose())));
        let how: Box<dyn Registration> = match self.mode {
            Mode::Closed => return None,
            Mode::Open => Box::new(OpenRegistration { scope }),
            Mode::Token => Box::new(RegistrationByToken { tokens: tokens.collect(), scope }),
        };
        let organisation = self.organisation.clone().unwrap_or_default();
        let accounts = accounts.clone();
        let Self { implicit, require_pkce, .. } = *self;
        Some(Rules { how, accounts, organisation, implicit, require_pkce })
    }
}

/// Registers applications for one organisation.
pub(crate) struct Rules {
    how: Box<dyn Registration>,
    accounts: Accounts,
    organisation: String,
    implicit: bool,
    require_pkce: bool,
}

#[async_trait]
impl Registration for Rules {
    async fn decide(
        &self,
        request: &RegistrationRequest<'_>,
        client: &mut Client,
    ) -> Result<RegistrationDecision, StoreError> {
        if client.may(GrantType::Implicit) && !self.implicit {
            let why = "tokens in the authorization response are for clients that an administrator registers";
            return Ok(RegistrationDecision::Refused(why));
        }
        let decision = self.how.decide(request, client).await?;
        if decision == RegistrationDecision::Admit && request.registered.is_none() {
            let found = self.accounts.organisation(&self.organisation).await;
            let found = found.map_err(StoreError::new)?;
            let organisation =
                found.ok_or_else(|| StoreError::new("registration.organisation does not exist"))?;
            client.tenant = Some(organisation.id);
            client.require_pkce = self.require_pkce;
        }
        Ok(decision)
    }
}
