// An MCP host as small as can be: it learns from the 401 where tokens come from, registers itself, signs its user in, and calls a
// tool. Environment: MCP, CLIENT_METADATA_URL (an https address where its own document is, instead of registering).
import { createServer } from "node:http";
import { once } from "node:events";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";

const address = new URL(process.env.MCP ?? "http://localhost:3000/mcp");

// Where the browser comes back to: a port of this machine, any that is free.
const listener = createServer().listen(0, "127.0.0.1");
await once(listener, "listening");
const redirectUrl = `http://127.0.0.1:${listener.address().port}/callback`;

async function answer(state) {
  const [request, response] = await once(listener, "request");
  const given = new URL(request.url, redirectUrl).searchParams;
  response.end("You can close this window.\n");
  if (given.get("state") !== state) throw new Error("this is not the answer to our question");
  if (given.has("error")) throw new Error(`${given.get("error")}: ${given.get("error_description")}`);
  return given.get("code");
}

// What a host keeps for one server; a real one keeps it in the keychain.
const kept = {};
const host = {
  redirectUrl,
  clientMetadataUrl: process.env.CLIENT_METADATA_URL,
  clientMetadata: {
    client_name: "A small MCP host",
    redirect_uris: [redirectUrl],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
    application_type: "native",
  },
  state: () => (kept.state = crypto.randomUUID()),
  clientInformation: () => kept.client,
  saveClientInformation: (client) => (kept.client = client),
  tokens: () => kept.tokens,
  saveTokens: (tokens) => (kept.tokens = tokens),
  codeVerifier: () => kept.verifier,
  saveCodeVerifier: (verifier) => (kept.verifier = verifier),
  redirectToAuthorization: (url) => {
    kept.answer = answer(kept.state);
    console.log(`open ${url}`);
  },
};

async function connect() {
  const client = new Client({ name: "small-host", version: "1.0.0" });
  const transport = new StreamableHTTPClientTransport(address, { authProvider: host });
  try {
    await client.connect(transport);
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error;
    await transport.finishAuth(await kept.answer);
    return connect();
  }
  return client;
}

const client = await connect();
const { content } = await client.callTool({ name: "whoami" });
console.log(content[0].text);
await client.close();
listener.close();
listener.closeAllConnections();
