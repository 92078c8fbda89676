// The search view: a sentence, chips for tracks to be like or unlike, and the hits.

import { get, post } from "./api.js";
import { announce, el, icon, replace } from "./dom.js";
import { hitRow, titleOf } from "./hit.js";
import { nowPlaying, onPlayback } from "./player.js";
import { strings } from "./strings.js";

const TYPING_PAUSE_MS = 250;
const PAGE_SIZE = 20;
// Below this the best hit is no closer than one reference clip in ten: say so.
const STRONG_RELEVANCE = 0.9;

/** What is being asked; kept while other views are shown. */
const query = { text: "", tracks: [] };

export function addTrack(track, weight) {
  query.tracks = query.tracks.filter((part) => part.id !== track.id);
  query.tracks.push({ id: track.id, title: titleOf(track), weight });
}

function parts() {
  const wanted = [];
  if (query.text.trim()) wanted.push({ text: query.text.trim() });
  for (const track of query.tracks) wanted.push({ track_id: track.id, weight: track.weight });
  return wanted;
}

/** Show the view in `main`; returns a function that takes it down. */
export function showSearch(main, { reportError }) {
  let running = null;
  let timer = 0;
  let rows = [];
  const input = el("input", {
    type: "search",
    id: "q",
    class: "search-input",
    placeholder: strings.searchPlaceholder,
    autocomplete: "off",
    spellcheck: "false",
    maxlength: 1000,
    "aria-describedby": "search-help",
    oninput: () => {
      query.text = input.value;
      window.clearTimeout(timer);
      timer = window.setTimeout(run, TYPING_PAUSE_MS);
    },
  });
  input.value = query.text;
  const chips = el("ul", { class: "chips", "aria-label": "Query" });
  const status = el("p", { class: "status" });
  const list = el("ol", { class: "hits" });
  const more = el("div", { class: "more" });
  const form = el("form", {
    class: "search",
    role: "search",
    onsubmit: (event) => {
      event.preventDefault();
      window.clearTimeout(timer);
      run();
    },
  },
  el("label", { for: "q" }, strings.searchLabel),
  el("div", { class: "search-box" }, icon("search"), input),
  el("p", { id: "search-help", class: "hint" }, strings.searchHelp),
  chips);
  replace(main, el("h1", { class: "visually-hidden" }, strings.appTitle), form, status,
    el("h2", { class: "visually-hidden" }, strings.resultsHeading), list, more);

  const actions = {
    more: (track) => { addTrack(track, 1); query.text = ""; input.value = ""; run(); },
    less: (track) => { addTrack(track, -0.5); run(); },
  };

  function drawChips() {
    replace(chips, query.tracks.map((part) => {
      const label = part.weight > 0 ? strings.moreLike(part.title) : strings.lessLike(part.title);
      return el("li", { class: part.weight > 0 ? "chip" : "chip negative" }, label,
        el("button", {
          type: "button",
          class: "chip-remove",
          "aria-label": strings.removePart(label),
          onclick: () => {
            query.tracks = query.tracks.filter((other) => other !== part);
            run();
            input.focus();
          },
        }, icon("close")));
    }));
  }

  async function run(cursor = null) {
    if (running) running.abort();
    drawChips();
    const wanted = parts();
    if (!wanted.some((part) => (part.weight ?? 1) > 0)) {
      running = null;
      await showStart();
      return;
    }
    const mine = new AbortController();
    running = mine;
    if (!cursor) status.textContent = strings.searching;
    try {
      const body = await post("/search",
        { query: wanted, limit: PAGE_SIZE, passages: 3, ...(cursor ? { cursor } : {}) },
        { signal: mine.signal });
      if (running === mine) showHits(body, Boolean(cursor));
    } catch (failure) {
      if (failure.name === "AbortError" || running !== mine) return;
      status.textContent = "";
      reportError(failure, () => run(cursor));
    }
  }

  function showHits(body, append) {
    const fresh = body.items.map((hit) => hitRow(hit, actions));
    if (!append) {
      rows = [];
      list.replaceChildren();
    }
    rows.push(...fresh);
    list.append(...fresh);
    const best = body.items[0];
    let sentence = `${strings.results(rows.length)} · ${strings.tookMs(body.took_ms)}`;
    if (!rows.length) sentence = strings.nothing;
    else if (!append && best.relevance !== null && best.relevance < STRONG_RELEVANCE) {
      sentence = strings.noStrongMatch;
    }
    replace(status, sentence, body.warnings.map((text) => el("span", { class: "warning" }, text)));
    announce(sentence);
    replace(more, body.next_cursor
      ? el("button", { type: "button", class: "button", onclick: () => run(body.next_cursor) },
        strings.more)
      : null);
    for (const row of fresh) row.showPlayback(nowPlaying());
  }

  async function showStart() {
    rows = [];
    list.replaceChildren();
    more.replaceChildren();
    try {
      const page = await get("/tracks?limit=1");
      replace(status, page.total ? strings.inLibrary(page.total) : strings.emptyLibrary);
      if (!page.total) return;
    } catch (failure) {
      reportError(failure, showStart);
      return;
    }
    replace(more, el("p", { class: "hint" }, strings.try),
      el("div", { class: "examples" }, strings.examples.map((text) => el("button", {
        type: "button",
        class: "button quiet",
        onclick: () => {
          query.text = text;
          input.value = text;
          run();
        },
      }, text))));
  }

  const stopListening = onPlayback((state) => { for (const row of rows) row.showPlayback(state); });
  if (window.matchMedia("(pointer: fine)").matches) input.focus();
  run();
  return () => {
    window.clearTimeout(timer);
    if (running) running.abort();
    stopListening();
  };
}
