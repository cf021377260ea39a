// The AsyncAPI document as its own parser reads it, and whether what the server says is what the document says it does.
//
//   node asyncapi.mjs http://localhost:8080 TOKEN CHANNEL
//
// CHANNEL is `data:orders` of the shop in examples/shop, or one whose rules let the token do everything, and which has history.
import { Parser } from "@asyncapi/parser";
import Ajv from "ajv";
import addFormats from "ajv-formats";
import Ws from "ws";

// Node's own, where it has one.
const WebSocket = globalThis.WebSocket ?? Ws;

const [address, token, channel] = process.argv.slice(2);
const ERROR = 0;
const WARNING = 1;
const PATIENCE = 30_000;

function check(condition, message) {
  if (!condition) throw new Error(message);
}

const ok = (what) => console.log(`ok ${what}`);

function soon(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not come`)), PATIENCE);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// The document.
const answer = await fetch(new URL("/asyncapi.json", address));
check(answer.status === 200, `/asyncapi.json: ${answer.status}`);
check(/^application\/(.*\+)?json\b/.test(answer.headers.get("content-type")), answer.headers.get("content-type"));
const text = await answer.text();
const { document, diagnostics } = await new Parser().parse(text);
const faults = diagnostics.filter(({ severity }) => severity === ERROR || severity === WARNING);
check(document && faults.length === 0, faults.map(({ path, message }) => `${path.join("/")}: ${message}`).join("\n"));
ok(`@asyncapi/parser: AsyncAPI ${document.version()}, ${document.messages().length} messages, no error and no warning`);

const said = JSON.parse(text);
const { host, protocol } = new URL(address);
for (const [name, scheme] of [["websocket", "ws"], ["http", "http"]]) {
  const server = said.servers[name];
  check(server.host === host && server.protocol === protocol.replace("http:", scheme).replace("https:", `${scheme}s`), JSON.stringify(server));
}
check(/^\d+\.\d+\.\d+/.test(said.info.version) && said.info.version !== "0.0.0", said.info.version);
ok(`its servers are this one, of version ${said.info.version}`);

// Its messages.
const ajv = new Ajv({ strict: true, strictRequired: false, allowUnionTypes: true });
addFormats(ajv);
ajv.addKeyword("components");
ajv.addSchema({ $id: "asyncapi:/", components: { schemas: said.components.schemas, messages: said.components.messages } });
const schemas = new Map(
  Object.keys(said.components.messages).map((name) => [name, ajv.compile({ $ref: `asyncapi:/#/components/messages/${name}/payload` })]),
);
const last = (reference) => reference.$ref.split("/").at(-1);
const operations = Object.values(said.operations);
const ofClients = new Set();
const ofServer = { realtime: new Set(), events: new Set() };
for (const { action, channel, messages, reply } of operations) {
  const [asked, answered] = action === "receive" ? [ofClients, ofServer[last(channel)]] : [ofServer[last(channel)], ofClients];
  messages.forEach((message) => asked.add(last(message)));
  reply?.messages.forEach((message) => answered.add(last(message)));
}
const replies = new Map(operations.filter(({ action }) => action === "receive").map(({ messages, reply }) => [last(messages[0]), reply.messages.map(last)]));

// The one of these messages that it is.
function recognise(payload, names) {
  const found = [...names].filter((name) => schemas.get(name)(payload));
  const why = found.length === 0 ? [...names].map((name) => `${name}: ${ajv.errorsText(schemas.get(name).errors)}`).join("\n  ") : found.join(" and ");
  check(found.length === 1, `not one message but ${found.length}: ${JSON.stringify(payload)}\n  ${why}`);
  return found[0];
}

let examples = 0;
for (const names of [ofClients, ofServer.realtime, ofServer.events]) {
  for (const name of names) {
    const own = said.components.messages[name].examples;
    check(own?.length > 0, `${name} has no example`);
    for (const { payload } of own) {
      const found = recognise(payload, names);
      check(found === name, `an example of ${name} is ${found}`);
      examples += 1;
    }
  }
}
const used = ofClients.size + ofServer.realtime.size + ofServer.events.size;
check(used === schemas.size, `${used} of ${schemas.size} messages are used`);
ok(`${examples} examples: each is its own message, and no other`);

// The socket.
const url = new URL(said.channels.realtime.address, address.replace(/^http/, "ws"));
const socket = new WebSocket(url, said.channels.realtime.bindings.ws.headers.properties["Sec-WebSocket-Protocol"].const);
const closed = new Promise((resolve) => socket.addEventListener("close", resolve));
const seen = new Map();
const waiting = new Map();
let broken;
const failed = new Promise((_, reject) => (broken = reject));
failed.catch(() => {});
socket.addEventListener("message", ({ data }) => {
  try {
    for (const line of data.split("\n").filter(Boolean)) {
      const payload = JSON.parse(line);
      const name = recognise(payload, ofServer.realtime);
      seen.set(name, (seen.get(name) ?? 0) + 1);
      if (name === "ping") send({}, "pong");
      waiting.get(payload.id)?.({ name, payload });
    }
  } catch (error) {
    broken(error);
  }
});
await soon(Promise.race([new Promise((resolve) => socket.addEventListener("open", resolve)), closed]), "the socket");
check(socket.readyState === 1, "the socket did not open");
check(socket.protocol === "centrifuge-json", `the subprotocol is ${socket.protocol}`);
ok(`${url}: open, ${socket.protocol}`);

function send(payload, name) {
  check(schemas.get(name)(payload), `${name}: ${ajv.errorsText(schemas.get(name).errors)}`);
  socket.send(JSON.stringify(payload));
}

let id = 0;
// Asks, and answers with what of the operation's replies came.
async function ask(name, member, body, as = name) {
  id += 1;
  const command = { id, [member]: body };
  const answer = new Promise((resolve) => waiting.set(id, resolve));
  if (as) send(command, as);
  else socket.send(JSON.stringify(command));
  const { name: found, payload } = await soon(Promise.race([answer, failed]), `the answer to ${JSON.stringify(command)}`);
  check(replies.get(name).includes(found), `${found} answers ${name}: ${JSON.stringify(payload)}`);
  ok(`${JSON.stringify(command).replace(token, "…")} -> ${found} ${payload.error?.code ?? ""}`.trimEnd());
  return payload.error ? payload.error : payload[member];
}

async function call(method, path, body) {
  const headers = { authorization: `Bearer ${token}` };
  if (body) headers["content-type"] = method === "PATCH" ? "application/merge-patch+json" : "application/json";
  // So that whoever asks again does nothing twice.
  if (method === "POST") headers["idempotency-key"] = crypto.randomUUID();
  let answer;
  for (let tries = 0; tries < 20; tries += 1) {
    answer = await fetch(new URL(path, address), { method, headers, body: body && JSON.stringify(body) });
    // On a machine with much else to do, the server may have no turn for everybody.
    if (answer.status !== 503 || !answer.headers.has("retry-after")) break;
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  check(answer.ok, `${method} ${path}: ${answer.status} ${answer.ok ? "" : await answer.text()}`);
  return answer.status === 204 ? null : answer.json();
}

async function until(condition, what) {
  const came = async () => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
  };
  await soon(Promise.race([came(), failed]), what);
}

const isOfRecords = channel.startsWith("data:");
const connected = await ask("connect", "connect", { token });
check(connected.client, JSON.stringify(connected));
const subscribed = await ask("subscribe", "subscribe", { channel });
check(!subscribed.code, JSON.stringify(subscribed));
check((await ask("subscribe", "subscribe", { channel })).code === 105, "subscribed twice");

// Lets something come: an order of the shop, as it is made, changed, out of sight and gone, or a message.
async function happen() {
  if (isOfRecords) {
    const { id } = await call("POST", "/v1/data/orders", { title: "Ink", price: 11, status: "open" });
    await call("PATCH", `/v1/data/orders/${id}`, { price: 12.5 });
    await call("DELETE", `/v1/data/orders/${id}`);
  } else {
    const published = await ask("publish", "publish", { channel, data: { text: "Hello" } });
    check(!published.code, JSON.stringify(published));
  }
}
const told = isOfRecords ? ["recordPublication", 3] : ["publication", 1];
await happen();
await until(() => seen.get(told[0]) >= told[1], told[0]);
ok(`${told[0]}: ${seen.get(told[0])} came`);

// What is there only for channels that are not of records; its schema lets nobody ask it of those.
const asked = (name, member, more) => ask(name, member, { channel, ...more }, isOfRecords ? null : name);
const presence = await asked("presence", "presence");
const numbers = await asked("presenceStats", "presence_stats");
const history = await asked("history", "history", { limit: 10 });
if (isOfRecords) {
  const published = await asked("publish", "publish", { data: { text: "Hello" } });
  for (const refused of [presence, numbers, history, published]) check(refused.code === 108, JSON.stringify(refused));
} else {
  check(presence.presence[connected.client], JSON.stringify(presence));
  check(numbers.num_clients > 0 && numbers.num_users > 0, JSON.stringify(numbers));
  check(history.publications.length > 0, JSON.stringify(history));
  const since = { epoch: history.epoch, offset: history.publications.at(-1).offset - 1 };
  check((await ask("history", "history", { channel, limit: 10, since })).publications.length > 0, "the last publication again");
  await ask("history", "history", { channel, limit: 10, reverse: true });
}

// Coming back.
const before = { epoch: subscribed.epoch, offset: subscribed.offset };
await ask("unsubscribe", "unsubscribe", { channel });
if (isOfRecords) {
  check((await ask("subscribe", "subscribe", { channel, data: { filter: "(" } })).code === 107, "a bad filter");
  check((await ask("subscribe", "subscribe", { channel, data: { nonsense: 1 } }, null)).code === 107, "bad data");
}
const again = await ask("subscribe", "subscribe", { channel, recover: true, ...before });
check(again.recovered && again.publications.length >= told[1], JSON.stringify(again));
const publication = ajv.compile({ $ref: `asyncapi:/#/components/schemas/${isOfRecords ? "RecordPublication" : "Publication"}` });
for (const one of again.publications) check(publication(one), `${JSON.stringify(one)}: ${ajv.errorsText(publication.errors)}`);
await ask("refresh", "refresh", { token });

// What is not there.
check((await ask("subscribe", "subscribe", { channel: "nothing:at-all" })).code === 102, "an unknown channel");
check((await ask("rpc", "rpc", { method: "sum" })).code === 108, "rpc");

// The same as server-sent events.
if (said.channels.events) {
  const { address: path } = said.channels.events;
  const { ticket } = await call("POST", "/v1/tickets");
  const stop = new AbortController();
  const query = new URLSearchParams({ channel, ticket });
  const events = await soon(fetch(new URL(`${path}?${query}`, address), { signal: stop.signal }), path);
  check(events.status === 200 && events.headers.get("content-type").startsWith("text/event-stream"), `${path}: ${events.status}`);
  await happen();
  const names = [];
  const read = async () => {
    let rest = "";
    for await (const text of events.body.pipeThrough(new TextDecoderStream())) {
      const parts = (rest + text).split("\n\n");
      rest = parts.pop();
      for (const part of parts) {
        const data = part.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice("data:".length));
        if (data.length > 0) names.push(recognise(JSON.parse(data.join("\n")), ofServer.events));
      }
      if (names.filter((name) => name === `${told[0]}Event`).length >= told[1]) return;
    }
    throw new Error(`the events end: ${names}`);
  };
  await soon(read(), `the events of ${path}`);
  stop.abort();
  ok(`${path}: ${names.join(", ")}`);
}

// A line that is no command ends it, as the document says.
socket.send("nonsense");
const { code } = await soon(Promise.race([closed, failed]), "the end");
check(code === 3501, `closed with ${code}`);
check(said.channels.realtime.description.includes(`| ${code} |`), `${code} is not described`);
ok(`nonsense -> closed with ${code}`);
ok(`lines that came: ${[...seen].map(([name, count]) => `${name} ${count}`).join(", ")}`);
process.exit(0);
