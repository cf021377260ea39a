// What these pages look alike in: the bar on top, the form to sign in, faces, and what went wrong.
import { connect, nameOf, signIn, signOut, signUp } from "./tollgate.js";

const FORM = `
  <form class="card entry">
    <h2>Sign in</h2>
    <p class="soft">Open this page in a second window, too, and be somebody else there.</p>
    <label hidden>Name <input name="name" type="text" autocomplete="name" maxlength="60"></label>
    <label>Email <input name="email" type="email" autocomplete="username" required></label>
    <label>Password <input name="password" type="password" autocomplete="current-password" required></label>
    <button>Sign in</button>
    <button type="button" class="quiet">No account yet? Sign up</button>
  </form>`;

const bar = document.querySelector("header");
const app = document.querySelector("main");
const problem = element("div", { id: "problem", role: "alert" });
bar.after(problem);

export function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** Shows what went wrong, until something else does or all is well again. */
export function report(error) {
  if (!error.status) console.error(error);
  const offline = "The API gave no answer. Does it run, and does it allow this page's origin? The console says more.";
  problem.textContent = error instanceof TypeError ? offline : error.message;
}

export function allIsWell() {
  problem.textContent = "";
}

// Whatever an example leaves to the page.
addEventListener("unhandledrejection", ({ reason }) => report(reason));

/** Lets somebody sign in, shows the page, and answers who it is and their socket. */
export async function enter() {
  const me = await entered();
  const out = element("button", { className: "quiet", textContent: "Sign out" });
  out.addEventListener("click", () => signOut().finally(() => location.reload()));
  bar.append(face(me.id), out);
  return { me, client: open() };
}

/** The same for a page that everybody may see. */
export function open() {
  app.hidden = false;
  const state = element("span", { className: "state", role: "status" });
  bar.querySelector("h1").after(state);
  const client = connect();
  const say = (name, text) => Object.assign(state, { textContent: text, className: `state ${name}` });
  client.on("connecting", () => say("waiting", "Connecting …"));
  client.on("connected", () => say("live", "Live"));
  client.on("disconnected", ({ reason }) => say("over", `Ended: ${reason}`));
  client.on("connected", allIsWell);
  say("waiting", "Connecting …");
  client.connect();
  return client;
}

/** Subscribes, and shows why it can't. */
export function subscribe(subscription) {
  subscription.on("error", ({ error }) => report(error));
  subscription.on("unsubscribed", ({ code, reason }) => code && report(new Error(`${subscription.channel}: ${reason}`)));
  subscription.subscribe();
}

function entered() {
  app.before(document.createRange().createContextualFragment(FORM));
  const form = document.querySelector(".entry");
  const [title, name, submit, other] = [form.querySelector("h2"), form.elements.name, ...form.querySelectorAll("button")];
  let isSignUp = false;

  other.addEventListener("click", () => {
    isSignUp = !isSignUp;
    title.textContent = submit.textContent = isSignUp ? "Sign up" : "Sign in";
    other.textContent = isSignUp ? "Sign in instead" : "No account yet? Sign up";
    name.parentElement.hidden = !isSignUp;
    name.required = isSignUp;
    form.elements.password.autocomplete = isSignUp ? "new-password" : "current-password";
    allIsWell();
  });

  return new Promise((done) => {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const { email, password } = Object.fromEntries(new FormData(form));
      submit.disabled = true;
      try {
        if (isSignUp) await signUp(email, password, name.value);
        const me = await signIn(email, password);
        allIsWell();
        form.remove();
        done(me);
      } catch (error) {
        report(error);
      } finally {
        submit.disabled = false;
      }
    });
  });
}

// ---- people

const COLORS = 6; // in the style sheet
const colors = new Map(); // user -> number

/** The class of somebody's colour: the same on every page, unless somebody else has it there. */
export function colorOf(sub) {
  if (!colors.has(sub)) {
    const wanted = parseInt(sub.slice(-4), 16) % COLORS;
    const taken = new Set(colors.values());
    const next = Array.from({ length: COLORS }, (_, step) => (wanted + step) % COLORS);
    colors.set(sub, next.find((one) => !taken.has(one)) ?? wanted);
  }
  return `color-${colors.get(sub)}`;
}

/** Somebody's name, which may come a moment later. */
export function nameTag(sub) {
  const tag = element("span", { className: "name", textContent: "…" });
  nameOf(sub).then((name) => (tag.textContent = name));
  return tag;
}

/** A disc with somebody's initial, and their name. */
export function face(sub) {
  const initial = element("span", { className: "disc", ariaHidden: "true" });
  nameOf(sub).then((name) => (initial.textContent = [...name][0].toUpperCase()));
  return element("span", { className: `face ${colorOf(sub)}` }, initial, nameTag(sub));
}
