// What these pages need of Tollgate: signing in, calling the API, and the socket for live updates. Nothing here draws.

// A real app has this address in its build: who chooses it gets the passwords.
export const API = (new URLSearchParams(location.search).get("api") ?? "http://localhost:8080").replace(/\/+$/, "");

// In this tab's memory only, so two tabs may be two people, and a reload signs out. Where real apps keep them:
// docs/session-or-jwt.md
let tokens;
let renewing; // the renewal on its way: one is enough for all who wait

// ---- the API

/** What went wrong, as a problem body (RFC 9457) says it. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail ?? body.title);
    Object.assign(this, { status, ...body });
  }
}

async function send(method, path, body, headers) {
  const response = await fetch(API + path, {
    method,
    headers: {
      ...(body && { "Content-Type": "application/json" }),
      ...(tokens && { Authorization: `Bearer ${tokens.access_token}` }),
      ...headers,
    },
    body: body && JSON.stringify(body),
    cache: "no-store",
  });
  if (response.status === 204) return null;
  // A proxy in between may answer without a problem body.
  const answer = await response.json().catch(() => ({ title: `The API answered ${response.status}` }));
  if (!response.ok) throw new Problem(response.status, answer);
  return answer;
}

/** Calls the API as whoever is signed in; an access token that is no longer good costs one renewal. */
export async function call(method, path, body, headers) {
  try {
    return await send(method, path, body, headers);
  } catch (error) {
    if (error.status !== 401 || !tokens) throw error;
    await renew();
    return send(method, path, body, headers);
  }
}

function renew() {
  renewing ??= send("POST", "/v1/tokens", { refresh_token: tokens.refresh_token })
    .then((pair) => (tokens = pair))
    .finally(() => (renewing = undefined));
  return renewing;
}

// ---- people

/** Signs in, and answers the account. */
export async function signIn(email, password) {
  tokens = await send("POST", "/v1/sessions", { email, password });
  const me = await call("GET", "/v1/users/me");
  if (!(await read(me.id))) await call("POST", "/v1/data/people", { name: me.name ?? email.split("@")[0] });
  return me;
}

export const signUp = (email, password, name) => send("POST", "/v1/users", { email, password, name });

export const signOut = () => call("DELETE", "/v1/sessions/current");

async function read(sub) {
  const filter = encodeURIComponent(`owner == "${sub}"`);
  const { items } = await call("GET", `/v1/data/people?limit=1&filter=${filter}`);
  return items[0]?.name;
}

const names = new Map();

/**
 * What somebody is called: the name in their own record of `people`. Messages come with the `user` that the server vouches for,
 * so nobody speaks under the name of somebody else.
 */
export function nameOf(sub) {
  const found = names.get(sub) ?? read(sub).then((name) => name ?? "Somebody");
  names.set(sub, found);
  found.catch(() => names.delete(sub)); // asked again the next time
  return found;
}

// ---- live updates

/** A socket, which comes back by itself and then resumes its channels. Visitors have one too, where rules admit them. */
export function connect() {
  let given;
  async function getToken() {
    try {
      // Asked for again when the one it has runs out or is refused.
      if (tokens.access_token === given) await renew();
      return (given = tokens.access_token);
    } catch (error) {
      // A session that has ended is over; anything else, as a network that is down, is tried again.
      throw error.status === 401 ? new Centrifuge.UnauthorizedError(error.message) : error;
    }
  }
  return new Centrifuge(`${API.replace(/^http/, "ws")}/v1/realtime`, tokens ? { getToken } : {});
}

/**
 * Shows all that a channel with history carries, in order and once: what is kept, what was missed, what comes.
 * `begin` is called before the first, and again when too much was missed, so that everything is shown anew. `show` also learns
 * whether it is new.
 */
export function follow(subscription, { limit, begin, show }) {
  let isLoaded = false;
  let last = 0;
  let turn = Promise.resolve();
  const inTurn = (step) => (turn = turn.catch(() => {}).then(step));

  function showOnce(publication, isNew) {
    if (publication.offset <= last) return; // the history had it
    last = publication.offset;
    show(publication, isNew);
  }

  subscription.on("publication", (publication) => inTurn(() => showOnce(publication, true)));
  subscription.on("subscribed", ({ recovered }) => {
    if (isLoaded && recovered) return; // what was missed comes as publications
    inTurn(async () => {
      const { publications } = await subscription.history({ limit, reverse: true });
      last = 0;
      begin();
      for (const publication of publications.reverse()) showOnce(publication, false);
      isLoaded = true;
    });
  });
}

/** Keeps who is in a channel, and tells of every change: the user of each client, since somebody may have several windows. */
export function attend(subscription, changed) {
  const here = new Map();
  let moved; // while the list is on its way, which may be older: who came and went
  subscription.on("subscribed", async () => {
    moved = [];
    const { clients } = await subscription.presence();
    here.clear();
    for (const { client, user } of Object.values(clients)) here.set(client, user);
    for (const { client, user, came } of moved) came ? here.set(client, user) : here.delete(client);
    moved = undefined;
    changed(here, {});
  });
  subscription.on("join", ({ info }) => {
    moved?.push({ ...info, came: true });
    const isNew = !isHere(info.user);
    here.set(info.client, info.user);
    changed(here, { came: isNew && info.user, client: info.client });
  });
  subscription.on("leave", ({ info }) => {
    moved?.push({ ...info, came: false });
    here.delete(info.client);
    changed(here, { went: !isHere(info.user) && info.user, client: info.client });
  });
  const isHere = (user) => [...here.values()].includes(user);
}
