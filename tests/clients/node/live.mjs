// The centrifuge client for JavaScript, unchanged: what it is told, with its line cut, the server restarted, its token renewed and revoked.
import { once } from "node:events";
import net from "node:net";
import { createInterface } from "node:readline";
import { Centrifuge } from "centrifuge";
import WebSocket from "ws";

const issuer = process.env.ISSUER;
const PASSWORD = "correct horse battery staple";

function check(condition, message) {
  if (!condition) throw new Error(message);
}

async function call(method, path, body, token) {
  const headers = { "content-type": body?.patch ? "application/merge-patch+json" : "application/json" };
  if (token) headers.authorization = `Bearer ${token}`;
  const answer = await fetch(issuer + path, { method, headers, body: body && JSON.stringify(body.patch ?? body) });
  check(answer.ok, `${method} ${path}: ${answer.status} ${answer.ok ? "" : await answer.text()}`);
  return answer.status === 204 ? null : answer.json();
}

async function until(condition, what, seconds = 20) {
  for (let waited = 0; !condition(); waited += 20) {
    check(waited < seconds * 1000, `${what} did not come`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// A line that can be cut.
const lines = new Set();
const target = new URL(issuer);
const proxy = net.createServer((near) => {
  const far = net.connect(target.port, target.hostname);
  for (const [one, other] of [[near, far], [far, near]]) {
    lines.add(one);
    one.pipe(other);
    one.on("error", () => other.destroy()).on("close", () => {
      lines.delete(one);
      other.destroy();
    });
  }
}).listen(0, "127.0.0.1");
await once(proxy, "listening");
const cut = () => lines.forEach((line) => line.destroy());

class Person {
  async signUp() {
    this.account = { email: `${crypto.randomUUID()}@example.com`, password: PASSWORD };
    await call("POST", "/v1/users", this.account);
    this.session = await call("POST", "/v1/sessions", this.account);
    return this;
  }

  // Signing in is all that these programs do; an app refreshes.
  renew = async () => {
    this.renewals = (this.renewals ?? -1) + 1;
    if (this.renewals > 0) {
      this.session = await call("POST", "/v1/tokens", { refresh_token: this.session.refresh_token });
    }
    return this.session.access_token;
  };

  order = (title, price) => call("POST", "/v1/data/orders", { title, price, status: "open" }, this.session.access_token);
  change = (id, patch) => call("PATCH", `/v1/data/orders/${id}`, { patch }, this.session.access_token);
  remove = (id) => call("DELETE", `/v1/data/orders/${id}`, null, this.session.access_token);
}

const ada = await new Person().signUp();
const eve = await new Person().signUp();
const client = new Centrifuge(`ws://127.0.0.1:${proxy.address().port}/v1/realtime`, {
  websocket: WebSocket,
  getToken: ada.renew,
  minReconnectDelay: 50,
  maxReconnectDelay: 500,
});
const seen = [];
const offsets = [];
const subscribed = [];
let ended;
client.on("disconnected", (context) => (ended = context));
const orders = client.newSubscription("data:orders", { data: { filter: "price >= 10" } });
orders.on("subscribed", (context) => subscribed.push(context));
orders.on("publication", ({ data, offset }) => {
  seen.push([data.type, data.record?.title]);
  offsets.push(offset);
});
orders.subscribe();
client.connect();
await until(() => subscribed.length === 1, "the subscription");
check(subscribed[0].recoverable && subscribed[0].positioned, JSON.stringify(subscribed[0]));

// Exactly what its user may see, through the filter.
const expected = [];
async function story(name) {
  const { id } = await ada.order(name, 5);
  await eve.order("somebody else's", 50);
  await ada.change(id, { price: 12 });
  await ada.change(id, { price: 13 });
  await ada.change(id, { price: 2 });
  await ada.change(id, { price: 20 });
  await ada.remove(id);
  expected.push(["enter", name], ["update", name], ["leave", undefined], ["enter", name], ["delete", undefined]);
}
async function heard(what) {
  await until(() => seen.length >= expected.length, `${what}: ${JSON.stringify(seen)}`);
  check(JSON.stringify(seen) === JSON.stringify(expected), `${what}: ${JSON.stringify(seen)}`);
  check(offsets.every((offset, index) => index === 0 || offset > offsets[index - 1]), `${what}: ${offsets}`);
}
await story("live");
await heard("live");

// The line is cut while others go on.
cut();
await story("while the line was cut");
await heard("after the line was cut");
check(subscribed.length === 2 && subscribed[1].recovered, JSON.stringify(subscribed.slice(1)));

// The server is restarted.
const answers = createInterface({ input: process.stdin });
await ada.order("before the restart", 10);
expected.push(["enter", "before the restart"]);
console.log("restart");
await once(answers, "line");
await story("after the restart");
await heard("after the restart");
await until(() => subscribed.length >= 3, "the third subscription");
check(subscribed.slice(1).every((context) => context.recovered), JSON.stringify(subscribed));

// The token lives a minute; the client renews it on the same line.
const before = subscribed.length;
await until(() => ada.renewals >= 1 && client.state === "connected", "the renewal", 90);
await story("with a new token");
await heard("with a new token");
check(subscribed.length <= before + 1, "the line was kept");

// The session ends.
await call("DELETE", `/v1/sessions/${ada.session.session_id}`, null, ada.session.access_token);
const begun = Date.now();
await until(() => ended, "the end", 5);
check(ended.code === 3503 && Date.now() - begun < 2000, JSON.stringify(ended));
console.log("done");
process.exit(0);
