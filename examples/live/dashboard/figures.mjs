// A shop's figures, made up, published once a second: node dashboard/figures.mjs [NAME]. Environment: see shared/server.mjs
import { publish } from "../shared/server.mjs";

const [name = "shop"] = process.argv.slice(2);
const wander = (value, step, least, most) => Math.min(most, Math.max(least, value + (Math.random() - 0.5) * step));

let figures = { orders: 42, revenue: 18_400, visitors: 310, latency: 84 };

async function tell() {
  const orders = wander(figures.orders, 6, 10, 90);
  figures = {
    orders,
    revenue: figures.revenue + (orders / 60) * 35 * Math.random() * 2,
    visitors: Math.round(wander(figures.visitors, 24, 80, 900)),
    latency: wander(figures.latency, 16, 40, 260),
  };
  await publish(`dashboard:${name}`, { ...figures, at: new Date().toISOString() });
}

console.log(`publishing to dashboard:${name}, once a second`);
// What a server that is away doesn't get is of no use to it later.
setInterval(() => tell().catch((error) => console.error(error.message)), 1_000);
