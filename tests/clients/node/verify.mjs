// npm `jose` verifies an access token with nothing but the JWKS.
import assert from "node:assert/strict";
import { createRemoteJWKSet, jwtVerify } from "jose";

const issuer = process.env.ISSUER;
const account = { email: `${crypto.randomUUID()}@example.com`, password: "correct horse battery staple" };

async function post(path, body) {
  const response = await fetch(issuer + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  assert.equal(response.status, 201, await response.clone().text());
  return response.json();
}

const user = await post("/v1/users", account);
const { access_token: token } = await post("/v1/sessions", account);

const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`));
const expected = { issuer, audience: issuer, typ: "at+jwt", algorithms: ["RS256"] };
const { payload } = await jwtVerify(token, keys, expected);
assert.equal(payload.sub, user.id);

const [head, claims, signature] = token.split(".");
const forged = `${head}.${claims}.${signature[0] === "A" ? "B" : "A"}${signature.slice(1)}`;
await assert.rejects(jwtVerify(forged, keys, expected));
await assert.rejects(jwtVerify(token, keys, { ...expected, audience: "https://somebody.example" }));
