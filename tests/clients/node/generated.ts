// What openapi-generator makes of the shop's document for TypeScript: classes that do the fetching.
import {
  Configuration, CustomersApi, OrdersApi, ProblemFromJSON, ProductsApi, ResponseError, SessionsApi, UsersApi,
  type NewOrder, type Order, type OrderPatch, type Problem,
} from "./generated/index.js";

const basePath = process.env.ISSUER!;
const open = new Configuration({ basePath });

function check(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(message);
}

async function signIn(email: string, password: string): Promise<Configuration> {
  const pair = await new SessionsApi(open).createSession({ newSession: { email, password } });
  check(pair.accessToken, "the token is in the body");
  return new Configuration({ basePath, accessToken: pair.accessToken });
}

async function problem(refused: Promise<unknown>): Promise<Problem> {
  try {
    await refused;
  } catch (error) {
    if (error instanceof ResponseError) return ProblemFromJSON(await error.response.json());
    throw error;
  }
  throw new Error("it was not refused");
}

const staff = await signIn(process.env.STAFF!, process.env.STAFF_PASSWORD!);
const product = await new ProductsApi(staff).createProduct({ newProduct: { title: "Pen", price: 3, tags: ["red"] } });
const listed = await new ProductsApi(open).listProducts({ filter: "price == 3", orderBy: "-price" });
check(listed.items.some((one) => one.id === product.id), "visitors see products");

const account = { email: `${crypto.randomUUID()}@example.com`, password: "correct horse battery staple" };
await new UsersApi(open).createUser({ newUser: account });
const ada = await signIn(account.email, account.password);
const customer = await new CustomersApi(ada).createCustomer({ newCustomer: { name: "Ada", address: { city: "London" } } });
check(customer.address?.city === "London", JSON.stringify(customer));

const orders = new OrdersApi(ada);
const newOrder: NewOrder = { title: "Pen", price: 3, status: "open", due: new Date("2027-01-01T00:00:00Z") };
const order: Order = await orders.createOrder({ newOrder });
check(order.version === 1 && order.due?.getUTCFullYear() === 2027, JSON.stringify(order));
const { id } = order;
const page = await orders.listOrders({ filter: "price < 10" });
check(page.items.length === 1 && page.nextCursor === null, JSON.stringify(page));
const read = await orders.readOrderRaw({ id });
const ifMatch = read.raw.headers.get("etag")!;
const orderPatch: OrderPatch = { price: 2.5, due: null };
const changed = await orders.updateOrder({ id, ifMatch, orderPatch });
check(changed?.price === 2.5 && changed.due === undefined, JSON.stringify(changed));
const stale = await problem(orders.updateOrder({ id, ifMatch, orderPatch }));
check(stale.status === 412 && stale.currentVersion === 2, JSON.stringify(stale));
const refused = await problem(orders.createOrder({ newOrder: { ...newOrder, price: -1 } }));
check(refused.status === 422 && refused.errors?.[0]?.pointer === "/price", JSON.stringify(refused));
await orders.deleteOrder({ id });
check((await problem(orders.readOrder({ id }))).status === 404, "gone");

// @ts-expect-error there is no such member
void order.titel;
// @ts-expect-error a member is missing
void ({ title: "Pen", status: "open" } satisfies NewOrder);
// @ts-expect-error what every order has can't be taken away
void ({ price: null } satisfies OrderPatch);
