// A program that acts for itself: a token by client credentials, and a call with it. Environment: TOLLGATE, NIGHTLY_SECRET, ORDERS.
const { TOLLGATE = "http://localhost:8080", NIGHTLY_SECRET: secret, ORDERS = "http://localhost:4100/orders" } = process.env;

let kept;

/** The same token for as long as it is good: one request every ten minutes, not one for each call. */
async function accessToken() {
  if (kept?.until > Date.now()) return kept.token;
  const response = await fetch(`${TOLLGATE}/oauth/token`, {
    method: "POST",
    headers: { authorization: `Basic ${btoa(`nightly:${secret}`)}` },
    body: new URLSearchParams({
      grant_type: "client_credentials",
      scope: "orders:read orders:write",
      resource: "https://orders.example.com",
    }),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${answer.error}: ${answer.error_description}`);
  kept = { token: answer.access_token, until: Date.now() + (answer.expires_in - 30) * 1000 };
  return kept.token;
}

async function call(method) {
  const response = await fetch(ORDERS, { method, headers: { authorization: `Bearer ${await accessToken()}` } });
  if (!response.ok) throw new Error(`${method} ${ORDERS}: ${response.status} ${response.headers.get("www-authenticate")}`);
  return response.json();
}

console.log("ordered", await call("POST"));
console.log("all orders", await call("GET"));
