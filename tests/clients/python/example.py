"""What every example of an API that verifies our tokens must do. Environment: PORT, AUDIENCE; STATEFUL when it asks
Tollgate; KEEPS_MAX_AGE when its library fetches no new keys before the old set has expired."""

import base64
import json
import os
import time
import urllib.error
import urllib.request

from api import PASSWORD, call, sign_up_and_in

PORT, AUDIENCE, STATEFUL = os.environ["PORT"], os.environ["AUDIENCE"], bool(os.environ.get("STATEFUL"))


def ask(authorization):
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}/")
    if authorization:
        request.add_header("Authorization", authorization)
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, None


def refused(what, authorization):
    status, _ = ask(authorization)
    assert status == 401, f"{what}: {status}"


def decoded(part):
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def encoded(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def sign_in(email, audience=AUDIENCE, password=PASSWORD):
    return call("POST", "/v1/sessions", {"email": email, "password": password, "resource": audience})


def good(token, user):
    status, body = ask(f"Bearer {token}")
    assert status == 200, status
    assert STATEFUL or body["sub"] == user["id"], body


def main():
    deadline = time.monotonic() + 60
    while True:
        try:
            ask(None)
            break
        except OSError:
            assert time.monotonic() < deadline, "the example does not listen"
            time.sleep(0.05)
    user, _ = sign_up_and_in()
    pair = sign_in(user["email"])
    token = pair["access_token"]
    good(token, user)

    head, claims, signature = token.split(".")
    other = "https://maps.example.com"
    refused("no token", None)
    refused("no token at all", "Bearer x")
    refused("another scheme", f"Basic {token}")
    refused("a forged signature", f"Bearer {head}.{claims}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}")
    refused("other claims", f"Bearer {head}.{encoded(decoded(claims) | {'sub': 'eve'})}.{signature}")
    refused("no algorithm", f"Bearer {encoded(decoded(head) | {'alg': 'none'})}.{claims}.")
    refused("an unknown key", f"Bearer {encoded(decoded(head) | {'kid': 'unknown'})}.{claims}.{signature}")
    refused("a refresh token", f"Bearer {pair['refresh_token']}")
    refused("another API's", f"Bearer {sign_in(user['email'], other)['access_token']}")

    if os.environ.get("KEEPS_MAX_AGE"):
        return
    # The key is found in wrong hands: its successor is found by fetching the set anew.
    administrator = sign_in("admin@localhost", os.environ["ISSUER"], os.environ["ADMINISTRATOR_PASSWORD"])["access_token"]
    call("DELETE", f"/v1/keys/{decoded(head)['kid']}", token=administrator)
    token = sign_in(user["email"])["access_token"]
    deadline = time.monotonic() + 20
    while ask(f"Bearer {token}")[0] != 200:
        assert time.monotonic() < deadline, "the successor of a key is not found"
        time.sleep(0.2)
    good(token, user)

    # Who verifies alone learns of signing out when the token expires; who asks Tollgate, within a second.
    session = sign_in(user["email"], os.environ["ISSUER"])["access_token"]
    call("DELETE", "/v1/sessions", token=session)
    deadline = time.monotonic() + 5
    while STATEFUL and ask(f"Bearer {token}")[0] == 200:
        assert time.monotonic() < deadline, "a revoked token is still good"
    assert (ask(f"Bearer {token}")[0] == 200) != STATEFUL


main()
