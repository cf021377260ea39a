// Things on a map that move twenty times a second. Each page drives a fleet, says where it is, and draws everybody's.
import { colorOf, element, enter, face, subscribe } from "../shared/page.js";
import { attend, nameOf } from "../shared/tollgate.js";
import { HEIGHT, WIDTH, drawCity, drive, place } from "./city.js";

const SAY_EVERY = 50; // ms
const $ = (id) => document.getElementById(id);
const area = new URLSearchParams(location.search).get("area") ?? "downtown";
const { me, client } = await enter();
$("area").textContent = area;

// ---- what is told, and what is heard

const track = client.newSubscription(`track:${area}`, { joinLeave: true });
const mine = [place("van", 90), place("car", 130), place("bike", 55)];
const others = new Map(); // client -> their user, things and how many messages came
let self; // this page's client
let isDriving = true;
let before = performance.now();

client.on("connected", (context) => (self = context.client));

// In a tab that nobody looks at, browsers call this once a second only.
setInterval(() => {
  const now = performance.now();
  if (isDriving) {
    for (const thing of mine) drive(thing, (now - before) / 1000);
    const things = mine.map(({ kind, x, y, heading }) => ({ kind, x: Math.round(x), y: Math.round(y), heading }));
    if (track.state === "subscribed") track.publish({ things }).catch(() => {}); // the next one says it
  }
  before = now;
}, SAY_EVERY);

track.on("publication", ({ data, info }) => {
  if (!info || info.client === self) return; // over HTTP one is nobody
  const fleet = others.get(info.client) ?? { user: info.user, count: 0, rate: 0, shown: [] };
  others.set(info.client, { ...fleet, things: data.things, count: fleet.count + 1 });
  label(info.user);
});

attend(track, (here) => {
  for (const gone of [...others.keys()].filter((one) => !here.has(one))) others.delete(gone);
  list();
});
subscribe(track);

// ---- the list

setInterval(() => {
  for (const fleet of others.values()) {
    fleet.rate = fleet.count;
    fleet.count = 0;
  }
  list();
}, 1_000);

function list() {
  const own = { user: me.id, things: mine, text: isDriving ? "you" : "you, paused" };
  const fleets = [own, ...others.values()];
  const line = ({ user, things, rate, text }) => {
    const about = `${things.length} vehicles, ${text ?? (rate ? `${rate} messages a second` : "standing still")}`;
    return element("li", {}, face(user), element("small", { textContent: about }));
  };
  $("list").replaceChildren(...fleets.map(line));
}

$("drive").addEventListener("click", () => {
  isDriving = !isDriving;
  $("drive").textContent = isDriving ? "Pause my fleet" : "Drive on";
  list();
});

// ---- the map

const canvas = $("map");
const context = canvas.getContext("2d");
const city = document.createElement("canvas"); // drawn once for each size and scheme
const SMOOTH = 12; // a second: how fast what is drawn follows what was heard
const SIZES = { van: [24, 13], car: [19, 11], bike: [14, 6] }; // pixels
const labels = new Map(); // user -> name
let scale = 1;
const colors = {};

function drawAnew() {
  const { width } = canvas.getBoundingClientRect();
  scale = (width * devicePixelRatio) / WIDTH;
  for (const one of [canvas, city]) Object.assign(one, { width: WIDTH * scale, height: HEIGHT * scale });
  const probe = element("i", {});
  canvas.after(probe);
  const color = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  for (let index = 0; index < 6; index += 1) colors[`color-${index}`] = color(`--color-${index}`);
  colors.edge = color("--card");
  const ground = city.getContext("2d");
  ground.scale(scale, scale);
  drawCity(ground, color);
  probe.remove();
}

new ResizeObserver(drawAnew).observe(canvas);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAnew);

const label = async (user) => labels.has(user) || labels.set(user, await nameOf(user));
label(me.id);

let drawn = performance.now();

requestAnimationFrame(function frame(now) {
  const part = 1 - Math.exp((-SMOOTH * (now - drawn)) / 1000);
  drawn = now;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.drawImage(city, 0, 0);
  for (const fleet of others.values()) {
    // Between two messages things glide on.
    fleet.shown = fleet.things.map((thing, index) => {
      const { x, y } = fleet.shown[index] ?? thing;
      return { ...thing, x: x + (thing.x - x) * part, y: y + (thing.y - y) * part };
    });
    fleet.shown.forEach((thing) => drawThing(thing, fleet.user));
  }
  for (const thing of mine) drawThing(thing, me.id);
  requestAnimationFrame(frame);
});

function drawThing({ kind, x, y, heading }, user) {
  const [length, width] = SIZES[kind] ?? SIZES.car;
  const there = new DOMMatrix().translate(x * scale, y * scale).scale(devicePixelRatio);
  context.setTransform(there.rotate((heading * 180) / Math.PI));
  context.beginPath();
  context.roundRect(-length / 2, -width / 2, length, width, 4);
  context.fillStyle = colors[colorOf(user)];
  context.strokeStyle = colors.edge;
  context.lineWidth = 3;
  context.stroke();
  context.fill();
  context.fillStyle = colors.edge;
  context.fillRect(length / 4, 2 - width / 2, 2, width - 4); // the windscreen tells where it goes
  if (kind !== "van") return; // one name for a fleet is enough
  context.setTransform(there);
  context.font = "600 12px system-ui, sans-serif";
  context.textAlign = "center";
  context.lineWidth = 4;
  context.fillStyle = colors[colorOf(user)];
  const above = y * scale > 40 * devicePixelRatio ? -16 : 26;
  context.strokeText(labels.get(user) ?? "", 0, above);
  context.fillText(labels.get(user) ?? "", 0, above);
}
