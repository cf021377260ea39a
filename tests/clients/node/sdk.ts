// A client generated from /openapi.json signs in and reads its account; wrong names don't compile.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

const client = createClient<paths>({ baseUrl: process.env.ISSUER! });
const account = { email: `${crypto.randomUUID()}@example.com`, password: "correct horse battery staple" };

function check(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(message);
}

const created = await client.POST("/v1/users", { body: account });
check(created.data, JSON.stringify(created.error));

const session = await client.POST("/v1/sessions", { body: account });
check(session.data, JSON.stringify(session.error));
const pair: components["schemas"]["TokenPair"] = session.data;
client.use({
  onRequest({ request }) {
    request.headers.set("authorization", `Bearer ${pair.access_token}`);
    return request;
  },
});

const me = await client.GET("/v1/users/{id}", { params: { path: { id: "me" } } });
check(me.data, JSON.stringify(me.error));
const user: components["schemas"]["User"] = me.data;
check(user.email === account.email && user.id === created.data.id, `${user.email} is somebody else`);

const patched = await client.PATCH("/v1/users/{id}", {
  params: { path: { id: "me" } },
  body: { name: "Ada", user_metadata: { theme: "dark" } },
});
check(patched.data?.name === "Ada", JSON.stringify(patched.error));

const refused = await client.GET("/v1/users", { params: { query: { limit: 1 } } });
check(refused.error?.status === 403 && refused.error.type.endsWith("/insufficient-scope"), "a problem is typed too");

// @ts-expect-error there is no such member
check(user.mail === undefined, "nothing there");
// @ts-expect-error a member is missing
void (() => client.POST("/v1/users", { body: { email: account.email } }));
// @ts-expect-error there is no such path
void (() => client.GET("/v1/nonsense"));
