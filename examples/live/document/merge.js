// Merging of texts that two people changed at once. Nothing that either wrote is lost: what either deleted is gone, what either
// wrote is there, and where both wrote at the same place, both stand there.

const LARGEST = 4_000_000; // comparisons of one stretch; what is larger counts as rewritten

/** What makes `after` of `before`: stretches [from, to, text], in order, where text stands instead. First by lines, then within. */
export function edits(before, after) {
  const lines = (text) => text.split(/(?<=\n)/);
  return compare(lines(before), lines(after)).flatMap(([from, to, text]) =>
    compare([...before.slice(from, to)], [...text]).map(([start, end, rest]) => [from + start, from + end, rest]),
  );
}

/** Applies to `base` what both made of it. */
export function merge(base, mine, theirs) {
  const isGone = new Uint8Array(base.length);
  const written = new Map(); // place in the base -> texts; a set, since what both wrote alike is there once
  for (const version of [theirs, mine]) {
    for (const [from, to, text] of edits(base, version)) {
      isGone.fill(1, from, to);
      if (text) written.set(from, (written.get(from) ?? new Set()).add(text));
    }
  }
  let merged = "";
  for (let at = 0; at <= base.length; at += 1) {
    merged += [...(written.get(at) ?? [])].join("");
    if (!isGone[at]) merged += base.charAt(at);
  }
  return merged;
}

/** Where a place goes when `changes` are made. */
export function moved(place, changes) {
  let shift = 0;
  for (const [from, to, text] of changes) {
    if (from >= place) break;
    shift += text.length - (Math.min(to, place) - from);
  }
  return place + shift;
}

/** The edits between two lists of pieces, by their longest common subsequence. */
function compare(before, after) {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start += 1;
  let end = 0;
  const left = Math.min(before.length, after.length) - start;
  while (end < left && before.at(-1 - end) === after.at(-1 - end)) end += 1;
  const [a, b] = [before.slice(start, before.length - end), after.slice(start, after.length - end)];

  // common[i * width + j]: how much a[i…] and b[j…] have in common.
  const width = b.length + 1;
  const isSmall = a.length * b.length <= LARGEST;
  const common = new Uint32Array(isSmall ? (a.length + 1) * width : 0);
  for (let i = a.length - 1; isSmall && i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      const here = i * width + j;
      common[here] = a[i] === b[j] ? common[here + width + 1] + 1 : Math.max(common[here + width], common[here + 1]);
    }
  }

  const found = [];
  let place = before.slice(0, start).join("").length;
  let edit = null;
  for (let i = 0, j = 0; i < a.length || j < b.length; ) {
    if (isSmall && i < a.length && j < b.length && a[i] === b[j]) {
      place += a[i].length;
      edit = null;
      i += 1;
      j += 1;
      continue;
    }
    if (!edit) found.push((edit = [place, place, ""]));
    if (j === b.length || (i < a.length && common[(i + 1) * width + j] >= common[i * width + j + 1])) {
      place += a[i].length;
      edit[1] = place;
      i += 1;
    } else {
      edit[2] += b[j];
      j += 1;
    }
  }
  return found;
}
