// A made-up city: its streets, things that drive along them, and its map.
export const WIDTH = 1000;
export const HEIGHT = 620;
const COLUMNS = [60, 210, 390, 540, 720, 940];
const ROWS = [60, 190, 330, 440, 560];
const RIVER = [[-20, 410], [200, 350], [330, 250], [480, 250], [640, 270], [760, 130], [1020, 100]];
const PARK = { x: 558, y: 348, width: 144, height: 74 };

const anyOf = (list) => Math.floor(Math.random() * list.length);

/** A thing at some crossing; `speed` in units a second. */
export function place(kind, speed) {
  const at = [anyOf(COLUMNS), anyOf(ROWS)];
  return { kind, speed, x: COLUMNS[at[0]], y: ROWS[at[1]], heading: 0, at, to: at };
}

/** Moves it along for some seconds; at each crossing it goes any way but back. */
export function drive(thing, seconds) {
  let way = thing.speed * seconds;
  while (way > 0) {
    const [x, y] = [COLUMNS[thing.to[0]], ROWS[thing.to[1]]];
    const left = Math.abs(x - thing.x) + Math.abs(y - thing.y); // streets go along the axes
    const part = left ? Math.min(1, way / left) : 1;
    thing.x += (x - thing.x) * part;
    thing.y += (y - thing.y) * part;
    way -= left * part;
    if (part < 1) return;
    const [column, row] = thing.to;
    const ways = [[column - 1, row], [column + 1, row], [column, row - 1], [column, row + 1]].filter(
      ([a, b]) => a in COLUMNS && b in ROWS && String([a, b]) !== String(thing.at),
    );
    thing.at = thing.to;
    thing.to = ways[anyOf(ways)];
    thing.heading = Math.atan2(thing.to[1] - row, thing.to[0] - column);
  }
}

/** Draws the city in its own units; `color` answers the page's colours by name. */
export function drawCity(context, color) {
  context.fillStyle = color("--land");
  context.fillRect(0, 0, WIDTH, HEIGHT);
  for (const [left, right] of stretches(COLUMNS, WIDTH)) {
    for (const [top, bottom] of stretches(ROWS, HEIGHT)) {
      context.fillStyle = color("--block");
      block(context, left, top, right - left, bottom - top, 10);
      context.fillStyle = color("--house");
      for (let x = left + 8; x + 20 < right; x += 34) {
        for (let y = top + 8; y + 16 < bottom; y += 28) {
          const part = ((x * 7 + y * 13) % 11) / 11; // no two alike, and always the same
          if (part > 0.15) block(context, x, y, 16 + 10 * part, 20 - 8 * part, 2);
        }
      }
    }
  }
  context.fillStyle = color("--park");
  block(context, PARK.x, PARK.y, PARK.width, PARK.height, 10);
  context.lineJoin = context.lineCap = "round";
  line(context, RIVER, 46, color("--water"));
  for (const [width, name] of [[20, "--curb"], [16, "--street"]]) {
    for (const x of COLUMNS) line(context, [[x, -20], [x, HEIGHT + 20]], width, color(name));
    for (const y of ROWS) line(context, [[-20, y], [WIDTH + 20, y]], width, color(name));
  }
}

/** What lies between streets. */
function stretches(streets, end) {
  const edges = [-40, ...streets, end + 40];
  return edges.slice(1).map((edge, index) => [edges[index] + 18, edge - 18]);
}

function block(context, x, y, width, height, corner) {
  context.beginPath();
  context.roundRect(x, y, width, height, corner);
  context.fill();
}

function line(context, points, width, color) {
  context.lineWidth = width;
  context.strokeStyle = color;
  context.beginPath();
  points.forEach(([x, y], index) => {
    const [nextX, nextY] = points[index + 1] ?? [x, y];
    if (index === 0) context.moveTo(x, y);
    // Through the middle between two points, bent by the first: straight where they are in line.
    else context.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
  });
  context.stroke();
}
