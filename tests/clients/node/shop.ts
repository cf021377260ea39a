// What openapi-typescript makes of the shop's document, at the server and in the compiler: wrong members don't compile.
import createClient, { type Client } from "openapi-fetch";
import type { components, paths } from "./shop-schema.js";
import type { paths as OpenPaths } from "./visitor-schema.js";

type Order = components["schemas"]["Order"];
type NewOrder = components["schemas"]["NewOrder"];
type OrderPatch = components["schemas"]["OrderPatch"];

function check(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(message);
}

async function signIn(email: string, password: string): Promise<Client<paths>> {
  const client = createClient<paths>({ baseUrl: process.env.ISSUER! });
  const { data, error } = await client.POST("/v1/sessions", { body: { email, password } });
  check(data, JSON.stringify(error));
  return createClient<paths>({ baseUrl: process.env.ISSUER!, headers: { authorization: `Bearer ${data.access_token}` } });
}

const staff = await signIn(process.env.STAFF!, process.env.STAFF_PASSWORD!);
const made = await staff.POST("/v1/data/products", { body: { title: "Ink", price: 12.5, stock: 3, tags: ["blue"] } });
check(made.data?.stock === 3, JSON.stringify(made.error));
const product = made.data;

const account = { email: `${crypto.randomUUID()}@example.com`, password: "correct horse battery staple" };
await createClient<paths>({ baseUrl: process.env.ISSUER! }).POST("/v1/users", { body: account });
const ada = await signIn(account.email, account.password);
const customer = await ada.POST("/v1/data/customers", { body: { name: "Ada", address: { city: "London", country: "GB" } } });
check(customer.data?.address?.city === "London", JSON.stringify(customer.error));
const moved = await ada.PATCH("/v1/data/customers/{id}", {
  params: { path: { id: customer.data.id } },
  body: { address: { country: null, street: "St James's Square" } },
});
check(moved.data?.address?.city === "London" && moved.data.address.country === undefined, "a part of a part was changed");

const wanted: NewOrder = { title: "Ink", price: 12.5, status: "open", due: "2027-01-01T00:00:00Z" };
const ordered = await ada.POST("/v1/data/orders", { body: wanted });
check(ordered.data, JSON.stringify(ordered.error));
const order: Order = ordered.data;
check(order.version === 1 && order.price === 12.5 && order.owner !== null, JSON.stringify(order));
const id = { path: { id: order.id } };

const list = await ada.GET("/v1/data/orders", { params: { query: { filter: "price >= 10 && status == 'open'", limit: 5 } } });
check(list.data?.items[0]?.id === order.id && list.data.next_cursor === null, JSON.stringify(list.error));
const read = await ada.GET("/v1/data/orders/{id}", { params: id });
const tag = read.response.headers.get("etag")!;
check(read.data?.title === "Ink" && tag === '"1"', JSON.stringify(read.error));

const change: OrderPatch = { price: 11, due: null };
const changed = await ada.PATCH("/v1/data/orders/{id}", { params: { ...id, header: { "If-Match": tag } }, body: change });
check(changed.data?.price === 11 && changed.data.due === undefined, JSON.stringify(changed.error));
const stale = await ada.PATCH("/v1/data/orders/{id}", { params: { ...id, header: { "If-Match": tag } }, body: change });
check(stale.error?.status === 412 && stale.error.current_version === 2, "the tag was stale");

const refused = await ada.POST("/v1/data/orders", { body: { ...wanted, price: -1 } });
check(refused.error?.status === 422 && refused.error.errors?.[0]?.pointer === "/price", "the problem is typed, too");

check((await ada.DELETE("/v1/data/orders/{id}", { params: id })).response.status === 204, "deleted");
check((await ada.GET("/v1/data/orders/{id}", { params: id })).error?.status === 404, "gone");

// @ts-expect-error there is no such member
void order.titel;
// @ts-expect-error a member is missing
void ({ title: "Ink", status: "open" } satisfies NewOrder);
// @ts-expect-error the server keeps this member
void ({ ...wanted, version: 1 } satisfies NewOrder);
// @ts-expect-error there is no such choice
void ({ ...wanted, status: "lost" } satisfies NewOrder);
// @ts-expect-error what every order has can't be taken away
void ({ price: null } satisfies OrderPatch);
// @ts-expect-error there is no such member to change
void ({ colour: "blue" } satisfies OrderPatch);
// @ts-expect-error there is no such collection
void (() => ada.GET("/v1/data/invoices"));

const visitor = createClient<OpenPaths>({ baseUrl: process.env.ISSUER! });
const products = await visitor.GET("/v1/data/products", { params: { query: { order_by: "-price" } } });
check(products.data?.items.some((one) => one.id === product.id), JSON.stringify(products.error));
// @ts-expect-error visitors make no products
void (() => visitor.POST("/v1/data/products", { body: { title: "Ink", price: 1 } }));
// @ts-expect-error visitors see no orders
void (() => visitor.GET("/v1/data/orders"));
