"""An API of your own, on Python with PyJWT: GET / answers whose token it is. Environment: ISSUER, AUDIENCE, PORT."""

import http.server
import json
import os

import jwt

ISSUER, AUDIENCE = os.environ["ISSUER"], os.environ["AUDIENCE"]

# Kept for 10 minutes; fetched again for a key that is not in it, but not more often than every 5 seconds.
KEYS = jwt.PyJWKClient(f"{ISSUER}/.well-known/jwks.json", lifespan=600, cooldown_duration=5)


def verify(header):
    """Answers the claims of the bearer token; raises jwt.PyJWTError."""
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer":
        raise jwt.InvalidTokenError("no bearer token")
    if jwt.get_unverified_header(token).get("typ") != "at+jwt":
        raise jwt.InvalidTokenError("not an access token")
    return jwt.decode(
        token,
        KEYS.get_signing_key_from_jwt(token),
        algorithms=["RS256"],
        issuer=ISSUER,
        audience=AUDIENCE,
        leeway=5,
        options={"require": ["exp", "iss", "aud", "sub", "scope"]},
    )


class Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            claims = verify(self.headers.get("Authorization"))
        except jwt.PyJWKClientConnectionError:
            self.send_response(503)  # Tollgate was out of reach
            self.end_headers()
        except jwt.PyJWTError:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Bearer error="invalid_token"')
            self.end_headers()
        else:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps({"sub": claims["sub"], "scope": claims["scope"]}).encode())

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Api).serve_forever()
