// A signed-in user without a browser: keeps cookies, follows redirects one by one, fills the forms of Tollgate's pages as
// their HTML has them, and ends where the server sends the user out of its own origin.
import assert from "node:assert/strict";
import { issuer } from "./steps.mjs";

const PASSWORD = "correct horse battery staple";

export async function signUp(more = {}) {
  const account = { email: `${crypto.randomUUID()}@example.com`, password: PASSWORD, name: "Ada Lovelace", ...more };
  const response = await fetch(`${issuer}/v1/users`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(account),
  });
  assert.equal(response.status, 201, await response.clone().text());
  return { ...account, ...(await response.json()) };
}

export class Browser {
  cookies = new Map();
  signIns = 0;
  consents = 0;

  constructor(user) {
    this.user = user;
  }

  // Opens an address of the server's. What it returns is the address to which the user is sent at last, a `Request` when the
  // answer travels by form_post, or the page on which nothing is left to press.
  async open(address, { decision = "allow", code } = {}) {
    let page = await this.go(address);
    for (let left = 20; left > 0; left--) {
      if (page.leaves) return page.leaves;
      const form = formOf(page);
      if (!form) return page;
      const action = new URL(form.action, page.address);
      if (action.origin !== new URL(issuer).origin) {
        return new Request(action, {
          method: "POST",
          headers: { "content-type": "application/x-www-form-urlencoded" },
          body: new URLSearchParams(form.fields),
        });
      }
      const fields = new Map(form.fields);
      const signsIn = fields.has("password");
      if (signsIn) {
        fields.set("email", this.user.email).set("password", this.user.password);
        this.signIns++;
      }
      if (form.inputs.includes("user_code") && !fields.get("user_code")) fields.set("user_code", code);
      const wanted = form.buttons.find((one) => one.name === "decision" && one.value === decision);
      const pressed = wanted ?? form.buttons.find((one) => one.name) ?? null;
      if (pressed) fields.set(pressed.name, pressed.value);
      if (action.pathname === "/oauth/consent") this.consents++;
      const before = page;
      page = await this.go(action, { method: form.method, body: new URLSearchParams([...fields]), referrer: before.address });
      if (signsIn) {
        assert.ok(page.status !== 401 && page.status !== 403, `sign-in refused: ${page.status} ${textOf(page)}`);
        assert.equal(page.first, 303, "after a form with credentials the redirect is 303");
      }
    }
    assert.fail("the pages go round in circles");
  }

  async go(address, { method = "GET", body, referrer } = {}) {
    let url = new URL(address, issuer);
    let first;
    for (let left = 20; left > 0; left--) {
      const headers = { accept: "text/html" };
      if (this.cookies.size) headers.cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; ");
      if (method === "POST") Object.assign(headers, { origin: issuer, "sec-fetch-site": "same-origin", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" });
      if (referrer) headers.referer = String(referrer);
      const response = await fetch(url, { method, headers, body: method === "POST" ? body : undefined, redirect: "manual" });
      first ??= response.status;
      for (const line of response.headers.getSetCookie()) this.keep(line);
      const location = response.headers.get("location");
      if (!location || response.status < 300 || response.status > 399) {
        const text = await response.text();
        assert.ok(response.status < 500, `${url} ${response.status} ${text}`);
        return { address: url, status: response.status, headers: response.headers, text, first };
      }
      url = new URL(location, url);
      if (url.origin !== new URL(issuer).origin) return { leaves: url, first };
      if (response.status !== 307 && response.status !== 308) {
        method = "GET";
        body = undefined;
      }
    }
    assert.fail("too many redirects");
  }

  keep(line) {
    const [pair, ...attributes] = line.split(";").map((part) => part.trim());
    const at = pair.indexOf("=");
    const [name, value] = [pair.slice(0, at), pair.slice(at + 1)];
    const has = (test) => attributes.some((one) => test.test(one));
    const expires = attributes.find((one) => /^expires=/i.test(one));
    if (has(/^max-age=(0|-\d+)$/i) || (expires && new Date(expires.slice(8)) < new Date())) this.cookies.delete(name);
    else this.cookies.set(name, value);
  }

  forget() {
    this.cookies.clear();
  }
}

export const textOf = (page) => (page.text ?? "").replace(/<[^>]*>/g, " ").replace(/\s+/g, " ").slice(0, 400);

const plain = (text) => text.replace(/&quot;/g, '"').replace(/&#(\d+);/g, (_, number) => String.fromCodePoint(number))
  .replace(/&#x([0-9a-f]+);/gi, (_, number) => String.fromCodePoint(parseInt(number, 16))).replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");

function attributesOf(tag) {
  const found = {};
  for (const [, name, , doubled, single, bare] of tag.matchAll(/([\w-]+)(\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+)))?/g)) {
    found[name.toLowerCase()] ??= plain(doubled ?? single ?? bare ?? "");
  }
  return found;
}

// The form that the page is about: the first that asks for something, or else the first by POST.
function formOf(page) {
  const forms = [...page.text.matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/gi)].map(([, tag, inside]) => {
    const own = attributesOf(tag);
    const inputs = [...inside.matchAll(/<input\b([^>]*)>/gi)].map(([, tag]) => attributesOf(tag)).filter((one) => one.name);
    const buttons = [...inside.matchAll(/<button\b([^>]*)>/gi)].map(([, tag]) => attributesOf(tag)).filter((one) => (one.type ?? "submit") === "submit");
    return {
      action: own.action || String(page.address),
      method: (own.method ?? "get").toUpperCase(),
      inputs: inputs.map((one) => one.name),
      fields: inputs.filter((one) => !["checkbox", "radio"].includes(one.type) || "checked" in one).map((one) => [one.name, one.value ?? ""]),
      buttons,
    };
  }).filter((form) => form.method === "POST");
  const asks = (form) => form.inputs.some((name) => ["password", "user_code"].includes(name)) || form.buttons.some((one) => one.name === "decision");
  return forms.find(asks) ?? forms.find((form) => new URL(form.action, page.address).origin !== new URL(issuer).origin);
}
