// Live updates by the centrifuge client for JavaScript, unchanged, in Node and in a page: what it is told, with its line cut, its replica
// restarted, its token renewed, and its session ended on another replica.
const PASSWORD = "correct horse battery staple";
const FILTER = "price >= 10";
const PATIENCE = 40_000;

const now = () => performance.now();
const pause = (time) => new Promise((resolve) => setTimeout(resolve, time));

function check(condition, message) {
  if (!condition) throw new Error(message);
}

// Members come in any order.
const plain = (value) => (value?.constructor === Object ? Object.fromEntries(Object.entries(value).sort()) : value);

function same(these, those, what) {
  const [here, there] = [these, those].map((list) => list.map((one) => JSON.stringify(one, (_, value) => plain(value))));
  const at = [...here.keys(), ...there.keys()].find((index) => here[index] !== there[index]);
  check(at === undefined, `${what}: ${here[at]} and not ${there[at]}`);
}

async function until(condition, what, patience = PATIENCE) {
  for (const begun = now(); !condition(); await pause(20)) {
    check(now() - begun < patience, `${what} did not come`);
  }
}

async function ask(method, address, body, token) {
  const headers = { "content-type": method === "PATCH" ? "application/merge-patch+json" : "application/json" };
  if (token) headers.authorization = `Bearer ${token}`;
  // So that whoever asks again does nothing twice.
  if (method === "POST") headers["idempotency-key"] = crypto.randomUUID();
  let answer;
  for (const begun = now(); ; await pause(1000)) {
    answer = await fetch(address, { method, headers, body: body && JSON.stringify(body) });
    // On a machine with much else to do, the server may have no turn for everybody.
    if (answer.status !== 503 || !answer.headers.has("retry-after") || now() - begun > PATIENCE) break;
  }
  check(answer.ok, `${method} ${address}: ${answer.status} ${answer.ok ? "" : await answer.text()}`);
  return answer.status === 204 ? null : answer.json();
}

class Person {
  renewals = 0;

  constructor(issuer) {
    this.issuer = issuer;
  }

  async signUp() {
    const account = { email: `${crypto.randomUUID()}@example.com`, password: PASSWORD };
    await ask("POST", `${this.issuer}/v1/users`, account);
    this.session = await ask("POST", `${this.issuer}/v1/sessions`, account);
    return this;
  }

  renew = async () => {
    this.session = await ask("POST", `${this.issuer}/v1/tokens`, { refresh_token: this.session.refresh_token });
    this.renewals += 1;
    return this.session.access_token;
  };

  call = (method, path, body) => ask(method, this.issuer + path, body, this.session.access_token);
  order = (title, price) => this.call("POST", "/v1/data/orders", { title, price, status: "open" });
  change = (id, patch) => this.call("PATCH", `/v1/data/orders/${id}`, patch);
  remove = (id) => this.call("DELETE", `/v1/data/orders/${id}`);
}

// Goes through it all, and says after how many milliseconds the client was told that its session had ended. Where `issuer` answers is one
// replica, where `realtime` leads is another, and `stage` does what every program asks it for, when all have.
export async function live(Centrifuge, { issuer, realtime, stage, ...options }) {
  const wish = (what) => ask("POST", `${stage}/${what}`);
  const ada = await new Person(issuer).signUp();
  const eve = await new Person(issuer).signUp();
  const [told, offsets, connected, subscribed, errors] = [[], [], [], [], []];
  let ended;
  const client = new Centrifuge(realtime, {
    token: ada.session.access_token,
    getToken: ada.renew,
    minReconnectDelay: 50,
    maxReconnectDelay: 500,
    ...options,
  });
  client.on("connected", (context) => connected.push(context));
  client.on("error", (context) => errors.push(context));
  client.on("disconnected", ({ code }) => (ended = { code, at: now() }));
  const orders = client.newSubscription("data:orders", { data: { filter: FILTER } });
  orders.on("subscribed", (context) => subscribed.push(context));
  orders.on("publication", ({ data, offset }) => {
    told.push(data);
    offsets.push(offset);
  });
  orders.subscribe();
  client.connect();
  await until(() => subscribed.length === 1, "the subscription");
  check(subscribed[0].recoverable && subscribed[0].positioned, JSON.stringify(subscribed[0]));

  // Exactly what its user may see, through the filter.
  const expected = [];
  const entered = (record) => expected.push({ type: "enter", id: record.id, version: record.version, record });
  async function story(title) {
    const { id } = await ada.order(title, 5);
    await eve.renew(); // her token lives a minute, too
    await eve.order("somebody else's", 50);
    entered(await ada.change(id, { price: 12 }));
    const record = await ada.change(id, { price: 13 });
    expected.push({ type: "update", id, version: record.version, record });
    const { version } = await ada.change(id, { price: 2 });
    expected.push({ type: "leave", id, version });
    entered(await ada.change(id, { price: 20 }));
    await ada.remove(id);
    expected.push({ type: "delete", id, version: version + 2 });
    entered(await ada.order(`${title}, and it stays`, 30));
  }
  async function heard(what) {
    await until(() => told.length >= expected.length, `${what}: ${JSON.stringify(told)}`);
    same(told, expected, what);
    check(new Set(told.map(({ id, version }) => `${id} ${version}`)).size === told.length, `${what}: ${JSON.stringify(told)}`);
    check(offsets.every((offset, index) => index === 0 || offset > offsets[index - 1]), `${what}: ${offsets}`);
  }
  await story("live");
  await heard("live");

  // Others go on while the line is cut, and while the replica is down.
  for (const [begin, end] of [["cut", "mend"], ["stop", "start"]]) {
    const before = subscribed.length;
    await wish(begin);
    await story(`missed by ${begin}`);
    await wish(end);
    await heard(`after ${begin}`);
    const since = subscribed.slice(before);
    check(since.length > 0 && since.every((context) => context.recovered), `after ${begin}: ${JSON.stringify(since)}`);
  }

  // The token lives a minute; the client renews it on the same line.
  const [lines, failures] = [connected.length, errors.length];
  await until(() => ada.renewals > 0, "the renewal", 90_000);
  await story("with a new token");
  await heard("with a new token");
  same([connected.length, errors.slice(failures)], [lines, []], "the line is kept");

  // What was told makes the table.
  const copy = new Map();
  told.forEach(({ id, record }) => (record ? copy.set(id, record) : copy.delete(id)));
  const { items } = await ada.call("GET", `/v1/data/orders?order_by=id&limit=100&filter=${encodeURIComponent(FILTER)}`);
  same([...copy.keys()].sort().map((id) => copy.get(id)), items, "the table");

  // The session ends, and that is all.
  await ada.call("DELETE", `/v1/sessions/${ada.session.session_id}`);
  const begun = now();
  await until(() => ended, "the end");
  const took = Math.max(0, Math.round(ended.at - begun));
  check(ended.code === 3503 && took < 1000, `${ended.code} after ${took} ms`);
  await pause(1000);
  same([client.state, connected.length], ["disconnected", lines], "it stays away");
  await heard("at the end");
  return took;
}
