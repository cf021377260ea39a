// oauth4webapi, which takes nothing on trust: every response by its own strict processor, every signature checked.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { decodeJwt, exportJWK, generateKeyPair, importJWK } from "jose";
import * as oauth from "oauth4webapi";
import { Browser, signUp } from "./browser.mjs";
import { clients, isReference, issuer, mayRegister, resource, step } from "./steps.mjs";

const insecure = { [oauth.allowInsecureRequests]: true };
const user = await signUp();
const EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token";

const discover = async (algorithm) => oauth.processDiscoveryResponse(new URL(issuer), await oauth.discoveryRequest(new URL(issuer), { ...insecure, algorithm }));

async function authenticationOf(one) {
  switch (one.method) {
    case "client_secret_basic": return oauth.ClientSecretBasic(one.client_secret);
    case "client_secret_post": return oauth.ClientSecretPost(one.client_secret);
    case "private_key_jwt": return oauth.PrivateKeyJwt({ key: await importJWK(one.private_key, one.private_key.alg), kid: one.private_key.kid });
    case "none": return oauth.None();
  }
}

// A client as the library wants it, and how it authenticates.
async function known(id, metadata = {}) {
  const one = clients[id] ?? id;
  return { one, client: { client_id: one.client_id, ...metadata }, authentication: await authenticationOf(one) };
}

const redirectOf = (one) => one.redirect_uri.replace("127.0.0.1/", "127.0.0.1:49153/");

// Asks again when the server wants a nonce in the proof.
async function proving(DPoP, ask, read) {
  try {
    return await read(await ask());
  } catch (error) {
    if (!DPoP || !oauth.isDPoPNonceError(error)) throw error;
    return read(await ask());
  }
}

async function signIn(id, { more = {}, browser = new Browser(user), scope = "openid profile email offline_access account:read", DPoP, par = false, maxAge, metadata } = {}) {
  const { one, client, authentication } = id.one ? id : await known(id, metadata);
  const [verifier, state, nonce] = [oauth.generateRandomCodeVerifier(), oauth.generateRandomState(), oauth.generateRandomNonce()];
  let parameters = new URLSearchParams({
    client_id: client.client_id, redirect_uri: redirectOf(one), response_type: "code", scope, state, nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256", ...more,
  });
  if (par) {
    const pushed = await proving(
      DPoP,
      () => oauth.pushedAuthorizationRequest(as, client, authentication, parameters, { DPoP, ...insecure }),
      (response) => oauth.processPushedAuthorizationResponse(as, client, response),
    );
    assert.match(pushed.request_uri, /^urn:ietf:params:oauth:request_uri:/);
    assert.ok(pushed.expires_in > 0 && pushed.expires_in <= 90);
    parameters = new URLSearchParams({ client_id: client.client_id, request_uri: pushed.request_uri });
  }
  const address = new URL(as.authorization_endpoint);
  address.search = parameters;
  const answer = await browser.open(address);
  assert.ok(answer instanceof URL || answer instanceof Request, `not sent back: ${answer.status} ${answer.text}`);
  const given = answer instanceof URL ? answer.searchParams : new URLSearchParams(await answer.text());
  const checked = oauth.validateAuthResponse(as, client, given, state);
  const tokens = await proving(
    DPoP,
    () => oauth.authorizationCodeGrantRequest(as, client, authentication, checked, redirectOf(one), verifier, { DPoP, additionalParameters: more.resource ? { resource: more.resource } : undefined, ...insecure }),
    async (response) => {
      const kept = response.clone();
      const tokens = await oauth.processAuthorizationCodeResponse(as, client, response, { expectedNonce: nonce, requireIdToken: true, maxAge });
      assert.equal(kept.headers.get("cache-control"), "no-store");
      await oauth.validateApplicationLevelSignature(as, response, insecure);
      return tokens;
    },
  );
  return { tokens, claims: oauth.getValidatedIdTokenClaims(tokens), browser, client, authentication, one };
}

async function refresh({ client, authentication }, token, { DPoP, ...more } = {}) {
  return proving(
    DPoP,
    () => oauth.refreshTokenGrantRequest(as, client, authentication, token, { DPoP, additionalParameters: more, ...insecure }),
    async (response) => {
      const tokens = await oauth.processRefreshTokenResponse(as, client, response);
      if (tokens.id_token) await oauth.validateApplicationLevelSignature(as, response, insecure);
      return tokens;
    },
  );
}

async function introspect({ client, authentication }, token, options = {}) {
  const response = await oauth.introspectionRequest(as, client, authentication, token, { ...insecure, ...options });
  assert.equal(response.headers.get("cache-control"), "no-store");
  const answer = await oauth.processIntrospectionResponse(as, client, response);
  if (options.requestJwtResponse) await oauth.validateApplicationLevelSignature(as, response, insecure);
  return answer;
}

const userinfo = (client, token, sub, DPoP) => proving(
  DPoP,
  () => oauth.userInfoRequest(as, client, token, { DPoP, ...insecure }),
  async (response) => {
    const info = await oauth.processUserInfoResponse(as, client, sub, response);
    if (client.userinfo_signed_response_alg) await oauth.validateApplicationLevelSignature(as, response, insecure);
    return info;
  },
);

async function refused(promise, error, status = 400) {
  const got = await promise.then(() => assert.fail(`not refused as ${error}`), (caught) => caught);
  assert.equal(got.error, error, got.stack);
  if (got.status) assert.equal(got.status, status);
  return got;
}

const machine = async ({ client, authentication }, parameters) =>
  oauth.processClientCredentialsResponse(as, client, await oauth.clientCredentialsGrantRequest(as, client, authentication, parameters, insecure));

const as = await step("discovery by OpenID Connect and by RFC 8414: the same facts", async () => {
  const [one, other] = [await discover("oidc"), await discover("oauth2")];
  for (const name of Object.keys(other)) assert.deepEqual(other[name], one[name], name);
  assert.deepEqual(one.response_types_supported, ["code"]);
  assert.deepEqual(one.code_challenge_methods_supported, ["S256"]);
  assert.equal(one.authorization_response_iss_parameter_supported, true);
  assert.ok(one.id_token_signing_alg_values_supported.includes("RS256") && !one.id_token_signing_alg_values_supported.includes("none"));
  return one;
});

for (const id of ["basic", "post", "key", "cli"]) {
  await step(`${id}: code with PKCE, ${clients[id].method}; the ID token's signature; userinfo; refresh`, async () => {
    const seen = await signIn(id);
    const { tokens, claims, client } = seen;
    assert.equal(claims.sub, user.id);
    assert.equal(tokens.token_type, "bearer");
    const info = await userinfo(client, tokens.access_token, claims.sub);
    assert.equal(info.email, user.email);
    const next = await refresh(seen, tokens.refresh_token);
    await userinfo(client, next.access_token, claims.sub);
  });
}

if (!isReference) {
  await step("the access token without a resource is a JWT of RFC 9068 for the issuer itself", async () => {
    const { tokens } = await signIn("basic");
    const request = new Request(`${issuer}/v1/users/me`, { headers: { authorization: `Bearer ${tokens.access_token}` } });
    const claims = await oauth.validateJwtAccessToken(as, request, issuer, insecure);
    assert.equal(claims.sub, user.id);
    assert.equal(claims.client_id, "basic");
    const me = await fetch(request);
    assert.equal(me.status, 200);
    assert.equal((await me.json()).id, user.id);
  });
}

await step("resource: a JWT of RFC 9068 for that audience", async () => {
  const seen = await signIn("basic", { more: { resource }, scope: "openid offline_access records:read" });
  const request = new Request(`${resource}/orders`, { headers: { authorization: `Bearer ${seen.tokens.access_token}` } });
  const claims = await oauth.validateJwtAccessToken(as, request, resource, insecure);
  assert.equal(claims.sub, user.id);
  assert.ok(claims.scope.split(" ").includes("records:read"));
});

await step("form_post", async () => {
  const { claims } = await signIn("basic", { more: { response_mode: "form_post" } });
  assert.equal(claims.sub, user.id);
});

await step("max_age and auth_time", async () => {
  const { claims } = await signIn("basic", { more: { max_age: "600" }, maxAge: 600 });
  assert.ok(Math.abs(claims.auth_time - Date.now() / 1000) < 30);
});

await step("prompt=none: login_required with state and iss", async () => {
  const caught = await refused(signIn("basic", { more: { prompt: "none" } }), "login_required");
  assert.equal(caught.cause.get("iss"), issuer);
});

await step("PAR: basic, public, private_key_jwt", async () => {
  for (const id of ["par", "cli", "key"]) await signIn(id, { par: true });
});

await step("a request_uri is good once", async () => {
  const { one, client, authentication } = await known("par");
  const parameters = { client_id: client.client_id, redirect_uri: redirectOf(one), response_type: "code", scope: "openid", code_challenge: await oauth.calculatePKCECodeChallenge("x".repeat(43)), code_challenge_method: "S256" };
  const pushed = await oauth.processPushedAuthorizationResponse(as, client, await oauth.pushedAuthorizationRequest(as, client, authentication, parameters, insecure));
  const address = `${as.authorization_endpoint}?${new URLSearchParams({ client_id: client.client_id, request_uri: pushed.request_uri })}`;
  assert.ok((await new Browser(user).open(address)).searchParams.get("code"));
  const again = await new Browser(user).open(address);
  assert.ok(!(again instanceof URL) || !again.searchParams.has("code"));
});

await step("a pushed request that is wrong is refused at once", async () => {
  const { one, client, authentication } = await known("par");
  const push = async (more) => oauth.processPushedAuthorizationResponse(as, client, await oauth.pushedAuthorizationRequest(as, client, authentication, {
    client_id: client.client_id, redirect_uri: redirectOf(one), response_type: "code", scope: "openid", code_challenge: "x".repeat(43), code_challenge_method: "S256", ...more,
  }, insecure));
  await refused(push({ code_challenge_method: "plain" }), "invalid_request");
  await refused(push({ response_type: "token" }), "unsupported_response_type");
  await refused(push({ request_uri: "urn:x" }), isReference ? "request_uri_not_supported" : "invalid_request");
  const stranger = await push({ redirect_uri: `${redirectOf(one)}/../evil` }).catch((error) => error);
  assert.ok(["invalid_request", "invalid_redirect_uri"].includes(stranger.error), stranger.stack);
});

for (const id of ["phone", "web-dpop"]) {
  await step(`${id}: DPoP, ${clients[id].method}: nonce, bound code and tokens, userinfo, refresh`, async () => {
    const metadata = {};
    const keys = await oauth.generateKeyPair("ES256");
    const DPoP = oauth.DPoP(metadata, keys);
    for (const par of [false, true]) {
      const seen = await signIn(id, { DPoP, par, more: par ? {} : { dpop_jkt: await DPoP.calculateThumbprint() } });
      assert.equal(seen.tokens.token_type, "dpop");
      await userinfo(seen.client, seen.tokens.access_token, user.id, DPoP);
      const next = await refresh(seen, seen.tokens.refresh_token, { DPoP });
      assert.equal(next.token_type, "dpop");
      await userinfo(seen.client, next.access_token, user.id, DPoP);
      const seenByServer = await introspect(seen, next.access_token).catch(() => null);
      if (id === "web-dpop") assert.equal(seenByServer.cnf.jkt, await DPoP.calculateThumbprint());
    }
  });
}

if (!isReference) {
  await step("DPoP at our own API: nonce and retry, ath, jkt", async () => {
    const DPoP = oauth.DPoP({}, await oauth.generateKeyPair("ES256"));
    const { tokens } = await signIn("phone", { DPoP });
    const ask = () => oauth.protectedResourceRequest(tokens.access_token, "GET", new URL(`${issuer}/v1/users/me`), undefined, undefined, { DPoP, ...insecure });
    const response = await ask().catch((error) => (oauth.isDPoPNonceError(error) ? ask() : Promise.reject(error)));
    assert.equal(response.status, 200);
    assert.equal((await response.json()).id, user.id);
    const plain = await fetch(`${issuer}/v1/users/me`, { headers: { authorization: `Bearer ${tokens.access_token}` } });
    assert.equal(plain.status, 401);
  });
}

await step("DPoP with PS256, and for a token for another audience", async () => {
  const algorithm = as.dpop_signing_alg_values_supported.includes("PS256") ? "PS256" : "ES256";
  const DPoP = oauth.DPoP({}, await oauth.generateKeyPair(algorithm));
  const { tokens } = await signIn("web-dpop", { DPoP, more: { resource }, scope: "openid records:read" });
  const jkt = await DPoP.calculateThumbprint();
  assert.equal(decodeJwt(tokens.access_token).cnf.jkt, jkt);
});

for (const id of ["machine", "machine-key"]) {
  await step(`${id}: client credentials, ${clients[id].method}`, async () => {
    const tokens = await machine(await known(id), { scope: "records:read", resource });
    assert.equal(tokens.scope, "records:read");
    const request = new Request(resource, { headers: { authorization: `Bearer ${tokens.access_token}` } });
    const claims = await oauth.validateJwtAccessToken(as, request, resource, insecure);
    assert.equal(claims.sub, id);
    await refused(machine(await known(id), { scope: "records:read", resource: "https://unknown.example" }), "invalid_target");
  });
}

await step("invalid_client is 401, with a challenge when Basic was used", async () => {
  const wrong = { ...clients.machine, client_secret: "wrong".repeat(8) };
  for (const method of ["client_secret_basic", "client_secret_post"]) {
    const { client, authentication } = await known({ ...wrong, method });
    const response = await oauth.clientCredentialsGrantRequest(as, client, authentication, {}, insecure);
    assert.equal(response.status, 401);
    assert.equal((await response.clone().json()).error, "invalid_client");
    if (method === "client_secret_basic" && !isReference) assert.match(response.headers.get("www-authenticate"), /^Basic /);
    await oauth.processClientCredentialsResponse(as, client, response).then(() => assert.fail(), () => {});
  }
});

await step("introspection: JSON, and a signed JWT of RFC 9701", async () => {
  const seen = await signIn("basic");
  const plain = await introspect(seen, seen.tokens.access_token);
  assert.equal(plain.active, true);
  const signed = await introspect(seen, seen.tokens.access_token, { requestJwtResponse: true });
  assert.deepEqual(signed, plain);
  // RFC 9701 section 5: `aud` is who asked, also for what is not active.
  if (!isReference) assert.deepEqual(await introspect(seen, "nonsense", { requestJwtResponse: true }), { active: false });
});

if (!isReference) {
  await step("introspection by the resource server whose audience the token has", async () => {
    const { tokens } = await signIn("basic", { more: { resource }, scope: "openid records:read" });
    const seen = await introspect(await known("orders"), tokens.access_token);
    assert.equal(seen.active, true);
    assert.equal(seen.client_id, "basic");
    assert.deepEqual([seen.aud].flat(), [resource]);
    assert.deepEqual(await introspect(await known("post"), tokens.access_token), { active: false });
  });
}

await step("revocation", async () => {
  const seen = await signIn("basic");
  const revoke = async (token) => oauth.processRevocationResponse(await oauth.revocationRequest(as, seen.client, seen.authentication, token, insecure));
  await revoke("nonsense");
  await revoke(seen.tokens.access_token);
  assert.deepEqual(await introspect(seen, seen.tokens.access_token), { active: false });
  const other = await signIn("basic");
  await revoke(other.tokens.refresh_token);
  await refused(refresh(other, other.tokens.refresh_token), "invalid_grant");
  const cli = await signIn("cli");
  await oauth.processRevocationResponse(await oauth.revocationRequest(as, cli.client, cli.authentication, cli.tokens.refresh_token, insecure));
  await refused(refresh(cli, cli.tokens.refresh_token), "invalid_grant");
});

await step("device flow: authorization_pending, slow_down, then tokens with an ID token", async () => {
  const { client, authentication } = await known("tv");
  const device = await oauth.processDeviceAuthorizationResponse(as, client, await oauth.deviceAuthorizationRequest(as, client, authentication, { scope: "openid email offline_access" }, insecure));
  assert.ok(device.verification_uri_complete.includes(device.user_code));
  assert.ok(device.expires_in <= 600);
  const poll = async () => {
    const response = await oauth.deviceCodeGrantRequest(as, client, authentication, device.device_code, insecure);
    const tokens = await oauth.processDeviceCodeResponse(as, client, response);
    await oauth.validateApplicationLevelSignature(as, response, insecure);
    return tokens;
  };
  await refused(poll(), "authorization_pending");
  let wait = device.interval ?? 5;
  if (!isReference) {
    await refused(poll(), "slow_down");
    wait += 5;
  }
  await new Browser(user).open(device.verification_uri_complete);
  await sleep(wait * 1000 + 200);
  const tokens = await poll();
  assert.equal(oauth.getValidatedIdTokenClaims(tokens).sub, user.id);
  assert.equal((await userinfo(client, tokens.access_token, user.id)).email, user.email);
  const again = await poll().catch((error) => error);
  assert.ok(["invalid_grant", "expired_token"].includes(again.error), "a device code is good once");
});

await step("token exchange: for the resource, with act", async () => {
  const orders = await known("orders");
  // What a client was given for this resource server, the resource server turns into what it may use itself.
  const subject = isReference ? await signIn("basic") : await signIn("basic", { more: { resource }, scope: "openid records:read records:write" });
  const exchange = async (parameters) => oauth.processGenericTokenEndpointResponse(as, orders.client, await oauth.genericTokenEndpointRequest(as, orders.client, orders.authentication, EXCHANGE, {
    subject_token: subject.tokens.access_token, subject_token_type: ACCESS_TOKEN, scope: "records:read", resource, ...parameters,
  }, insecure));
  const tokens = await exchange({});
  assert.equal(tokens.issued_token_type, ACCESS_TOKEN);
  assert.equal(tokens.refresh_token, undefined);
  assert.ok(tokens.expires_in > 0 && tokens.expires_in <= 600);
  const request = new Request(resource, { headers: { authorization: `Bearer ${tokens.access_token}` } });
  const claims = await oauth.validateJwtAccessToken(as, request, resource, insecure);
  assert.equal(claims.sub, user.id);
  assert.equal(claims.client_id, "orders");
  assert.equal(claims.act.sub, "orders");
  assert.equal(claims.scope, "records:read");
  const forged = await exchange({ subject_token: "nonsense" }).catch((error) => error);
  assert.ok(["invalid_grant", "invalid_request"].includes(forged.error), forged.stack);
});

await step("signed userinfo", async () => {
  const { client, tokens } = await signIn("signed", { metadata: { userinfo_signed_response_alg: "RS256" } });
  assert.equal((await userinfo(client, tokens.access_token, user.id)).email, user.email);
});

if (mayRegister) {
  await step("dynamic registration and its management (RFC 7591, 7592)", async () => {
    const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
    const register = async (metadata) => oauth.processDynamicClientRegistrationResponse(await oauth.dynamicClientRegistrationRequest(as, metadata, insecure));
    const metadata = {
      client_name: "Registered", redirect_uris: ["https://registered.example/callback"], grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"], scope: "openid email",
    };
    const made = await register({ ...metadata, token_endpoint_auth_method: "client_secret_basic" });
    assert.ok(made.client_id && made.client_secret && made.registration_access_token && made.registration_client_uri);
    assert.equal(made.client_secret_expires_at, 0);
    assert.deepEqual(made.redirect_uris, metadata.redirect_uris);
    const as_client = (one, more = {}) => known({ method: one.token_endpoint_auth_method, redirect_uri: one.redirect_uris[0], ...one, ...more });
    await signIn(await as_client(made), { scope: "openid email" });

    const publicly = await register({ ...metadata, token_endpoint_auth_method: "none" });
    assert.equal(publicly.client_secret, undefined);
    await signIn(await as_client(publicly), { scope: "openid email" });

    const key = { ...(await exportJWK(publicKey)), kid: "k", alg: "ES256", use: "sig" };
    const keyed = await register({ ...metadata, token_endpoint_auth_method: "private_key_jwt", token_endpoint_auth_signing_alg: "ES256", jwks: { keys: [key] } });
    await signIn(await as_client(keyed, { private_key: { ...(await exportJWK(privateKey)), kid: "k", alg: "ES256" } }), { scope: "openid email" });

    await refused(register({ ...metadata, redirect_uris: ["javascript:alert(1)"] }), "invalid_redirect_uri");
    await refused(register({ ...metadata, redirect_uris: ["https://registered.example/callback#fragment"] }), "invalid_redirect_uri");
    await refused(register({ ...metadata, grant_types: ["password"] }), "invalid_client_metadata");

    let token = made.registration_access_token;
    const manage = async (method, body) => {
      const response = await fetch(made.registration_client_uri, {
        method, headers: { authorization: `Bearer ${token}`, ...(body && { "content-type": "application/json" }) }, body: body && JSON.stringify(body),
      });
      const answer = response.status === 204 ? {} : await response.json();
      token = answer.registration_access_token ?? token;
      return { status: response.status, answer };
    };
    const read = await manage("GET");
    assert.equal(read.status, 200);
    assert.equal(read.answer.client_id, made.client_id);
    const { registration_access_token, registration_client_uri, client_secret_expires_at, client_id_issued_at, ...rest } = read.answer;
    const before = token;
    const changed = await manage("PUT", { ...rest, client_name: "Renamed" });
    assert.equal(changed.status, 200, JSON.stringify(changed.answer));
    assert.equal(changed.answer.client_name, "Renamed");
    assert.notEqual(token, before, "the registration token is rotated");
    assert.equal((await manage("DELETE")).status, 204);
    assert.equal((await manage("GET")).status, 401);
    await signIn(await as_client(made), { scope: "openid email" }).then(() => assert.fail("a deleted client"), () => {});
  });

  await step("registration with userinfo_signed_response_alg", async () => {
    const made = await oauth.processDynamicClientRegistrationResponse(await oauth.dynamicClientRegistrationRequest(as, {
      redirect_uris: ["https://registered.example/callback"], response_types: ["code"], grant_types: ["authorization_code"],
      token_endpoint_auth_method: "none", userinfo_signed_response_alg: "RS256", scope: "openid email",
    }, insecure));
    assert.equal(made.userinfo_signed_response_alg, "RS256");
    const one = await known({ client_id: made.client_id, method: "none", redirect_uri: made.redirect_uris[0] }, { userinfo_signed_response_alg: "RS256" });
    const { tokens, client } = await signIn(one, { scope: "openid email" });
    await userinfo(client, tokens.access_token, user.id);
  });
}

if (!isReference) {
  await step("protected-resource metadata (RFC 9728) of our own API", async () => {
    const response = await oauth.resourceDiscoveryRequest(new URL(issuer), insecure);
    const metadata = await oauth.processResourceDiscoveryResponse(new URL(issuer), response);
    assert.deepEqual(metadata.authorization_servers, [issuer]);
    const refusedly = await fetch(`${issuer}/v1/users/me`);
    assert.match(refusedly.headers.get("www-authenticate"), /resource_metadata="/);
  });
}
