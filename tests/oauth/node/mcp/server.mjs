// A tiny MCP server that trusts Tollgate: tokens for its own address alone, checked with nothing but the JWKS, and
// protected-resource metadata (RFC 9728) that says where tokens come from.
import express from "express";
import { createRemoteJWKSet, jwtVerify } from "jose";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { requireBearerAuth } from "@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js";
import { InvalidTokenError } from "@modelcontextprotocol/sdk/server/auth/errors.js";

export function serve({ issuer, jwks, address, scopes }) {
  const keys = createRemoteJWKSet(new URL(jwks));
  const metadata = new URL(`/.well-known/oauth-protected-resource${new URL(address).pathname}`, address);
  const tokens = [];

  const verifier = {
    async verifyAccessToken(token) {
      const { payload } = await jwtVerify(token, keys, { issuer, audience: address, typ: "at+jwt", algorithms: ["RS256"] })
        .catch((error) => { throw new InvalidTokenError(error.message); });
      tokens.push({ token, payload });
      return { token, clientId: payload.client_id, scopes: payload.scope.split(" "), expiresAt: payload.exp, resource: new URL(address), extra: { sub: payload.sub } };
    },
  };

  const app = express();
  app.use(express.json());
  app.get(metadata.pathname, (_, response) => response.json({
    resource: address, authorization_servers: [issuer], scopes_supported: scopes, bearer_methods_supported: ["header"], resource_name: "Orders by MCP",
  }));
  const guard = (needed) => requireBearerAuth({ verifier, requiredScopes: needed, resourceMetadataUrl: String(metadata), expectedResource: address });
  app.post(new URL(address).pathname, guard(["records:read"]), (request, response, next) => {
    const writes = request.body?.method === "tools/call" && request.body.params?.name === "order";
    return writes ? guard(["records:read", "records:write"])(request, response, next) : next();
  }, async (request, response) => {
    const server = new McpServer({ name: "orders", version: "1.0.0" });
    const whoami = async (_, extra) => ({ content: [{ type: "text", text: extra.authInfo.extra.sub }] });
    server.registerTool("whoami", { description: "Who the token speaks for", inputSchema: {} }, whoami);
    server.registerTool("order", { description: "Needs records:write", inputSchema: {} }, whoami);
    const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined, enableJsonResponse: true });
    response.on("close", () => server.close());
    await server.connect(transport);
    await transport.handleRequest(request, response, request.body);
  });
  app.all(new URL(address).pathname, (_, response) => response.status(405).end());

  const { port } = new URL(address);
  return new Promise((resolve) => {
    const listener = app.listen(Number(port), "localhost", () => resolve({ tokens, close: () => listener.close() }));
  });
}
