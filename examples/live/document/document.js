// A document that several people write at once. It is a record: each saves what they changed with If-Match, and where somebody was
// faster, merges and saves again. What others save comes over data:documents:{id}, where they are over cursor:{id}.
import { allIsWell, colorOf, element, enter, face, nameTag, report, subscribe } from "../shared/page.js";
import { attend, call } from "../shared/tollgate.js";
import { edits, merge, moved } from "./merge.js";

const SAVE_EVERY = 300; // ms, while somebody types
const TRY_AGAIN = 2_000; // ms
const POINT_EVERY = 100; // ms
const $ = (id) => document.getElementById(id);
const fields = { title: $("title"), body: $("body") };
const names = Object.keys(fields);
const { me, client } = await enter();

let path; // of the record that is open
let base; // the record that what is here was made of
let newer; // one that came since
let sent; // what was sent last
let settling; // what is under way: one is enough
let isComposing = false; // an input method would lose its place

// ---- what is here, and what the server has

/** Makes them the same again: takes in what is newer there, and saves what is newer here. */
function settle() {
  settling ??= settleAll().finally(() => {
    settling = undefined;
    draw();
  });
  return settling;
}

async function settleAll() {
  try {
    while (path && !isComposing && (newer || isChanged())) {
      if (newer) takeIn();
      else await save();
    }
    allIsWell();
  } catch (error) {
    report(error);
    if (!(error.status < 500)) setTimeout(settle, TRY_AGAIN);
  }
}

const isChanged = () => names.some((name) => fields[name].value !== base[name]);

async function save() {
  const changed = names.filter((name) => fields[name].value !== base[name]);
  const patch = Object.fromEntries(changed.map((name) => [name, fields[name].value]));
  sent = { ...base, ...patch };
  try {
    setBase(await call("PATCH", path, patch, { "If-Match": `"${base.version}"` }));
  } catch (error) {
    if (error.status !== 412) throw error;
    hear(await call("GET", path)); // somebody was faster
  }
}

function hear(record) {
  if (record.version > (newer ?? base).version) newer = record;
}

/** Merges what came with what was written here since. */
function takeIn() {
  const theirs = newer;
  newer = undefined;
  if (theirs.version <= base.version) return; // what was saved from here
  // Where the answer to what was sent was lost, they are we.
  const isOurs = sent && names.every((name) => sent[name] === theirs[name]);
  for (const name of names) {
    const field = fields[name];
    const merged = merge((isOurs ? sent : base)[name], field.value, theirs[name]);
    // Stretch by stretch, so that the caret and the selection stay where they are.
    for (const [from, to, text] of edits(field.value, merged).reverse()) field.setRangeText(text, from, to, "preserve");
  }
  setBase(theirs);
}

function setBase(record) {
  for (const cursor of cursors.values()) {
    if (cursor.version >= record.version) continue;
    if (cursor.field) cursor.place = moved(cursor.place, edits(base[cursor.field], record[cursor.field]));
    cursor.version = record.version;
  }
  base = record;
  point(); // the place is one in the new version
}

let saving;

for (const field of Object.values(fields)) {
  field.addEventListener("input", () => {
    draw();
    saving ??= setTimeout(() => {
      saving = undefined;
      settle();
    }, SAVE_EVERY);
  });
  field.addEventListener("compositionstart", () => (isComposing = true));
  field.addEventListener("compositionend", () => {
    isComposing = false;
    settle();
  });
}

// ---- where others are

const cursors = new Map(); // client -> where: a place in a field of a version
let people = new Map(); // client -> user
let cursor; // the channel
let pointing;

/** Says where one is oneself, soon. */
function point() {
  pointing ??= setTimeout(() => {
    pointing = undefined;
    const field = names.find((name) => fields[name] === document.activeElement);
    const place = field && moved(fields[field].selectionEnd, edits(fields[field].value, base[field]));
    cursor?.publish({ field, place, version: base.version }).catch(() => {}); // the next one says it
  }, POINT_EVERY);
}

document.addEventListener("selectionchange", point);

const pointed = ({ data, info }) => {
  if (!info) return; // over HTTP one is nobody
  if (!people.has(info.client)) people.set(info.client, info.user);
  cursors.set(info.client, { ...data, version: Math.max(data.version, base.version) });
  draw();
};

const attended = (here, { came, client: one }) => {
  people = here;
  for (const gone of [...cursors.keys()].filter((key) => !here.has(key))) cursors.delete(gone);
  if (one && came !== me.id) point(); // who comes has not heard of it
  draw();
};

// ---- the page

function draw() {
  if (!path) return;
  $("saved").textContent = isChanged() ? "Saving …" : `Saved, version ${base.version}`;
  const text = fields.body.value;
  const others = [...cursors].filter(([one]) => people.get(one) && people.get(one) !== me.id);
  const changes = edits(base.body, text);
  const carets = others
    .filter(([, { field }]) => field === "body")
    .map(([one, { place }]) => ({ user: people.get(one), place: Math.min(moved(place, changes), text.length) }))
    .sort((left, right) => left.place - right.place);

  // The same text lies behind the one that is written in, unseen, and holds the carets.
  const parts = [];
  let at = 0;
  for (const { user, place } of carets) {
    parts.push(text.slice(at, place), element("span", { className: `caret ${colorOf(user)}` }, nameTag(user)));
    at = place;
  }
  $("mirror").replaceChildren(...parts, `${text.slice(at)}\u200b`);

  const where = new Map(carets.map(({ user, place }) => [user, `line ${text.slice(0, place).split("\n").length}`]));
  for (const [one, { field }] of others) if (field === "title") where.set(people.get(one), "title");
  $("people").replaceChildren(
    ...[...new Set(people.values())].map((user) => {
      const place = user === me.id ? "you" : where.get(user);
      return element("li", {}, face(user), element("small", { textContent: place ?? "" }));
    }),
  );
}

async function openDocument(id) {
  path = `/v1/data/documents/${id}`;
  base = await call("GET", path);
  for (const name of names) fields[name].value = base[name];
  const record = client.newSubscription(`data:documents:${id}`);
  record.on("publication", ({ data }) => {
    if (!data.record) return report(new Error("The document was deleted."));
    hear(data.record);
    settle();
  });
  record.on("subscribed", async ({ recovered }) => {
    if (!recovered) hear(await call("GET", path));
    settle();
  });
  cursor = client.newSubscription(`cursor:${id}`, { joinLeave: true });
  cursor.on("publication", pointed);
  cursor.on("subscribed", point);
  attend(cursor, attended);
  subscribe(record);
  subscribe(cursor);
  history.replaceState(null, "", address(id));
  draw();
  await show();
}

async function closeDocument() {
  await settle();
  if (isChanged()) return; // it could not be saved, and why is shown
  for (const one of Object.values(client.subscriptions())) {
    one.unsubscribe();
    client.removeSubscription(one);
  }
  path = cursor = newer = sent = undefined;
  cursors.clear();
  history.replaceState(null, "", address());
  await show();
}

async function show() {
  if (!path) await list();
  $("library").hidden = Boolean(path);
  $("editor").hidden = !path;
}

async function list() {
  const { items } = await call("GET", "/v1/data/documents?fields=title,updated_at&order_by=-id");
  const entries = items.map(({ id, title, updated_at }) => {
    const time = new Date(updated_at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    const button = element("button", { className: "line" }, title || "Untitled", element("small", { textContent: time }));
    button.addEventListener("click", () => openDocument(id));
    return element("li", {}, button);
  });
  $("list").replaceChildren(...entries);
}

function address(id) {
  const query = new URLSearchParams(location.search);
  query.delete("id");
  if (id) query.set("id", id);
  return `?${query}`;
}

$("new").addEventListener("click", async () => {
  const { id } = await call("POST", "/v1/data/documents", { title: "", body: "" });
  await openDocument(id);
  fields.title.focus();
});
$("back").addEventListener("click", closeDocument);

const wanted = new URLSearchParams(location.search).get("id");
await (wanted ? openDocument(wanted) : show());
