// What is being asked, as a value: parts with weights, filters, options; and its way into an address.
//
// A part is {kind, weight, ...}: text {text}, track {id, startS?, endS?}, clip {key, name}.
// Filters are the conditions of filters.js. An address names parts in order:
//   q=calm piano            what stands in the box
//   p=text:1:calm piano     a text     p=track:-0.5:ID      a track
//   p=span:1:10-20:ID       a span     p=clip:1:KEY:NAME    a clip (its sound is not in the address)

import { filtersFrom, filtersInto } from "./filters.js";

export const MODES = ["both", "meaning", "words"];
export const DEFAULTS = {
  text: "", parts: [], filters: {}, mode: "both", level: "track", perArtist: 0, collapse: false,
  closeness: 0,
};
const SMALLEST = 0.1;

export function emptyQuery() {
  return { ...DEFAULTS, parts: [], filters: {} };
}

/** Weights go in steps of a tenth from 0.1 to 1; "not" makes them negative. */
export function clampWeight(weight) {
  const strength = Math.min(1, Math.max(SMALLEST, Math.round(Math.abs(weight) * 10) / 10));
  return weight < 0 ? -strength : strength;
}

function partInto(part) {
  if (part.kind === "text") return `text:${part.weight}:${part.text}`;
  if (part.kind === "clip") return `clip:${part.weight}:${part.key}:${part.name}`;
  if (part.startS === undefined) return `track:${part.weight}:${part.id}`;
  return `span:${part.weight}:${part.startS}-${part.endS}:${part.id}`;
}

function partFrom(text) {
  const [kind, weightText, ...rest] = text.split(":");
  const weight = clampWeight(Number(weightText) || 1);
  const body = rest.join(":");
  if (!body) return null;
  if (kind === "text") return { kind, weight, text: body };
  if (kind === "track") return { kind, weight, id: body };
  if (kind === "clip") return { kind, weight, key: rest[0], name: rest.slice(1).join(":") };
  const [startS, endS] = (rest[0] || "").split("-").map(Number);
  if (kind !== "span" || !rest[1] || !(endS > startS) || !(startS >= 0)) return null;
  return { kind: "track", weight, id: rest[1], startS, endS };
}

/** The address of a query: "#/" or "#/?...". */
export function addressOf(query) {
  const params = new URLSearchParams();
  if (query.text.trim()) params.set("q", query.text.trim());
  for (const part of query.parts) params.append("p", partInto(part));
  filtersInto(query.filters, params);
  for (const name of ["mode", "level", "perArtist", "collapse", "closeness"]) {
    if (query[name] !== DEFAULTS[name]) params.set(name, String(query[name]));
  }
  const text = params.toString();
  return text ? `#/?${text}` : "#/";
}

export function queryFrom(params) {
  const query = emptyQuery();
  query.text = params.get("q") || "";
  query.parts = params.getAll("p").map(partFrom).filter(Boolean);
  query.filters = filtersFrom(params);
  if (MODES.includes(params.get("mode"))) query.mode = params.get("mode");
  if (params.get("level") === "passage") query.level = "passage";
  query.perArtist = Math.max(0, Math.floor(Number(params.get("perArtist")) || 0));
  query.collapse = params.get("collapse") === "true";
  query.closeness = Math.min(1, Math.max(0, Number(params.get("closeness")) || 0));
  return query;
}

/** Whether two parts name the same thing, whatever their weights. */
export function sameThing(a, b) {
  return a.kind === b.kind && a.text === b.text && a.id === b.id && a.key === b.key
    && a.startS === b.startS && a.endS === b.endS;
}

/** The query with one part more; the same thing is not asked for twice. */
export function withPart(query, part) {
  return { ...query, parts: [...query.parts.filter((other) => !sameThing(other, part)), part] };
}

/** All parts, with the text in the box as the first; this order is the order of the request. */
export function allParts(query) {
  const text = query.text.trim();
  return text ? [{ kind: "text", weight: 1, text }, ...query.parts] : query.parts;
}

/** Whether there is anything to rank by: something wanted, not only things unwanted. */
export function isAsking(query) {
  return allParts(query).some((part) => part.weight > 0);
}
