// A query as the service's request, sent once, and remembered for going back.

import { call } from "./api.js";
import { clipOf } from "./clips.js";
import { filterJson } from "./filters.js";
import { remember } from "./known-tracks.js";
import { allParts } from "./query.js";

const PAGE_SIZE = 20;
const PASSAGES = 3;
const MOST_ANSWERS = 40;
const WIRE_MODES = { both: "hybrid", meaning: "semantic", words: "keyword" };

const answers = new Map();

/** Forget remembered answers: the library has changed. */
export function forgetAnswers() {
  answers.clear();
}

/** The parts that can be sent: a clip whose file is gone cannot. */
export function sendableParts(query) {
  return allParts(query).filter((part) => part.kind !== "clip" || clipOf(part.key));
}

/** The mode that is sent: words can only be found where there are words. */
export function modeOf(query, parts) {
  const hasWords = parts.some((part) => part.kind === "text" && part.weight > 0);
  return WIRE_MODES[hasWords ? query.mode : "meaning"];
}

function wirePart(part) {
  if (part.kind === "text") return { text: part.text, weight: part.weight };
  if (part.kind === "clip") return { clip: part.key, weight: part.weight };
  const span = part.startS === undefined ? {} : { start_s: part.startS, end_s: part.endS };
  return { track_id: part.id, weight: part.weight, ...span };
}

function requestOf(query, parts, cursor) {
  const filter = filterJson(query.filters);
  const mode = modeOf(query, parts);
  return {
    query: parts.map(wirePart),
    ...(mode === "semantic" ? {} : { mode }),
    level: query.level,
    limit: PAGE_SIZE,
    passages: PASSAGES,
    ...(filter ? { filter } : {}),
    ...(query.perArtist ? { max_per: { artist: query.perArtist } } : {}),
    ...(query.collapse ? { collapse_duplicates: true } : {}),
    ...(query.closeness ? { min_relevance: query.closeness } : {}),
    ...(cursor ? { cursor } : {}),
  };
}

/** A remembered answer, at once; null where there is none. */
export function rememberedAnswer(query, cursor = null) {
  return answers.get(JSON.stringify(requestOf(query, sendableParts(query), cursor))) || null;
}

/** Ask the service: {body, parts}, the parts in the order of the answer's `why`. */
export async function runSearch(query, { cursor = null, signal } = {}) {
  const parts = sendableParts(query);
  const request = requestOf(query, parts, cursor);
  const name = JSON.stringify(request);
  if (answers.has(name)) return answers.get(name);
  const clips = parts.filter((part) => part.kind === "clip");
  const body = await call("POST", "/search", clips.length
    ? { form: formOf(request, clips), signal } : { json: request, signal });
  for (const hit of body.items) remember(hit.track);
  const answer = { body, parts };
  answers.set(name, answer);
  if (answers.size > MOST_ANSWERS) answers.delete(answers.keys().next().value);
  return answer;
}

function formOf(request, clips) {
  const form = new FormData();
  form.append("request", JSON.stringify(request));
  for (const part of clips) form.append(part.key, clipOf(part.key), part.name);
  return form;
}
