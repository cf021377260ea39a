"""Lets REDbot look at the main resources; fails on what it calls bad, or warns of, but for what is meant."""

import os
import sys
from configparser import ConfigParser

import thor
from httplint.note import levels
from redbot.resource import HttpResource

from api import sign_up_and_in

# It resolves names by DNS alone, which does not know localhost.
ISSUER = os.environ["ISSUER"].replace("localhost", "127.0.0.1")
RESOURCES = ["/openapi.json", "/.well-known/jwks.json", "/problems/not-found", "/healthz", "/version", "/nowhere", "/docs/",
             "/v1/users/me", "/v1/sessions", "/v1/sessions/current", "/v1/tokens/current"]

# Notes that are meant, and why.
MEANT = {}


def look(paths, token, found):
    """Looks at one after the other; REDbot's loop runs once."""
    if not paths:
        thor.stop()
        return
    path, *others = paths
    config = ConfigParser()
    config.read_dict({"redbot": {"enable_local_access": "true"}})
    resource = HttpResource(config["redbot"], descend=False)
    resource.set_request(ISSUER + path, headers=[("Authorization", f"Bearer {token}")] if path.startswith("/v1/") else [])

    @thor.events.on(resource)
    def check_done():
        found[path] = resource.response
        look(others, token, found)

    resource.check()


def main():
    _, pair = sign_up_and_in()
    found, bad = {}, []
    look(RESOURCES, pair["access_token"], found)
    thor.run()
    for path in RESOURCES:
        response = found.get(path)
        if not response or not response.complete:
            bad.append(f"{path}: there was no answer")
            continue
        for note in response.notes:
            if note.level in (levels.BAD, levels.WARN) and type(note).__name__ not in MEANT:
                bad.append(f"{path}: {type(note).__name__}: {note.summary}")
    if bad:
        sys.exit("\n".join(bad))


main()
