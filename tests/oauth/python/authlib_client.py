"""Authlib: a Flask app that signs in, and its plain session for the rest. It knows neither PAR nor DPoP nor introspection by JWT."""

import json
import os
import sys
import time
import traceback
import urllib.parse

import flask
from authlib.common.security import generate_token
from authlib.integrations.base_client import OAuthError
from authlib.integrations.flask_client import OAuth
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oidc.discovery import OpenIDProviderMetadata
from joserfc.jwk import RSAKey

from browser import ISSUER, Browser, sign_up

with open(os.environ["CLIENTS"]) as file:
    CLIENTS = json.load(file)["programs"]
IS_REFERENCE = os.environ.get("REFERENCE") == "1"
SCOPE = "openid profile email offline_access account:read"
USER = sign_up()


def step(name):
    """Runs what it decorates, at once."""

    def run(test):
        try:
            value = test()
        except Exception:
            print(f"FAILED  {name}\n{traceback.format_exc()}", flush=True)
            sys.exit(1)
        print(f"ok      {name}", flush=True)
        return value

    return run


def session(id, **more):
    one = CLIENTS[id]
    secret = RSAKey.import_key(one["private_key"]) if "private_key" in one else one.get("client_secret")
    made = OAuth2Session(
        one["client_id"], secret, token_endpoint_auth_method=one["method"], revocation_endpoint_auth_method=one["method"],
        scope=one["scope"] if not one["redirect_uri"] else SCOPE, redirect_uri=one["redirect_uri"], code_challenge_method="S256",
        token_endpoint=METADATA["token_endpoint"], **more,
    )
    if one["method"] == "private_key_jwt":
        made.register_client_auth_method(PrivateKeyJWT(METADATA["token_endpoint"], headers={"kid": one["private_key"]["kid"]}))
    return made


def sign_in(made):
    verifier = generate_token(48)
    # oidc-provider drops offline_access without it, and Authlib asks for all its scopes again when it refreshes.
    more = {"prompt": "consent"} if IS_REFERENCE else {}
    address, state = made.create_authorization_url(METADATA["authorization_endpoint"], code_verifier=verifier, nonce=generate_token(), **more)
    back = Browser(USER).open(address)
    assert back.startswith(made.redirect_uri), back
    return made.fetch_token(authorization_response=back, state=state, code_verifier=verifier)


def refused(error, act):
    try:
        act()
    except OAuthError as caught:
        assert caught.error == error, caught
        return
    raise AssertionError(f"not refused as {error}")


@step("metadata: as OpenID Connect and RFC 8414 have it")
def METADATA():
    import requests

    found = requests.get(f"{ISSUER}/.well-known/openid-configuration", timeout=10).json()
    OpenIDProviderMetadata(found).validate()
    other = requests.get(f"{ISSUER}/.well-known/oauth-authorization-server", timeout=10).json()
    for name in ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri", "response_types_supported", "grant_types_supported"):
        getattr(AuthorizationServerMetadata(other), f"validate_{name}")()
    return found


@step("a Flask app: redirect, state, nonce, PKCE, iss, the ID token's signature and at_hash, userinfo, sign-out")
def _():
    one = CLIENTS["authlib-basic"]
    app = flask.Flask("shop")
    app.secret_key = generate_token()
    oauth = OAuth(app)
    oauth.register(
        "tollgate", client_id=one["client_id"], client_secret=one["client_secret"],
        server_metadata_url=f"{ISSUER}/.well-known/openid-configuration",
        client_kwargs={"scope": SCOPE, "code_challenge_method": "S256", "token_endpoint_auth_method": one["method"]},
    )

    @app.get("/oauth/sign-in")
    def begin():
        return oauth.tollgate.authorize_redirect(one["redirect_uri"])

    @app.get("/callback")
    def callback():
        token = oauth.tollgate.authorize_access_token()
        flask.session["id_token"] = token["id_token"]
        return {"claims": token["userinfo"], "info": oauth.tollgate.userinfo(token=token), "scope": token["scope"]}

    @app.get("/sign-out")
    def end():
        return oauth.tollgate.logout_redirect(post_logout_redirect_uri=one["post_logout_redirect_uri"], id_token_hint=flask.session["id_token"])

    browser, client = Browser(USER), app.test_client()
    back = browser.open(client.get("/oauth/sign-in").location)
    answer = client.get("/callback?" + urllib.parse.urlsplit(back).query)
    assert answer.status_code == 200, answer.text
    claims, info = answer.json["claims"], answer.json["info"]
    assert claims["sub"] == info["sub"] == USER["id"] and claims["iss"] == ISSUER and info["email"] == USER["email"], answer.json
    assert "at_hash" in claims or IS_REFERENCE, claims
    out = browser.open(client.get("/sign-out").location)
    assert out.startswith(one["post_logout_redirect_uri"] + "?state="), out


for id in ("authlib-basic", "authlib-post", "authlib-key"):

    @step(f"{id}: code and PKCE with {CLIENTS[id]['method']}, refresh")
    def _():
        made = session(id)
        token = sign_in(made)
        assert token["token_type"] == "Bearer" and token["expires_at"] > time.time() and token["refresh_token"], token
        assert made.get(METADATA["userinfo_endpoint"]).json()["sub"] == USER["id"]
        again = made.refresh_token()
        assert again["access_token"] != token["access_token"] and again["refresh_token"], again
        assert made.get(METADATA["userinfo_endpoint"]).json()["email"] == USER["email"]


@step("it refreshes by itself when the token is nearly over")
def _():
    seen = []
    made = session("authlib-basic", update_token=lambda token, **_: seen.append(token), leeway=10_000)
    sign_in(made)
    assert made.get(METADATA["userinfo_endpoint"]).status_code == 200 and len(seen) == 1, seen


@step("introspection and revocation")
def _():
    made = session("authlib-basic")
    token = sign_in(made)
    answer = made.introspect_token(METADATA["introspection_endpoint"], token["access_token"], "access_token")
    assert answer.status_code == 200 and answer.json()["active"] is True and answer.json()["client_id"] == made.client_id, answer.text
    answer = made.revoke_token(METADATA["revocation_endpoint"], token["access_token"], "access_token")
    assert answer.status_code == 200, answer.text
    answer = made.introspect_token(METADATA["introspection_endpoint"], token["access_token"])
    assert answer.json() == {"active": False}, answer.text
    token = sign_in(made)
    assert made.revoke_token(METADATA["revocation_endpoint"], token["refresh_token"], "refresh_token").status_code == 200
    refused("invalid_grant", lambda: made.refresh_token(refresh_token=token["refresh_token"]))


@step("introspection and revocation with private_key_jwt")
def _():
    made = session("authlib-key")
    token = sign_in(made)
    answer = made.introspect_token(METADATA["introspection_endpoint"], token["access_token"])
    assert answer.json()["active"] is True, answer.text
    assert made.revoke_token(METADATA["revocation_endpoint"], token["refresh_token"]).status_code == 200


@step("client credentials")
def _():
    made = session("authlib-machine")
    token = made.fetch_token(grant_type="client_credentials", resource=os.environ["RESOURCE"])
    assert set(token["scope"].split()) == {"records:read", "records:write"} and "refresh_token" not in token, token
    refused("invalid_scope", lambda: made.fetch_token(grant_type="client_credentials", scope="account:write"))


@step("a wrong secret is invalid_client")
def _():
    made = session("authlib-machine")
    made.client_secret = "wrong" * 8
    refused("invalid_client", lambda: made.fetch_token(grant_type="client_credentials"))
