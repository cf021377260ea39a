"""The few calls that every client here makes."""

import json
import os
import urllib.error
import urllib.request
import uuid

ISSUER = os.environ["ISSUER"]
PASSWORD = "correct horse battery staple"


def call(method, path, body=None, token=None):
    request = urllib.request.Request(ISSUER + path, method=method)
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request) as response:
        text = response.read()
        return json.loads(text) if text else None


def sign_up_and_in():
    email = f"{uuid.uuid4()}@example.com"
    user = call("POST", "/v1/users", {"email": email, "password": PASSWORD})
    return user, call("POST", "/v1/sessions", {"email": email, "password": PASSWORD})
