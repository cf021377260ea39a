#!/usr/bin/env python3
"""A command line that signs its user in by the device flow (RFC 8628), with nothing but the standard library."""

import json
import os
import pathlib
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

TOLLGATE = os.environ.get("TOLLGATE", "http://localhost:8080")
CLIENT = "notes"
SCOPE = "openid profile offline_access account:read"
KEPT = pathlib.Path(os.environ.get("XDG_CONFIG_HOME", pathlib.Path.home() / ".config")) / "notes" / "session.json"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


class Refused(Exception):
    """What Tollgate says instead of an answer: its `error`, and the same in words."""

    def __init__(self, body):
        super().__init__(body.get("error_description") or body.get("detail"))
        self.error = body.get("error")


def ask(path, form=None, access=None):
    data = urllib.parse.urlencode(form | {"client_id": CLIENT}).encode() if form else None
    # The name is what the user sees in the list of devices.
    headers = {"User-Agent": "Notes/1.0"} | ({"Authorization": f"Bearer {access}"} if access else {})
    try:
        with urllib.request.urlopen(urllib.request.Request(TOLLGATE + path, data, headers), timeout=30) as answer:
            return json.load(answer) if answer.headers.get_content_type() == "application/json" else None
    except urllib.error.HTTPError as error:
        raise Refused(json.load(error)) from None


def keep(tokens):
    """The file is written whole or not at all, and nobody else may read it."""
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    new = KEPT.with_suffix(".new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({"refresh_token": tokens["refresh_token"]}, file)
    new.replace(KEPT)
    return tokens["access_token"]


def sign_in():
    device = ask("/oauth/device_authorization", {"scope": SCOPE})
    print(f"Open {device['verification_uri']} and enter {device['user_code']}\n  or open {device['verification_uri_complete']}", flush=True)
    interval, end = device["interval"], time.monotonic() + device["expires_in"]
    while time.monotonic() < end:
        time.sleep(interval)
        try:
            return keep(ask("/oauth/token", {"grant_type": DEVICE, "device_code": device["device_code"]}))
        except Refused as refused:
            if refused.error == "slow_down":
                interval += 5
            elif refused.error != "authorization_pending":
                sys.exit(f"notes: {refused}")
    sys.exit("notes: nobody entered the code; begin again")


def access_token():
    """A fresh access token, with the session that is kept or a new one."""
    try:
        refresh = json.loads(KEPT.read_text())["refresh_token"]
        return keep(ask("/oauth/token", {"grant_type": "refresh_token", "refresh_token": refresh}))
    except FileNotFoundError:
        return sign_in()
    except Refused as refused:
        if refused.error != "invalid_grant":  # Tollgate is busy, say: the session is still good
            raise
        return sign_in()


def sign_out():
    if KEPT.exists():
        ask("/oauth/revoke", {"token": json.loads(KEPT.read_text())["refresh_token"]})
        KEPT.unlink()
    print("Signed out.")


def main():
    if sys.argv[1:] == ["sign-out"]:
        return sign_out()
    me = ask("/v1/users/me", access=access_token())
    print(f"Signed in as {me['name'] or me['email']}.")


try:
    main()
except Refused as refused:
    sys.exit(f"notes: {refused}")
