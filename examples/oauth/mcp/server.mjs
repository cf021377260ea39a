// An MCP server that trusts Tollgate: it takes tokens for its own address alone, checks them with nothing but the JWKS, and says
// where they come from (RFC 9728). Environment: TOLLGATE, PORT.
import express from "express";
import { createRemoteJWKSet, jwtVerify } from "jose";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { requireBearerAuth } from "@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js";
import { InvalidTokenError } from "@modelcontextprotocol/sdk/server/auth/errors.js";

const { TOLLGATE = "http://localhost:8080", PORT: port = "3000" } = process.env;
const here = new URL(`http://localhost:${port}/mcp`);
const metadata = new URL("/.well-known/oauth-protected-resource/mcp", here);
const scopes = ["orders:read"];

const keys = createRemoteJWKSet(new URL(`${TOLLGATE}/.well-known/jwks.json`));

const verifier = {
  async verifyAccessToken(token) {
    const { payload } = await jwtVerify(token, keys, {
      issuer: TOLLGATE,
      audience: here.href,
      typ: "at+jwt",
      algorithms: ["RS256"],
    }).catch((error) => {
      throw new InvalidTokenError(error.message);
    });
    return { token, clientId: payload.client_id, scopes: payload.scope.split(" "), expiresAt: payload.exp, resource: here, extra: payload };
  },
};

function tools() {
  const server = new McpServer({ name: "orders", version: "1.0.0" });
  server.registerTool("whoami", { description: "Who the token speaks for" }, async ({ authInfo }) => ({
    content: [{ type: "text", text: `user ${authInfo.extra.sub}, through ${authInfo.clientId}, may ${authInfo.scopes.join(" ")}` }],
  }));
  return server;
}

const app = express();

app.get(metadata.pathname, (_, response) =>
  response.json({ resource: here.href, authorization_servers: [TOLLGATE], scopes_supported: scopes, resource_name: "Orders by MCP" }));

app.post(
  here.pathname,
  requireBearerAuth({ verifier, requiredScopes: scopes, resourceMetadataUrl: metadata.href, expectedResource: here.href }),
  express.json(),
  async (request, response) => {
    const [server, transport] = [tools(), new StreamableHTTPServerTransport({ sessionIdGenerator: undefined, enableJsonResponse: true })];
    response.on("close", () => server.close());
    await server.connect(transport);
    await transport.handleRequest(request, response, request.body);
  },
);

app.listen(Number(port), "localhost", () => console.log(here.href));
