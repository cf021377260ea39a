// npm oidc-provider as it comes, with its own sign-in pages, for people who sign in at Tollgate with what they have there. Whoever
// enters `ada+unverified` has an address that the provider has not verified. Reads ISSUER, CLIENTS (JSON), ALGORITHM; with
// CONFORMING=no the ID token itself says the address, else only the userinfo endpoint does (OpenID Connect Core section 5.4).
import { generateKeyPairSync } from "node:crypto";
import Provider from "oidc-provider";

// Node 20 lacks it, oidc-provider calls it.
URL.parse ??= (address, base) => (URL.canParse(address, base) ? new URL(address, base) : null);

const { ISSUER: issuer, ALGORITHM: alg, CONFORMING: conforming } = process.env;
const { privateKey } = alg === "ES256" ? generateKeyPairSync("ec", { namedCurve: "P-256" }) : generateKeyPairSync("rsa", { modulusLength: 2048 });

const provider = new Provider(issuer, {
  clients: JSON.parse(process.env.CLIENTS),
  jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), use: "sig", alg, kid: "of-this-start" }] },
  claims: { openid: ["sub"], profile: ["name", "locale"], email: ["email", "email_verified"] },
  conformIdTokenClaims: conforming !== "no",
  clientDefaults: { id_token_signed_response_alg: alg },
  enabledJWA: { idTokenSigningAlgValues: [alg] },
  findAccount: (_ctx, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: `${id}@example.com`, email_verified: !id.endsWith("+unverified"), name: "Ada Lovelace", locale: "en-GB" }),
  }),
});

for (const event of ["server_error", "grant.error", "authorization.error", "userinfo.error"]) {
  provider.on(event, (_ctx, error) => console.error(event, error.error_description ?? error));
}
const { port, hostname } = new URL(issuer);
provider.listen(port, hostname, () => console.log("ready: Ctrl-C ends"));
