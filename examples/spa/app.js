// A single-page app on Tollgate's API, with nothing but fetch.

// A real app has this address in its build: who chooses it gets the passwords.
const API = (new URLSearchParams(location.search).get("api") ?? "http://localhost:8080").replace(/\/+$/, "");

// Shared by the tabs: how the tokens travel (while signed in), and by Bearer header the newest refresh token.
const stored = localStorage;

let access; // the access token, by Bearer header: in memory only
let etag; // of the account as this page shows it
let refreshing; // the refresh on its way: one is enough for all who wait
let busy = false;

// ---- talking to the API

/** What went wrong, as a problem body (RFC 9457) says it. */
class Problem extends Error {
  constructor(body, retryAfter) {
    super(body.title);
    this.body = body;
    this.retryAfter = retryAfter;
  }
}

async function send(method, path, { body, headers = {}, transport = stored.transport } = {}) {
  headers = { ...headers };
  if (body) headers["Content-Type"] = "application/json";
  if (transport === "cookie") {
    // No plain form of a stranger can send this header.
    if (method !== "GET") headers["X-Tollgate-Request"] = "1";
  } else if (access) {
    headers.Authorization = `Bearer ${access}`;
  }
  return fetch(API + path, {
    method,
    headers,
    body: body && JSON.stringify(body),
    credentials: transport === "cookie" ? "include" : "omit",
    cache: "no-store",
  });
}

async function checked(response) {
  if (response.ok) return response;
  // A proxy in between may answer without a problem body.
  const body = await response.json().catch(() => ({ title: `The API answered ${response.status}` }));
  throw new Problem(body, response.headers.get("Retry-After"));
}

/** Calls the API as whoever is signed in; an access token that is no longer good costs one refresh. */
async function call(method, path, options) {
  if (stored.transport === "bearer" && !access) await refresh();
  const response = await send(method, path, options);
  if (response.status !== 401) return checked(response);
  await refresh();
  return checked(await send(method, path, options));
}

function refresh() {
  refreshing ??= refreshOnce().finally(() => (refreshing = undefined));
  return refreshing;
}

async function refreshOnce() {
  // In cookie mode the cookie brings the refresh token.
  const body = stored.transport === "cookie" ? {} : { refresh_token: stored.refresh };
  const response = await send("POST", "/v1/tokens", { body });
  if (response.status === 401) forget(); // final; anything else, as a 503, never costs the session
  await keep(await checked(response));
}

/** Keeps a new pair of tokens; in cookie mode the body holds none. */
async function keep(response) {
  const pair = await response.json();
  if (pair.refresh_token) stored.refresh = pair.refresh_token;
  access = pair.access_token;
}

function forget() {
  stored.removeItem("transport");
  stored.removeItem("refresh");
  access = etag = undefined;
  draw();
}

// ---- what the user can do

async function enter(form) {
  const { email, password, name, transport } = Object.fromEntries(new FormData(form));
  if (isSignUp) {
    await checked(await send("POST", "/v1/users", { body: { email, password, name: name || null } }));
    setSignUp(false);
  }
  const body = { email, password, transport };
  await keep(await checked(await send("POST", "/v1/sessions", { body, transport })));
  stored.transport = transport;
  form.reset();
  await open();
}

/** Shows the account and its devices. */
async function open() {
  await drawAccount(await call("GET", "/v1/users/me"));
  draw();
  await listDevices();
}

async function save(form) {
  const name = form.elements.name.value || null;
  const headers = { "If-Match": etag };
  await drawAccount(await call("PATCH", "/v1/users/me", { body: { name }, headers }));
  say("Saved.");
}

async function listDevices() {
  const { items } = await (await call("GET", "/v1/sessions")).json();
  $("#devices").replaceChildren(...items.map(drawDevice));
}

async function signOut(device = "current") {
  await call("DELETE", `/v1/sessions/${device}`);
  if (device !== "current") return listDevices();
  forget();
  say("Signed out.");
}

// ---- the page

const $ = (selector) => document.querySelector(selector);

const HINTS = {
  bearer: "This page holds them: the access token in memory, the refresh token in localStorage.",
  cookie: "The browser holds them in HttpOnly cookies. This page never sees them.",
};

let isSignUp = false;

function setSignUp(yes) {
  isSignUp = yes;
  const form = $("#entry");
  form.querySelector("h2").textContent = form.querySelector("button").textContent = yes ? "Sign up" : "Sign in";
  form.elements.password.autocomplete = yes ? "new-password" : "current-password";
  form.elements.name.parentElement.hidden = !yes;
  $("#other").textContent = yes ? "Sign in instead" : "No account yet? Sign up";
}

function draw() {
  const isSignedIn = Boolean(stored.transport);
  $("#signed-in").hidden = !isSignedIn;
  $("#signed-out").hidden = isSignedIn;
  $("#hint").textContent = HINTS[$("#entry").elements.transport.value];
}

async function drawAccount(response) {
  const account = await response.json();
  etag = response.headers.get("ETag");
  $("#email").textContent = account.email;
  $("#roles").textContent = account.roles.join(", ");
  $("#version").textContent = account.version;
  $("#etag").textContent = etag;
  $("#travel").textContent = stored.transport === "cookie" ? "cookie" : "Bearer header";
  $("#profile").elements.name.value = account.name ?? "";
}

function drawDevice(device) {
  const [browser] = device.user_agent?.match(/(Edg|Firefox|Chrome|Safari)\/\d+/) ?? ["An app"];
  const [system] = device.user_agent?.match(/Windows|Android|iPhone|iPad|Mac OS|Linux/) ?? [""];
  const name = `${browser.replace("/", " ")} ${system && `on ${system}`}`;
  const about = element("span", { textContent: name });
  const seen = new Date(device.last_seen_at).toLocaleString([], { dateStyle: "short", timeStyle: "short" });
  about.append(element("small", { textContent: `${device.address ?? ""} · ${seen}` }));
  if (device.current) return element("li", {}, about, element("em", { textContent: "this one" }));
  const button = element("button", { type: "button", className: "quiet", textContent: "Sign out" });
  button.setAttribute("aria-label", `Sign out ${name}`);
  on(button, "click", () => signOut(device.id));
  return element("li", {}, about, button);
}

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function say(text) {
  $("#done").textContent = text;
}

/** Shows what went wrong: a problem body by its title, its detail and the fields that are wrong. */
function show(error) {
  if (!(error instanceof Problem)) {
    console.error(error);
    const detail = "Nothing that this page may read. Does it run, and does it allow this page's origin? The console says more.";
    error = new Problem({ title: "The API gave no answer", detail });
  }
  const { title, detail, status, instance, errors = [] } = error.body;
  // One fault of the input is the detail too.
  const lines = new Set([detail, ...errors.map((fault) => `${fault.pointer}: ${fault.detail}`)]);
  lines.delete(title);
  lines.delete(undefined);
  if (status === 412) lines.add("Somebody else changed the account: read it again, then save.");
  if (error.retryAfter) lines.add(`Try again in ${error.retryAfter} s.`);
  $("#problem").replaceChildren(
    element("h2", { textContent: title }),
    ...[...lines].map((textContent) => element("p", { textContent })),
    element("small", { textContent: [status, instance].filter(Boolean).join(" · ") }),
  );
  $("#problem").scrollIntoView({ block: "nearest" });
  for (const { pointer } of errors) {
    for (const input of document.querySelectorAll(`section:not([hidden]) [name="${CSS.escape(pointer.slice(1))}"]`)) {
      input.setAttribute("aria-invalid", "true");
      input.setAttribute("aria-describedby", "problem");
    }
  }
}

function clear() {
  say("");
  $("#problem").replaceChildren();
  for (const input of document.querySelectorAll("[aria-invalid]")) {
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
  }
}

/** Does one thing at a time, and shows what went wrong. */
async function attempt(action) {
  if (busy) return;
  busy = true;
  document.body.ariaBusy = "true";
  clear();
  try {
    await action();
  } catch (error) {
    show(error);
  } finally {
    busy = false;
    document.body.ariaBusy = "false";
  }
}

function on(target, event, action) {
  target.addEventListener(event, (happened) => {
    happened.preventDefault();
    attempt(() => action(target));
  });
}

on($("#entry"), "submit", enter);
on($("#other"), "click", () => setSignUp(!isSignUp));
on($("#profile"), "submit", save);
on($("#again"), "click", open);
on($("#refresh"), "click", async () => {
  await refresh();
  await listDevices();
  say("Refreshed: a new pair of tokens.");
});
on($("#sign-out"), "click", () => signOut());
$("#entry").addEventListener("change", draw);

/** Goes on where this browser, perhaps in another tab, left off. */
function start() {
  access = undefined;
  draw();
  if (stored.transport) attempt(open);
}

addEventListener("storage", ({ key }) => key === "transport" && start());
$("#api").textContent = API;
start();
