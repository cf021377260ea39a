// An API of your own. GET /orders verifies the token alone; POST /orders also asks Tollgate whether it still lives.
// Environment: TOLLGATE, ORDERS_SECRET, PORT.
import { createServer } from "node:http";
import { createRemoteJWKSet, errors, jwtVerify } from "jose";

const { TOLLGATE = "http://localhost:8080", ORDERS_SECRET: secret, PORT: port = "4100" } = process.env;
const AUDIENCE = "https://orders.example.com";

const keys = createRemoteJWKSet(new URL(`${TOLLGATE}/.well-known/jwks.json`), { cooldownDuration: 5_000 });

class Refused extends Error {
  constructor(status, error, more = "") {
    super(error);
    Object.assign(this, { status, challenge: `Bearer error="${error}"${more}` });
  }
}

/** Who calls, and whether they may: no question to Tollgate, except for its keys every ten minutes. */
async function verify(request, scope) {
  const token = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? "")?.[1];
  if (!token) throw Object.assign(new Refused(401, "invalid_token"), { challenge: "Bearer" });
  const { payload } = await jwtVerify(token, keys, {
    issuer: TOLLGATE,
    audience: AUDIENCE,
    typ: "at+jwt",
    algorithms: ["RS256"],
    clockTolerance: 5,
  });
  if (!payload.scope.split(" ").includes(scope)) throw new Refused(403, "insufficient_scope", `, scope="${scope}"`);
  return { token, caller: payload.sub };
}

/** The same, and that the token was not revoked within the last second. */
async function verifyNow(request, scope) {
  const verified = await verify(request, scope);
  const response = await fetch(`${TOLLGATE}/oauth/introspect`, {
    method: "POST",
    headers: { authorization: `Basic ${btoa(`orders:${secret}`)}` },
    body: new URLSearchParams({ token: verified.token }),
  });
  if (!response.ok) throw new Refused(503, "temporarily_unavailable");
  if (!(await response.json()).active) throw new Refused(401, "invalid_token");
  return verified;
}

const orders = [];

const routes = {
  GET: async (request) => (await verify(request, "orders:read"), orders),
  POST: async (request) => {
    const { caller } = await verifyNow(request, "orders:write");
    orders.push({ number: orders.length + 1, by: caller });
    return orders.at(-1);
  },
};

createServer(async (request, response) => {
  const answer = (status, body, headers = {}) =>
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(`${JSON.stringify(body)}\n`);
  try {
    const route = request.url === "/orders" && routes[request.method];
    answer(...(route ? [200, await route(request)] : [404, { error: "not_found" }]));
  } catch (error) {
    // What is about the token is a 401; what is not, is about its keys: Tollgate is out of reach.
    const isToken = error instanceof errors.JOSEError && !(error instanceof errors.JWKSTimeout);
    const otherwise = isToken ? new Refused(401, "invalid_token") : new Refused(503, "temporarily_unavailable");
    const refused = error instanceof Refused ? error : otherwise;
    answer(refused.status, { error: refused.message }, refused.status < 500 ? { "www-authenticate": refused.challenge } : {});
  }
}).listen(Number(port), "localhost", () => console.log(`http://localhost:${port}/orders`));
