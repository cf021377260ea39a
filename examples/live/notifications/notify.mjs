// Tells one person something: node notifications/notify.mjs USER TITLE [TEXT]. Environment: see shared/server.mjs
import { publish } from "../shared/server.mjs";

const [user, title, text] = process.argv.slice(2);
if (!title) {
  console.error("usage: notify.mjs USER TITLE [TEXT]");
  process.exit(2);
}
await publish(`user:${user}`, { title, text, at: new Date().toISOString() });
console.log("sent");
