// npm oidc-provider, set up to look like Tollgate: the same paths, the same forms, the same rules. The programs here are
// proven against it, so that a failure against Tollgate is Tollgate's. Reads ISSUER, CLIENTS (a file), RESOURCE; knows no secrets.
import { createServer } from "node:http";
import { generateKeyPairSync, randomBytes, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import Provider, { errors, interactionPolicy } from "oidc-provider";

// Node 20 lacks it, oidc-provider calls it.
URL.parse ??= (address, base) => (URL.canParse(address, base) ? new URL(address, base) : null);

const issuer = process.env.ISSUER;
const resource = process.env.RESOURCE;
const resources = process.env.RESOURCES.split(" ");
const exchange = "urn:ietf:params:oauth:grant-type:token-exchange";
const users = new Map();
const scopes = ["openid", "profile", "email", "offline_access", "account:read", "account:write", "records:read", "records:write"];

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const { clients, own } = JSON.parse(readFileSync(process.env.CLIENTS, "utf8")).reference;

const page = (title, body) => `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title>
<link rel="icon" href="data:,"><body><main><h1>${title}</h1>${body}</main>`;
const signInForm = (request, hint, problem = "") => page("Sign in", `<p role="alert">${problem}</p>
<form method="post" action="/sign-in"><input type="hidden" name="csrf" value="c"><input type="hidden" name="request" value="${request}">
<label>Email <input type="email" name="email" value="${hint ?? ""}" autocomplete="username" required></label>
<label>Password <input type="password" name="password" autocomplete="current-password" required></label>
<button type="submit">Sign in</button></form>`);
const consentForm = (request, client, asked) => page("Allow access", `<p>${client} asks for ${asked}</p>
<form method="post" action="/consent"><input type="hidden" name="csrf" value="c"><input type="hidden" name="request" value="${request}">
<button type="submit" name="decision" value="allow">Allow</button><button type="submit" name="decision" value="deny">Deny</button></form>`);

const policy = interactionPolicy.base();

const provider = new Provider(issuer, {
  clients,
  jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), use: "sig", alg: "RS256" }] },
  cookies: { keys: [randomBytes(32).toString("hex")] },
  pkce: { required: () => true },
  scopes,
  claims: { openid: ["sub"], profile: ["name", "locale"], email: ["email", "email_verified"], auth_time: null, acr: null, amr: null },
  subjectTypes: ["public"],
  responseTypes: ["code"],
  conformIdTokenClaims: true,
  // There is no https on loopback: one client's metadata document is here, and nothing else is fetched.
  fetch: async (address) => {
    if (String(address) !== process.env.CLIENT_METADATA_URL) throw new Error(`not fetched: ${address}`);
    return Response.json({
      client_id: process.env.CLIENT_METADATA_URL, client_name: "An MCP host", redirect_uris: [process.env.CLIENT_METADATA_REDIRECT],
      grant_types: ["authorization_code", "refresh_token"], response_types: ["code"], token_endpoint_auth_method: "none", application_type: "native",
    });
  },
  clientBasedCORS: () => true,
  clientAuthMethods: ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"],
  assertJwtClientAuthClaimsAndHeader() {},
  extraClientMetadata: { properties: ["first_party"] },
  clientDefaults: { id_token_signed_response_alg: "RS256" },
  ttl: { AccessToken: 600, IdToken: 600, AuthorizationCode: 60, ClientCredentials: 600, DeviceCode: 600, RefreshToken: 86400, Session: 86400, Grant: 86400, Interaction: 600 },
  issueRefreshToken: (_ctx, client) => client.grantTypeAllowed("refresh_token"),
  extraTokenClaims: (_ctx, token) => token.gty === "exchange" ? { act: { sub: token.clientId } } : undefined,
  rotateRefreshToken: (ctx) => ctx.oidc.client.clientId !== "spa",
  findAccount: (_ctx, id) => {
    const user = [...users.values()].find((one) => one.id === id);
    return user && { accountId: id, claims: () => ({ sub: id, email: user.email, email_verified: false, name: user.name, locale: user.locale }) };
  },
  interactions: { policy, url: (_ctx, interaction) => `/${interaction.prompt.name === "login" ? "sign-in" : "consent"}?request=${interaction.uid}` },
  loadExistingGrant: async (ctx) => {
    const id = ctx.oidc.result?.consent?.grantId ?? ctx.oidc.session.grantIdFor(ctx.oidc.client.clientId);
    if (id) return provider.Grant.find(id);
    if (ctx.oidc.client.first_party) {
      const grant = new provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
      grant.addOIDCScope(scopes.join(" "));
      grant.addResourceScope(resource, scopes.join(" "));
      await grant.save();
      return grant;
    }
  },
  routes: {
    authorization: "/oauth/authorize", pushed_authorization_request: "/oauth/par", token: "/oauth/token",
    device_authorization: "/oauth/device_authorization", code_verification: "/device", revocation: "/oauth/revoke",
    introspection: "/oauth/introspect", userinfo: "/oauth/userinfo", end_session: "/oauth/logout", registration: "/oauth/register",
    jwks: "/.well-known/jwks.json",
  },
  features: {
    devInteractions: { enabled: false },
    claimsParameter: { enabled: true },
    clientIdMetadataDocument: { enabled: true, ack: "draft-02" },
    pushedAuthorizationRequests: { enabled: true, allowUnregisteredRedirectUris: false },
    dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
    deviceFlow: {
      enabled: true,
      userCodeInputSource: (ctx, form) => { ctx.body = page("Connect a device", form.replace("</form>", '<input type="text" name="user_code"><button type="submit">Next</button></form>')); },
      userCodeConfirmSource: (ctx, form) => { ctx.body = page("Connect a device", form.replace("</form>", '<button type="submit" name="decision" value="allow">Allow</button></form>')); },
      successSource: (ctx) => { ctx.body = page("Device connected", ""); },
    },
    introspection: { enabled: true, allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId || (token.aud !== undefined && token.aud === own[client.clientId]) },
    jwtIntrospection: { enabled: true },
    jwtUserinfo: { enabled: true },
    revocation: { enabled: true, allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId },
    clientCredentials: { enabled: true },
    registration: { enabled: true, initialAccessToken: false },
    registrationManagement: { enabled: true, rotateRegistrationAccessToken: true },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: (ctx, form) => { ctx.body = page("Sign out", form.replace("</form>", '<input type="hidden" name="logout" value="yes"><button type="submit" name="decision" value="allow">Sign out</button></form>')); },
      postLogoutSuccessSource: (ctx) => { ctx.body = page("Signed out", ""); },
    },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => false,
      getResourceServerInfo: (_ctx, asked) => {
        if (!resources.includes(asked)) throw new errors.InvalidTarget();
        return { scope: "records:read records:write", audience: asked, accessTokenFormat: "jwt", jwt: { sign: { alg: "RS256" } } };
      },
    },
  },
  renderError: (ctx, out) => { ctx.type = "html"; ctx.body = page("Error", `<pre>${JSON.stringify(out).replaceAll("<", "&lt;")}</pre>`); },
});

// oidc-client-ts refuses the text/plain that Koa gives to the empty answer of a revocation.
provider.use(async (ctx, next) => {
  await next();
  if (ctx.path === "/oauth/revoke" && ctx.status === 200) ctx.remove("content-type");
});

// Enough of RFC 8693 to prove the program: an opaque subject token of ours becomes a JWT for the resource.
provider.registerGrantType(exchange, async (ctx) => {
  const { subject_token, scope } = ctx.oidc.params;
  const subject = await provider.AccessToken.find(subject_token);
  if (!subject) throw new errors.InvalidGrant("subject token");
  const token = new provider.AccessToken({ accountId: subject.accountId, client: ctx.oidc.client, grantId: subject.grantId, gty: "exchange", scope });
  token.resourceServer = new provider.ResourceServer(resource, { scope: "records:read", audience: resource, accessTokenFormat: "jwt", jwt: { sign: { alg: "RS256" } } });
  ctx.oidc.entity("AccessToken", token);
  ctx.body = {
    access_token: await token.save(), token_type: token.tokenType, expires_in: 600, scope,
    issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
  };
}, ["subject_token", "subject_token_type", "actor_token", "actor_token_type", "audience", "resource", "scope", "requested_token_type"]);

for (const [event, name] of [["server_error", "server"], ["grant.error", "token"], ["authorization.error", "authorize"], ["userinfo.error", "userinfo"], ["registration_create.error", "register"], ["introspection.error", "introspect"]]) {
  provider.on(event, (_ctx, error) => console.error(name, name === "server" ? error : `${error.message}: ${error.error_description} (${error.error_detail})`));
}

const handle = provider.callback();
const body = async (request) => {
  let text = "";
  for await (const block of request) text += block;
  return text;
};
const cors = { "access-control-allow-origin": "*", "access-control-allow-headers": "authorization, content-type, dpop", "access-control-allow-methods": "GET, POST" };
const json = (response, status, value) => response.writeHead(status, { "content-type": "application/json", ...cors }).end(JSON.stringify(value));
const html = (response, text, status = 200) => response.writeHead(status, { "content-type": "text/html; charset=utf-8", "content-security-policy": "frame-ancestors 'none'" }).end(text);

async function ours(request, response, url) {
  switch (`${request.method} ${url.pathname}`) {
    case "POST /v1/users": {
      const user = { id: randomUUID(), ...JSON.parse(await body(request)) };
      users.set(user.email, user);
      const { password, ...shown } = user;
      return json(response, 201, shown);
    }
    case "OPTIONS /v1/users/me":
      return response.writeHead(204, cors).end();
    case "GET /v1/users/me": {
      const token = await provider.AccessToken.find(request.headers.authorization?.split(" ")[1]);
      const user = token && [...users.values()].find((one) => one.id === token.accountId);
      if (!user) return json(response, 401, { title: "who?" });
      return json(response, 200, { id: user.id, email: user.email, name: user.name });
    }
    case "GET /oauth/authorize":
      // A request without scope (RFC 6749 3.3) gets a default one, which oidc-provider does not know.
      if (url.searchParams.has("client_id") && !url.searchParams.has("scope") && !url.searchParams.has("request_uri")) request.url += "&scope=openid";
      return handle(request, response);
    case "GET /.well-known/oauth-authorization-server":
      request.url = "/.well-known/openid-configuration";
      return handle(request, response);
    case "GET /sign-in": {
      const { uid, params } = await provider.interactionDetails(request, response);
      return html(response, signInForm(uid, params.login_hint));
    }
    case "POST /sign-in": {
      const form = new URLSearchParams(await body(request));
      if (request.headers.origin !== issuer || request.headers["sec-fetch-site"] !== "same-origin") return html(response, page("Refused", ""), 403);
      const user = users.get(form.get("email"));
      if (user?.password !== form.get("password")) return html(response, signInForm(form.get("request"), "", "Email or password is wrong."), 401);
      return provider.interactionFinished(request, response, { login: { accountId: user.id, amr: ["pwd"], acr: "1" } });
    }
    case "GET /consent": {
      const { uid, params } = await provider.interactionDetails(request, response);
      return html(response, consentForm(uid, params.client_id, params.scope));
    }
    case "POST /consent": {
      const form = new URLSearchParams(await body(request));
      const { params, prompt, session, grantId } = await provider.interactionDetails(request, response);
      if (form.get("decision") !== "allow") return provider.interactionFinished(request, response, { error: "access_denied", error_description: "the user refused" });
      const grant = grantId ? await provider.Grant.find(grantId) : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
      const { missingOIDCScope, missingOIDCClaims, missingResourceScopes } = prompt.details;
      if (missingOIDCScope) grant.addOIDCScope(missingOIDCScope.join(" "));
      if (missingOIDCClaims) grant.addOIDCClaims(missingOIDCClaims);
      for (const [one, asked] of Object.entries(missingResourceScopes ?? {})) grant.addResourceScope(one, asked.join(" "));
      return provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } }, { mergeWithLastSubmission: true });
    }
    default:
      return handle(request, response);
  }
}

const { port, hostname } = new URL(issuer);
createServer((request, response) => {
  ours(request, response, new URL(request.url, issuer)).catch((error) => {
    console.error(error);
    response.headersSent || html(response, page("Error", `<pre>${String(error).replaceAll("<", "&lt;")}</pre>`), 500);
  });
}).listen(port, hostname, () => console.log("ready: Ctrl-C ends"));
