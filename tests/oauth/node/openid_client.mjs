// openid-client: everything of it that Tollgate speaks.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { decodeJwt, decodeProtectedHeader, importJWK } from "jose";
import * as client from "openid-client";
import { Browser, signUp } from "./browser.mjs";
import { Record, clients, isReference, issuer, resource, step } from "./steps.mjs";

const record = new Record();
const user = await signUp();
const insecure = { execute: [client.allowInsecureRequests], [client.customFetch]: record.fetch };

async function authenticationOf(one) {
  switch (one.method) {
    case "client_secret_basic": return client.ClientSecretBasic(one.client_secret);
    case "client_secret_post": return client.ClientSecretPost(one.client_secret);
    case "private_key_jwt": return client.PrivateKeyJwt({ key: await importJWK(one.private_key, one.private_key.alg), kid: one.private_key.kid });
    case "none": return client.None();
  }
}

async function configure(id, metadata = {}) {
  const one = clients[id];
  const config = await client.discovery(new URL(issuer), one.client_id, metadata, await authenticationOf(one), insecure);
  return Object.assign(config, { one });
}

// A redirect of a program on this machine: registered without a port, used with any.
const redirectOf = (one) => one.redirect_uri.replace("127.0.0.1/", "127.0.0.1:49152/");

async function signIn(config, { browser = new Browser(user), more = {}, token = {}, checks = {}, DPoP, par = false, scope = "openid profile email offline_access account:read" } = {}) {
  const verifier = client.randomPKCECodeVerifier();
  const expected = { pkceCodeVerifier: verifier, expectedState: client.randomState(), expectedNonce: client.randomNonce(), idTokenExpected: true, ...checks };
  const parameters = {
    redirect_uri: redirectOf(config.one), scope, code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256", state: expected.expectedState, nonce: expected.expectedNonce, ...more,
  };
  const address = par
    ? await client.buildAuthorizationUrlWithPAR(config, parameters, { DPoP })
    : client.buildAuthorizationUrl(config, parameters);
  const answer = await browser.open(address);
  assert.ok(answer instanceof URL || answer instanceof Request, `not sent back to the client: ${answer.status} ${answer.text}`);
  const tokens = await client.authorizationCodeGrant(config, answer, expected, token, { DPoP });
  return { tokens, answer, browser, claims: tokens.claims(), address };
}

async function refused(promise, error) {
  const got = await promise.then(() => assert.fail(`not refused as ${error}`), (caught) => caught);
  assert.equal(got.error, error, got.stack);
  return got;
}

const config = await step("discovery", async () => {
  const config = await configure("basic");
  const server = config.serverMetadata();
  assert.equal(server.issuer, issuer);
  assert.equal(server.supportsPKCE(), true);
  for (const name of ["authorization", "token", "userinfo", "revocation", "introspection", "device_authorization", "end_session", "pushed_authorization_request"]) {
    assert.ok(server[`${name}_endpoint`], name);
  }
  assert.equal(server.authorization_response_iss_parameter_supported, true);
  return config;
});

await step("discovery by RFC 8414", async () => {
  const other = await client.discovery(new URL(issuer), "basic", undefined, undefined, { ...insecure, algorithm: "oauth2" });
  assert.equal(other.serverMetadata().token_endpoint, config.serverMetadata().token_endpoint);
});

for (const id of ["basic", "post", "key", "cli", "first"]) {
  const method = clients[id].method === "none" ? "a public client on a loopback port of its choice" : clients[id].method;
  await step(`${id}: code with PKCE, ${method}: state, nonce, iss, ID token, userinfo, refresh`, async () => {
    const config = await configure(id);
    const { tokens, claims, answer, browser } = await signIn(config);
    assert.equal(answer.searchParams.get("iss"), issuer);
    assert.equal(tokens.token_type, "bearer");
    assert.ok(tokens.expiresIn() > 0 && tokens.refresh_token);
    assert.equal(claims.sub, user.id);
    assert.equal(claims.iss, issuer);
    assert.equal(claims.aud, id);
    assert.equal(decodeProtectedHeader(tokens.id_token).alg, "RS256");
    const info = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
    assert.equal(info.email, user.email);
    assert.equal(typeof info.email_verified, "boolean");
    assert.equal(info.name, user.name);
    const next = await client.refreshTokenGrant(config, tokens.refresh_token);
    assert.notEqual(next.access_token, tokens.access_token);
    assert.ok(next.refresh_token);
    if (next.claims()) assert.equal(next.claims().sub, claims.sub);
    await client.fetchUserInfo(config, next.access_token, claims.sub);
    assert.equal(browser.consents > 0, id !== "first", "consent is asked of all but first-party clients");
  });
}

await step("enableNonRepudiationChecks: the ID token's signature by the JWKS", async () => {
  const config = await configure("basic");
  client.enableNonRepudiationChecks(config);
  await signIn(config);
});

await step("a code is good once, and only with its verifier", async () => {
  const verifier = client.randomPKCECodeVerifier();
  const parameters = { redirect_uri: redirectOf(config.one), scope: "openid", code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256" };
  const browser = new Browser(user);
  const first = await browser.open(client.buildAuthorizationUrl(config, parameters));
  await refused(client.authorizationCodeGrant(config, first, { pkceCodeVerifier: client.randomPKCECodeVerifier() }), "invalid_grant");
  const second = await browser.open(client.buildAuthorizationUrl(config, parameters));
  await client.authorizationCodeGrant(config, second, { pkceCodeVerifier: verifier });
  await refused(client.authorizationCodeGrant(config, second, { pkceCodeVerifier: verifier }), "invalid_grant");
});

await step("a narrower scope at refresh, never a wider one", async () => {
  const { tokens } = await signIn(config);
  const narrow = await client.refreshTokenGrant(config, tokens.refresh_token, { scope: "openid email" });
  assert.deepEqual(narrow.scope.split(" ").sort(), ["email", "openid"]);
  await refused(client.refreshTokenGrant(config, narrow.refresh_token, { scope: "openid records:write" }), "invalid_scope");
});

await step("form_post", async () => {
  const { answer, claims } = await signIn(config, { more: { response_mode: "form_post" } });
  assert.ok(answer instanceof Request);
  assert.equal(claims.sub, user.id);
});

await step("the user says no: access_denied, with state and iss", async () => {
  const parameters = { redirect_uri: redirectOf(config.one), scope: "openid", state: "a b&c", prompt: "consent", code_challenge: await client.calculatePKCECodeChallenge(client.randomPKCECodeVerifier()), code_challenge_method: "S256" };
  const answer = await new Browser(user).open(client.buildAuthorizationUrl(config, parameters), { decision: "deny" });
  const caught = await refused(client.authorizationCodeGrant(config, answer, { expectedState: "a b&c", pkceCodeVerifier: "x".repeat(43) }), "access_denied");
  assert.equal(caught.cause.get("iss"), issuer);
});

await step("PAR", async () => {
  const config = await configure("par");
  const { claims, address } = await signIn(config, { par: true });
  assert.deepEqual([...address.searchParams.keys()].sort(), ["client_id", "request_uri"]);
  assert.equal(claims.sub, user.id);
});

await step("PAR by a public client, and by private_key_jwt", async () => {
  await signIn(await configure("cli"), { par: true });
  await signIn(await configure("key"), { par: true });
});

await step("a client that must push is refused without", async () => {
  const config = await configure("par");
  const address = client.buildAuthorizationUrl(config, {
    redirect_uri: redirectOf(config.one), scope: "openid", state: "s",
    code_challenge: await client.calculatePKCECodeChallenge(client.randomPKCECodeVerifier()), code_challenge_method: "S256",
  });
  const answer = await new Browser(user).open(address);
  assert.equal(answer.searchParams.get("error"), "invalid_request");
});

await step("prompt=none: login_required without a session, consent_required without consent, else a code", async () => {
  const silent = { more: { prompt: "none" } };
  await refused(signIn(config, silent), "login_required");
  const someone = await signUp();
  const browser = new Browser(someone);
  await signIn(await configure("first"), { browser });
  await refused(signIn(config, { ...silent, browser }), "consent_required");
  await signIn(config, { browser });
  const [asked, consented] = [browser.signIns, browser.consents];
  await signIn(config, { ...silent, browser });
  assert.deepEqual([browser.signIns, browser.consents], [asked, consented]);
});

await step("prompt=login asks for the password again", async () => {
  const { browser, claims } = await signIn(config);
  await sleep(1100);
  const again = await signIn(config, { browser, more: { prompt: "login", max_age: "600" }, checks: { maxAge: 600 } });
  assert.equal(browser.signIns, 2);
  assert.equal(again.claims.sub, claims.sub);
});

await step("max_age: auth_time in the ID token; too old is asked again", async () => {
  const { browser, claims } = await signIn(config, { more: { max_age: "600" }, checks: { maxAge: 600 } });
  assert.equal(typeof claims.auth_time, "number");
  await sleep(4100);
  const young = await signIn(config, { browser, more: { max_age: "600" }, checks: { maxAge: 600 } });
  assert.equal(browser.signIns, 1);
  assert.equal(young.claims.auth_time, claims.auth_time);
  const again = await signIn(config, { browser, more: { max_age: "3" }, checks: { maxAge: 3 } });
  assert.equal(browser.signIns, 2);
  assert.ok(again.claims.auth_time > claims.auth_time);
});

await step("id_token_hint: of the same user silent, of another login_required", async () => {
  const { browser, tokens } = await signIn(config);
  await signIn(config, { browser, more: { prompt: "none", id_token_hint: tokens.id_token } });
  const other = await signIn(config, { browser: new Browser(await signUp()) });
  await refused(signIn(config, { browser, more: { prompt: "none", id_token_hint: other.tokens.id_token } }), "login_required");
});

await step("claims: what was asked for the ID token is in it", async () => {
  const { claims } = await signIn(config, { scope: "openid", more: { claims: JSON.stringify({ id_token: { auth_time: { essential: true }, email: null } }) } });
  assert.equal(typeof claims.auth_time, "number");
  assert.equal(claims.email, user.email);
});

await step("resource: an access token for one audience", async () => {
  const { tokens } = await signIn(config, { more: { resource }, token: { resource }, scope: "openid offline_access records:read" });
  const claims = decodeJwt(tokens.access_token);
  assert.deepEqual([claims.aud].flat(), [resource]);
  assert.equal(claims.sub, user.id);
  assert.equal(claims.client_id, "basic");
  assert.equal(decodeProtectedHeader(tokens.access_token).typ, "at+jwt");
  const next = await client.refreshTokenGrant(config, tokens.refresh_token, { resource });
  assert.deepEqual([decodeJwt(next.access_token).aud].flat(), [resource]);
  await refused(signIn(config, { more: { resource: "https://unknown.example" } }), "invalid_target");
});

await step("introspection: one's own; another's is just inactive", async () => {
  const { tokens } = await signIn(config);
  const seen = await client.tokenIntrospection(config, tokens.access_token);
  assert.equal(seen.active, true);
  assert.equal(seen.client_id, "basic");
  assert.equal(seen.sub, user.id);
  assert.equal(seen.iss, issuer);
  assert.ok(seen.exp > seen.iat && seen.scope.split(" ").includes("openid"));
  assert.equal((await client.tokenIntrospection(config, tokens.refresh_token, { token_type_hint: "refresh_token" })).active, true);
  const stranger = await configure("post");
  assert.deepEqual(await client.tokenIntrospection(stranger, tokens.access_token), { active: false });
  assert.deepEqual(await client.tokenIntrospection(config, "nonsense"), { active: false });
});

await step("revocation: access and refresh; unknown is fine; another's stays", async () => {
  const { tokens } = await signIn(config);
  await client.tokenRevocation(await configure("post"), tokens.access_token).catch((error) => assert.ok(error.error));
  assert.equal((await client.tokenIntrospection(config, tokens.access_token)).active, true);
  await client.tokenRevocation(config, tokens.access_token, { token_type_hint: "access_token" });
  assert.deepEqual(await client.tokenIntrospection(config, tokens.access_token), { active: false });
  const other = (await signIn(config)).tokens;
  await client.tokenRevocation(config, other.refresh_token);
  await refused(client.refreshTokenGrant(config, other.refresh_token), "invalid_grant");
  assert.deepEqual(await client.tokenIntrospection(config, other.access_token), { active: false });
  await client.tokenRevocation(config, "nonsense");
});

for (const id of ["machine", "machine-key"]) {
  await step(`${id}: client credentials, ${clients[id].method}`, async () => {
    const config = await configure(id);
    const tokens = await client.clientCredentialsGrant(config, { scope: "records:read", resource });
    assert.equal(tokens.scope, "records:read");
    assert.equal(tokens.refresh_token, undefined);
    assert.equal(tokens.id_token, undefined);
    const claims = decodeJwt(tokens.access_token);
    assert.equal(claims.client_id, id);
    assert.deepEqual([claims.aud].flat(), [resource]);
    await refused(client.clientCredentialsGrant(config, { scope: "account:write" }), "invalid_scope");
  });
}

await step("a wrong secret is invalid_client", async () => {
  const config = await client.discovery(new URL(issuer), "machine", undefined, client.ClientSecretPost("wrong".repeat(8)), insecure);
  const caught = await client.clientCredentialsGrant(config).catch((error) => error);
  assert.ok(caught.error === "invalid_client" || caught.code === "OAUTH_WWW_AUTHENTICATE_CHALLENGE", caught.stack);
  assert.equal(caught.status, 401);
});

await step("device flow, with polling", async () => {
  const config = await configure("tv");
  const device = await client.initiateDeviceAuthorization(config, { scope: "openid profile offline_access" });
  assert.equal(device.verification_uri, `${issuer}/device`);
  assert.match(device.user_code, /^[A-Z]{4}-?[A-Z]{4}$/);
  record.take();
  const polling = client.pollDeviceAuthorizationGrant(config, device);
  polling.catch(() => {});
  const statuses = () => record.answers.filter((one) => one.path === "/oauth/token").map((one) => one.status);
  while (statuses().length === 0) await sleep(50);
  await new Browser(user).open(device.verification_uri, { code: device.user_code });
  const tokens = await polling;
  // A slow user is asked for once more.
  const [last, ...before] = statuses().reverse();
  assert.ok(last === 200 && before.length > 0 && before.every((status) => status === 400), `${statuses()}`);
  record.take();
  assert.equal(tokens.claims().sub, user.id);
  assert.equal((await client.fetchUserInfo(config, tokens.access_token, user.id)).name, user.name);
  const next = await client.refreshTokenGrant(config, tokens.refresh_token);
  assert.ok(next.access_token);
});

if (!isReference) {
  await step("device flow: the user says no", async () => {
    const config = await configure("tv");
    const device = await client.initiateDeviceAuthorization(config, { scope: "openid" });
    const polling = client.pollDeviceAuthorizationGrant(config, device);
    polling.catch(() => {});
    await new Browser(user).open(device.verification_uri_complete, { code: device.user_code, decision: "deny" });
    await refused(polling, "access_denied");
  });
}

for (const id of ["phone", "web-dpop"]) {
  await step(`${id}: DPoP, ${clients[id].method}: nonce and retry, bound token, userinfo, refresh`, async () => {
    const config = await configure(id);
    const keys = await client.randomDPoPKeyPair("ES256");
    const DPoP = client.getDPoPHandle(config, keys);
    record.take();
    const { tokens } = await signIn(config, { DPoP });
    const asked = record.take().filter((one) => one.path === "/oauth/token");
    assert.deepEqual(asked.map((one) => one.status), [400, 200]);
    assert.ok(asked[0].headers.get("dpop-nonce"));
    assert.equal(tokens.token_type, "dpop");
    const info = await client.fetchUserInfo(config, tokens.access_token, user.id, { DPoP });
    assert.equal(info.email, user.email);
    const next = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP });
    assert.equal(next.token_type, "dpop");
    await client.fetchUserInfo(config, next.access_token, user.id, { DPoP });
    const plain = await fetch(config.serverMetadata().userinfo_endpoint, { headers: { authorization: `Bearer ${next.access_token}` } });
    assert.equal(plain.status, 401, "a bound token is no bearer token");
    const thief = client.getDPoPHandle(config, await client.randomDPoPKeyPair("ES256"));
    await client.fetchUserInfo(config, next.access_token, user.id, { DPoP: thief }).then(() => assert.fail("a thief's key"), (error) => assert.equal(error.status, 401));
    if (clients[id].method === "none") await refused(client.refreshTokenGrant(config, next.refresh_token, undefined, { DPoP: thief }), "invalid_grant");
  });
}

await step("DPoP with PAR: the code is bound to the key as well", async () => {
  const config = await configure("phone");
  const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair("ES256"));
  const { tokens } = await signIn(config, { DPoP, par: true });
  assert.equal(tokens.token_type, "dpop");
});

await step("a client that must use DPoP is refused without", async () => {
  await signIn(await configure("phone")).then(() => assert.fail("no proof"), (error) => assert.ok(["invalid_request", "invalid_dpop_proof", "invalid_grant"].includes(error.error), error.stack));
});

await step("signed userinfo", async () => {
  const config = await configure("signed", { userinfo_signed_response_alg: "RS256" });
  client.enableNonRepudiationChecks(config);
  record.take();
  const { tokens } = await signIn(config);
  const info = await client.fetchUserInfo(config, tokens.access_token, user.id);
  const answer = record.take().find((one) => one.path === new URL(config.serverMetadata().userinfo_endpoint).pathname);
  assert.match(answer.headers.get("content-type"), /^application\/jwt(;|$)/);
  assert.equal(info.email, user.email);
});

await step("sign-out by the relying party: back with state, and the session is over", async () => {
  const { tokens, browser } = await signIn(config);
  const address = client.buildEndSessionUrl(config, { id_token_hint: tokens.id_token, post_logout_redirect_uri: config.one.post_logout_redirect_uri, state: "a b&c" });
  const back = await browser.open(address);
  assert.ok(back instanceof URL, back.text);
  assert.equal(`${back.origin}${back.pathname}`, config.one.post_logout_redirect_uri);
  assert.equal(back.searchParams.get("state"), "a b&c");
  await refused(signIn(config, { browser, more: { prompt: "none" } }), "login_required");
});
