// What examples/live/document/merge.js promises, tried on made-up texts. Usage: node merge.mjs [TIMES]
import assert from "node:assert/strict";
import { edits, merge, moved } from "../../examples/live/document/merge.js";

const times = Number(process.argv[2] ?? 3000);
let state = 20261127;
const random = (below) => {
  state = (Math.imul(state, 1103515245) + 12345) >>> 0;
  return (state >>> 8) % below;
};
const LETTERS = ["a", "b", "c", " ", "\n", "é", "가", "🙂", "🙃"];
const text = (length) => Array.from({ length }, () => LETTERS[random(LETTERS.length)]).join("");

function apply(before, changes) {
  let after = before;
  for (const [from, to, put] of changes.toReversed()) after = after.slice(0, from) + put + after.slice(to);
  return after;
}

/** Another version of a text, in which `mark`s stand where something was written. */
function changed(before, mark) {
  const pieces = [...before];
  for (let edit = 1 + random(4); edit > 0; edit -= 1) {
    const at = random(pieces.length + 1);
    if (random(2)) pieces.splice(at, random(4));
    else pieces.splice(at, 0, ...mark.repeat(1 + random(3)));
  }
  return pieces.join("");
}

const count = (within, letter) => within.split(letter).length - 1;

for (let time = 0; time < times; time += 1) {
  const [before, after] = [text(random(40)), text(random(40))];
  assert.equal(apply(before, edits(before, after)), after);

  const [mine, theirs] = [changed(before, "X"), changed(before, "Y")];
  const merged = merge(before, mine, theirs);
  assert.ok(merged.isWellFormed());
  assert.equal(count(merged, "X"), count(mine, "X"), "what I wrote is there");
  assert.equal(count(merged, "Y"), count(theirs, "Y"), "what they wrote is there");
  assert.equal(merge(before, mine, before), mine);
  assert.equal(merge(before, before, theirs), theirs);
  assert.equal(merge(before, mine, mine), mine, "what both made alike is there once");
  const place = random(before.length + 1);
  const there = moved(place, edits(before, theirs));
  assert.ok(there >= 0 && there <= theirs.length);
}

assert.equal(merge("one\ntwo\nthree\n", "one!\ntwo\nthree\n", "one\ntwo\nthree?\n"), "one!\ntwo\nthree?\n");
assert.equal(merge("order ink", "order red ink", "order ink today"), "order red ink today");
assert.equal(merge("a\nb\nc\n", "a\nc\n", "a\nb\nc\nd\n"), "a\nc\nd\n");
assert.equal(moved(6, edits("hello you", "hello dear you")), 6);
assert.equal(moved(9, edits("hello you", "hello dear you")), 14);

const long = "line of text that is not short\n".repeat(600);
const begun = performance.now();
assert.equal(merge(long, `first\n${long}`, `${long}last\n`), `first\n${long}last\n`);
merge(long, text(15_000), `${text(10)}${long}`);
assert.ok(performance.now() - begun < 2_000, `${performance.now() - begun} ms`);
