// Conditions on tracks: values to choose among, and ranges; as chips, addresses and filter JSON.
//
// {genre: {in: ["Rock"], not: false}, year: {gte: 1990, lte: 2000}}

import { strings } from "./strings.js";

const PREFIX = "f.";

export function isRange(condition) {
  return Boolean(condition) && !condition.in;
}

/** The service's filter for these conditions, or null for none. `except` leaves one field out. */
export function filterJson(filters, except = null) {
  const leaves = Object.entries(filters).filter(([field]) => field !== except).map(leaf);
  if (!leaves.length) return null;
  return leaves.length === 1 ? leaves[0] : { and: leaves };
}

function leaf([field, condition]) {
  if (isRange(condition)) {
    const { gte, lte } = condition;
    return { field, range: { ...(gte === undefined ? {} : { gte }), ...(lte === undefined ? {} : { lte }) } };
  }
  const chosen = condition.in.filter((value) => value !== null);
  const tests = [];
  if (chosen.length === 1) tests.push({ field, eq: chosen[0] });
  if (chosen.length > 1) tests.push({ field, in: chosen });
  if (chosen.length < condition.in.length) tests.push({ field, exists: false });
  const wanted = tests.length === 1 ? tests[0] : { or: tests };
  return condition.not ? { not: wanted } : wanted;
}

/** The conditions with `value` of `field` chosen, or no longer chosen. */
export function toggleValue(filters, field, value) {
  const before = filters[field] && filters[field].in ? filters[field] : { in: [] };
  const values = before.in.includes(value)
    ? before.in.filter((other) => other !== value)
    : [...before.in, value];
  const { [field]: _, ...others } = filters;
  return values.length ? { ...others, [field]: { ...before, in: values } } : others;
}

/** The conditions with the range of `field` set; no bound at all takes it away. */
export function setRange(filters, field, gte, lte) {
  const { [field]: _, ...others } = filters;
  if (gte === undefined && lte === undefined) return others;
  return { ...others, [field]: { gte, lte } };
}

/** Put conditions into an address: f.genre=Rock, f.genre=!Rock for "not", f.year=1990..2000. */
export function filtersInto(filters, params) {
  for (const [field, condition] of Object.entries(filters)) {
    if (isRange(condition)) {
      params.append(PREFIX + field, `${condition.gte ?? ""}..${condition.lte ?? ""}`);
    } else {
      for (const value of condition.in) {
        params.append(PREFIX + field, `${condition.not ? "!" : "="}${value === null ? "" : JSON.stringify(value)}`);
      }
    }
  }
}

export function filtersFrom(params) {
  const filters = {};
  for (const [name, text] of params) {
    if (!name.startsWith(PREFIX)) continue;
    const field = name.slice(PREFIX.length);
    const range = /^(-?[\d.]*?)\.\.(-?[\d.]*)$/.exec(text);
    if (range && (range[1] || range[2])) {
      const bound = (part) => (part === "" || Number.isNaN(Number(part)) ? undefined : Number(part));
      Object.assign(filters, setRange({}, field, bound(range[1]), bound(range[2])));
    } else if (text[0] === "=" || text[0] === "!") {
      const value = valueFrom(text.slice(1));
      if (value === undefined) continue;
      const before = filters[field] && filters[field].in ? filters[field].in : [];
      filters[field] = { in: [...before, value], not: text[0] === "!" };
    }
  }
  return filters;
}

function valueFrom(text) {
  if (text === "") return null;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** "genre" -> "Genre"; "tags.mood" -> "Mood, as heard"; "extra.bpm" -> "bpm". */
export function fieldName(field) {
  if (strings.fields[field]) return strings.fields[field];
  const last = field.slice(field.indexOf(".") + 1);
  return field.startsWith("tags.") ? strings.filters.heard(last[0].toUpperCase() + last.slice(1)) : last;
}

export function valueName(value) {
  if (value === null) return strings.filters.missing;
  if (typeof value === "boolean") return value ? strings.yes : strings.no;
  return String(value);
}
