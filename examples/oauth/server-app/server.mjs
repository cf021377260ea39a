// A server that renders pages: tokens stay here, the browser gets a cookie. Environment: TOLLGATE, CLIENT_SECRET, PORT.
import { createServer } from "node:http";
import { createRemoteJWKSet, jwtVerify } from "jose";
import * as oidc from "openid-client";

const { TOLLGATE = "http://localhost:8080", CLIENT_SECRET: secret, PORT: port = "4000" } = process.env;
const CLIENT = "office";
const here = `http://localhost:${port}`;

// Plain http is for this machine only: leave `execute` out where Tollgate has https.
const tollgate = await oidc.discovery(new URL(TOLLGATE), CLIENT, secret, oidc.ClientSecretBasic(secret), {
  execute: [oidc.allowInsecureRequests],
});
const keys = createRemoteJWKSet(new URL(tollgate.serverMetadata().jwks_uri));

const sessions = new Map(); // by the cookie's value; a real app has them in its database

const sessionOf = (request) => sessions.get(/(?:^|; )office=([\w-]+)/.exec(request.headers.cookie ?? "")?.[1]);

function open(response, session) {
  const id = crypto.randomUUID();
  sessions.set(id, session);
  response.setHeader("set-cookie", `office=${id}; HttpOnly; SameSite=Lax; Path=/`);
  return session;
}

function forget(isMeant) {
  for (const [id, session] of sessions) if (isMeant(session)) sessions.delete(id);
}

async function signIn(request, response) {
  const { verifier, state } = open(response, { verifier: oidc.randomPKCECodeVerifier(), state: oidc.randomState() });
  redirect(response, oidc.buildAuthorizationUrl(tollgate, {
    redirect_uri: `${here}/callback`,
    scope: "openid profile email account:read",
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    state,
  }));
}

async function callback(request, response) {
  const begun = sessionOf(request);
  const tokens = await oidc.authorizationCodeGrant(tollgate, new URL(request.url, here), {
    pkceCodeVerifier: begun?.verifier,
    expectedState: begun?.state,
    idTokenExpected: true,
  });
  // Another cookie than before signing in, so that nobody can have planted it.
  forget((session) => session === begun);
  open(response, { sid: tokens.claims().sid, idToken: tokens.id_token, ...kept(tokens) });
  redirect(response, "/");
}

const kept = (tokens) => ({
  access: tokens.access_token,
  refresh: tokens.refresh_token,
  until: Date.now() + (tokens.expiresIn() - 30) * 1000,
});

/** Calls the API for whoever is signed in; an access token that is over, or died early, costs one refresh. */
async function call(session, path) {
  const refresh = async () => Object.assign(session, kept(await oidc.refreshTokenGrant(tollgate, session.refresh)));
  const ask = () => oidc.fetchProtectedResource(tollgate, session.access, new URL(path, TOLLGATE), "GET");
  if (session.until < Date.now()) await refresh();
  const response = await ask().catch(async (error) => {
    if (error.status !== 401) throw error;
    await refresh();
    return ask();
  });
  return response.json();
}

async function home(request, response) {
  const session = sessionOf(request);
  if (!session?.access) return page(response, `<p>You are signed out. <a href="/sign-in">Sign in</a>`);
  try {
    const me = await call(session, "/v1/users/me");
    page(response, `<p>Hello ${escape(me.name ?? me.email)}, member since ${me.created_at.slice(0, 10)}.
      <form method="post" action="/sign-out"><button>Sign out</button></form>`);
  } catch (error) {
    if (error.error !== "invalid_grant") throw error; // only this word ends a session
    forget((one) => one === session);
    redirect(response, "/");
  }
}

async function signOut(request, response) {
  const session = sessionOf(request);
  forget((one) => one === session);
  redirect(response, session?.idToken
    ? oidc.buildEndSessionUrl(tollgate, { post_logout_redirect_uri: `${here}/`, id_token_hint: session.idToken })
    : "/");
}

/** Tollgate says that a session has ended: signed out elsewhere, or by an administrator. */
async function backChannelLogout(request, response) {
  const body = new URLSearchParams(await text(request));
  const { payload } = await jwtVerify(body.get("logout_token") ?? "", keys, {
    issuer: TOLLGATE,
    audience: CLIENT,
    typ: "logout+jwt",
    algorithms: ["RS256"],
  });
  forget((session) => session.sid === payload.sid);
  console.log(`session ${payload.sid} has ended`);
  response.writeHead(200, { "cache-control": "no-store" }).end();
}

async function text(request) {
  let body = "";
  for await (const block of request) body += block;
  return body;
}

const redirect = (response, location) => response.writeHead(303, { location: String(location) }).end();
const page = (response, html) =>
  response.setHeader("content-type", "text/html; charset=utf-8").end(`<!doctype html><title>The office</title>${html}`);
const escape = (text) => text.replace(/[&<>"]/g, (one) => `&#${one.charCodeAt()};`);

const routes = {
  "GET /": home,
  "GET /sign-in": signIn,
  "GET /callback": callback,
  "POST /sign-out": signOut,
  "POST /backchannel-logout": backChannelLogout,
};

createServer(async (request, response) => {
  const route = routes[`${request.method} ${new URL(request.url, here).pathname}`];
  try {
    if (route) await route(request, response);
    else response.writeHead(404).end("There is nothing here.\n");
  } catch (error) {
    console.error(error);
    const { error: name = error.code, error_description: words = error.message } = error;
    response.writeHead(400, { "content-type": "text/plain" }).end(`${name}: ${words}\n`);
  }
}).listen(Number(port), "localhost", () => console.log(`open ${here}`));
