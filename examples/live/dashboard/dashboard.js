// Figures that a server publishes once a second. Everybody may see them, so nobody signs in: the rules of the namespace say so.
import { element, open, subscribe } from "../shared/page.js";
import { follow } from "../shared/tollgate.js";

const FIGURES = [
  { key: "orders", title: "Orders a minute", show: (value) => value.toFixed(0) },
  { key: "revenue", title: "Revenue today", show: (value) => `€${Math.round(value).toLocaleString("en")}` },
  { key: "visitors", title: "Visitors now", show: (value) => value.toLocaleString("en") },
  { key: "latency", title: "Response time", show: (value) => `${value.toFixed(0)} ms` },
];
const KEPT = 300; // as many as the server keeps: five minutes
const LATE = 5_000; // ms without a figure

const $ = (id) => document.getElementById(id);
const name = new URLSearchParams(location.search).get("name") ?? "shop";
const points = [];
let chosen = FIGURES[0];

const channel = open().newSubscription(`dashboard:${name}`);

follow(channel, {
  limit: KEPT,
  begin: () => (points.length = 0),
  show: ({ data }) => {
    points.push({ ...data, at: new Date(data.at) });
    if (points.length > KEPT) points.shift();
    requestDraw();
  },
});
subscribe(channel);

// ---- the tiles

for (const figure of FIGURES) {
  figure.value = element("output", {});
  figure.change = element("small", {});
  figure.spark = svg("svg", { viewBox: "0 0 100 24", preserveAspectRatio: "none", "aria-hidden": "true" });
  figure.tile = element("button", { className: "card tile" }, element("span", { textContent: figure.title }), figure.value, figure.change);
  figure.tile.append(figure.spark);
  figure.tile.addEventListener("click", () => {
    chosen = figure;
    requestDraw();
  });
  $("tiles").append(figure.tile);
}

function drawTile(figure) {
  figure.tile.setAttribute("aria-pressed", figure === chosen);
  const now = points.at(-1)[figure.key];
  const before = points.at(-61) ?? points[0]; // a minute ago
  const change = before[figure.key] ? Math.round((now / before[figure.key] - 1) * 100) : 0;
  figure.value.textContent = figure.show(now);
  figure.change.textContent = change ? `${change < 0 ? "−" : "+"}${Math.abs(change)} % in a minute` : "as a minute ago";
  const last = points.slice(-60);
  const { least, most } = range(last, figure.key);
  const x = (index) => (index / 59) * 100;
  const y = (value) => 22 - ((value - least) / (most - least)) * 20;
  figure.spark.replaceChildren(svg("path", { class: "line", d: path(last.map((point, index) => [x(index), y(point[figure.key])])) }));
}

// ---- the chart

function drawChart() {
  const { width, height } = $("chart").getBoundingClientRect();
  const [left, right, top, bottom] = [56, 12, 12, 28];
  const { key, title, show } = chosen;
  const scale = round(range(points, key));
  const first = points[0].at;
  const span = Math.max(points.at(-1).at - first, 30_000);
  const x = (at) => left + ((at - first) / span) * (width - left - right);
  const y = (value) => height - bottom - ((value - scale.least) / (scale.most - scale.least)) * (height - top - bottom);

  const drawn = [];
  for (let value = scale.least; value <= scale.most + scale.step / 2; value += scale.step) {
    drawn.push(svg("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
    drawn.push(svg("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, show(value)));
  }
  const places = width > 500 ? [0, 0.25, 0.5, 0.75, 1] : [0, 0.5, 1];
  for (const part of places) {
    const at = new Date(+first + part * span);
    const anchor = { 0: "start", 1: "end" }[part] ?? "middle";
    drawn.push(svg("text", { x: x(at), y: height - 8, "text-anchor": anchor }, at.toLocaleTimeString([], { timeStyle: "medium" })));
  }
  const line = path(points.map((point) => [x(point.at), y(point[key])]));
  const last = points.at(-1);
  drawn.push(svg("path", { class: "area", d: `${line}V${y(scale.least)}H${x(first)}Z` }));
  drawn.push(svg("path", { class: "line", d: line }));
  drawn.push(svg("circle", { class: "dot", cx: x(last.at), cy: y(last[key]), r: 4 }));

  $("chart").setAttribute("viewBox", `0 0 ${width} ${height}`);
  const { least, most } = range(points, key);
  $("chart").setAttribute("aria-label", `${title}: now ${show(last[key])}, at least ${show(least)}, at most ${show(most)}`);
  $("chart").replaceChildren(...drawn);
  $("chosen").textContent = title;
}

function range(points, key) {
  const values = points.map((point) => point[key]);
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return { least, most: most > least ? most : least + 1 };
}

/** Widens a range to round numbers, of which four to eight are written beside the chart. */
function round({ least, most }) {
  const power = 10 ** Math.floor(Math.log10((most - least) / 4));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((step) => (most - least) / step <= 6);
  return { least: Math.floor(least / step) * step, most: Math.ceil(most / step) * step, step };
}

const path = (places) => `M${places.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join("L")}`;

function svg(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// ---- when to draw

let waiting = false;

/** The history is hundreds of figures at once, and one picture. */
function requestDraw() {
  if (waiting || !points.length) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    FIGURES.forEach(drawTile);
    drawChart();
    sayWhen();
  });
}

function sayWhen() {
  const at = points.at(-1)?.at;
  const text = !at ? "No figures yet" : Date.now() - at < LATE ? "" : `No figures since ${at.toLocaleTimeString()}`;
  if ($("when").textContent !== text) $("when").textContent = text;
}

addEventListener("resize", requestDraw);
setInterval(sayWhen, 1_000);
