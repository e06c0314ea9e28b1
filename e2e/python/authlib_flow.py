"""Authlib: a confidential application's whole flow, and a service's own token."""

import json
import os
import sys

import requests
from authlib.common.security import generate_token
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.jwk import KeySet

from person import visit

given = json.load(sys.stdin)
issuer, callback = given["issuer"], given["callback"]
client_id, client_secret = given["clientId"], given["clientSecret"]
email, password = given["email"], given["password"]

metadata = requests.get(f"{issuer}/.well-known/openid-configuration", timeout=5).json()
assert metadata["issuer"] == issuer, metadata

for method in ["client_secret_basic", "client_secret_post"]:
    session = OAuth2Session(
        client_id,
        client_secret,
        scope="openid profile email",
        redirect_uri=callback,
        token_endpoint_auth_method=method,
        code_challenge_method="S256",
        revocation_endpoint_auth_method=method,
    )
    verifier, nonce = generate_token(48), generate_token(16)
    url, state = session.create_authorization_url(
        metadata["authorization_endpoint"], code_verifier=verifier, nonce=nonce
    )
    back = visit(url, email, password, callback)
    token = session.fetch_token(
        metadata["token_endpoint"], authorization_response=back, code_verifier=verifier, state=state
    )
    assert token["token_type"] == "Bearer" and token["expires_in"] == 3600, token
    assert set(token["scope"].split()) == {"openid", "profile", "email"}, token

    keys = KeySet.import_key_set(requests.get(metadata["jwks_uri"], timeout=5).json())
    decoded = jwt.decode(token["id_token"], keys, algorithms=["RS256"])
    claims = CodeIDToken(
        decoded.claims,
        decoded.header,
        options={"iss": {"value": issuer}, "aud": {"value": client_id}},
        params={"nonce": nonce, "client_id": client_id, "access_token": token["access_token"]},
    )
    claims.validate()
    person = session.get(metadata["userinfo_endpoint"]).json()
    assert person["sub"] == claims["sub"] and person["email"] == email, person

    before = token["refresh_token"]
    after = session.refresh_token(metadata["token_endpoint"], refresh_token=before)
    assert after["refresh_token"] != before
    seen = session.introspect_token(
        metadata["introspection_endpoint"], token=after["access_token"]
    ).json()
    assert seen["active"] and seen["sub"] == claims["sub"], seen
    revoked = session.revoke_token(
        metadata["revocation_endpoint"], token=after["refresh_token"], token_type_hint="refresh_token"
    )
    assert revoked.status_code == 200, revoked.text
    assert session.get(metadata["userinfo_endpoint"]).status_code == 401
    try:
        session.refresh_token(metadata["token_endpoint"], refresh_token=after["refresh_token"])
        raise AssertionError("a revoked refresh token was accepted")
    except OAuthError as error:
        assert error.error == "invalid_grant", error

service = OAuth2Session(client_id, client_secret, scope="orders:read")
token = service.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
assert token["scope"] == "orders:read" and "refresh_token" not in token, token
print("done")
