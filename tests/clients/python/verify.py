"""PyJWT verifies an access token with nothing but the JWKS."""

import jwt

from api import ISSUER, sign_up_and_in

user, pair = sign_up_and_in()
token = pair["access_token"]
keys = jwt.PyJWKClient(f"{ISSUER}/.well-known/jwks.json")


def verify(token, audience=ISSUER):
    key = keys.get_signing_key_from_jwt(token)
    required = ["iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope"]
    return jwt.decode(
        token, key, algorithms=["RS256"], audience=audience, issuer=ISSUER, options={"require": required}
    )


claims = verify(token)
assert claims["sub"] == user["id"], claims
assert jwt.get_unverified_header(token)["typ"] == "at+jwt"

head, payload, signature = token.split(".")
forged = f"{head}.{payload}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
for bad, audience in [(forged, ISSUER), (token, "https://somebody.example")]:
    try:
        verify(bad, audience)
    except jwt.InvalidTokenError:
        continue
    raise AssertionError("PyJWT should have refused it")
