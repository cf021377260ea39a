// What a back end needs to publish: a token of its own (client credentials, scope channels:manage), and one request.
// Environment: TOLLGATE, BACK_OFFICE_SECRET.
const { TOLLGATE = "http://localhost:8080", BACK_OFFICE_SECRET: secret } = process.env;

let kept;

/** The same token for as long as it is good: one request every ten minutes, not one for each message. */
async function accessToken() {
  if (kept?.until > Date.now()) return kept.token;
  const response = await fetch(`${TOLLGATE}/oauth/token`, {
    method: "POST",
    headers: { authorization: `Basic ${btoa(`back-office:${secret}`)}` },
    body: new URLSearchParams({ grant_type: "client_credentials", scope: "channels:manage" }),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${answer.error}: ${answer.error_description}`);
  kept = { token: answer.access_token, until: Date.now() + (answer.expires_in - 30) * 1000 };
  return kept.token;
}

/** Publishes to a channel, whatever its rules say; answers where it stands there. */
export async function publish(channel, data) {
  const response = await fetch(`${TOLLGATE}/v1/channels/${encodeURIComponent(channel)}/publications`, {
    method: "POST",
    headers: { authorization: `Bearer ${await accessToken()}`, "content-type": "application/json" },
    body: JSON.stringify({ data }),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${channel}: ${answer.detail ?? answer.title}`);
  return answer;
}
