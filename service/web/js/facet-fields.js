// Which fields the panel offers: the fixed ones, each group of stored tags, and some of the user's own.

import { get } from "./api.js";

const FIXED = ["genre", "artist", "album", "year", "duration_s"];
const MOST_OWN = 6;
let known = null;

export function facetFields() {
  if (!known) known = load();
  return known;
}

document.addEventListener("muquery:library", () => { known = null; });

async function load() {
  try {
    const { items } = await get("/fields");
    const tags = items.filter((field) => field.name.startsWith("tags."));
    const own = items.filter((field) => field.name.startsWith("extra.") && !field.types.includes("object"))
      .sort((a, b) => b.tracks - a.tracks).slice(0, MOST_OWN);
    return [...FIXED, ...tags.map((field) => field.name), ...own.map((field) => field.name)];
  } catch {
    known = null;
    return FIXED;
  }
}
