// An API of your own, on Node with npm `jose`: GET / answers whose token it is. Environment: ISSUER, AUDIENCE, PORT.
import { createServer } from "node:http";
import { createRemoteJWKSet, errors, jwtVerify } from "jose";

const { ISSUER: issuer, AUDIENCE: audience, PORT: port } = process.env;

// Kept for 10 minutes; fetched again for a key that is not in it, but not more often than every 5 seconds.
const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`), {
  cacheMaxAge: 600_000,
  cooldownDuration: 5_000,
});

async function verify(header) {
  const [scheme, token] = (header ?? "").split(" ");
  if (scheme.toLowerCase() !== "bearer") throw new errors.JWTInvalid("no bearer token");
  const { payload } = await jwtVerify(token, keys, {
    issuer,
    audience,
    typ: "at+jwt",
    algorithms: ["RS256"],
    requiredClaims: ["exp", "sub", "scope"],
    clockTolerance: 5,
  });
  return payload;
}

createServer(async (request, response) => {
  try {
    const { sub, scope } = await verify(request.headers.authorization);
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ sub, scope }));
  } catch (error) {
    // What is not about the token is about the key set: Tollgate was out of reach.
    const status = error instanceof errors.JOSEError && !(error instanceof errors.JWKSTimeout) ? 401 : 503;
    response.writeHead(status, status === 401 ? { "www-authenticate": 'Bearer error="invalid_token"' } : {}).end();
  }
}).listen(Number(port), "127.0.0.1");
