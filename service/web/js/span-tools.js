// Beneath a track's waveform: a span in numbers, to play and to search by; words to find in it.

import { at, get, withParams } from "./api.js";
import { button, el, freshId, icon, replace } from "./dom.js";
import { clock, percent, secondsOf } from "./format.js";
import { messageOf } from "./states.js";
import { strings } from "./strings.js";

const BEST = 4;

/**
 * `onPick(from, to)` when the numbers change, `onPlay(from)`, `onSearch(from, to, weight)`,
 * `onFound(passages)`. `show([from, to])` takes in a span that was drawn.
 */
export function spanTools(track, { onPick, onPlay, onSearch, onFound }) {
  const durationS = track.duration_s || 0;
  let span = null;
  const bounds = ["from", "to"].map((end) => {
    const id = freshId("span");
    const input = el("input", { type: "text", id, class: "time-input", maxlength: 8, placeholder: clock(end === "from" ? 0 : durationS), onchange: readInputs });
    return { input, field: el("span", { class: "span-field" }, el("label", { for: id }, strings.track[end]), input) };
  });
  const playIt = button({ class: "quiet", onclick: () => onPlay(span[0]) }, icon("play"), strings.track.playSpan);
  const find = button({ onclick: () => onSearch(span[0], span[1], 1) }, icon("search"), strings.track.searchSpan);
  const clear = button({ class: "quiet", onclick: () => show(null) }, strings.track.clearSpan);
  const problem = el("p", { class: "field-error", role: "alert", hidden: true }, strings.track.badSpan(clock(durationS)));

  function readInputs() {
    const texts = bounds.map(({ input }) => input.value.trim());
    if (!texts[0] && !texts[1]) {
      show(null);
      return;
    }
    const from = texts[0] ? secondsOf(texts[0]) : 0;
    const to = texts[1] ? secondsOf(texts[1]) : durationS;
    const fits = from !== null && to !== null && from < to && to <= durationS + 1;
    problem.hidden = fits;
    for (const { input } of bounds) input.setAttribute("aria-invalid", String(!fits));
    if (fits) show([from, Math.min(to, durationS)]);
  }

  function show(picked) {
    span = picked && [Math.round(picked[0] * 10) / 10, Math.round(picked[1] * 10) / 10];
    if (span && span[1] - span[0] < 1) span = [span[0], Math.min(durationS, span[0] + 1)];
    bounds.forEach(({ input }, i) => {
      input.value = span ? clock(span[i]) : "";
      input.setAttribute("aria-invalid", "false");
    });
    problem.hidden = true;
    for (const node of [playIt, find, clear]) node.disabled = !span;
    onPick(span ? span[0] : null, span ? span[1] : null);
  }

  const found = el("div", { class: "passages", "aria-live": "polite" });
  const words = el("input", { type: "search", id: "in-track", maxlength: 1000, placeholder: strings.track.findHint, autocomplete: "off" });

  async function findWords(event) {
    event.preventDefault();
    const q = words.value.trim();
    if (!q) {
      found.replaceChildren();
      onFound([]);
      return;
    }
    try {
      const body = await get(withParams(`${at("tracks", track.id)}/passages`, { q }));
      const best = [...body.items].sort((a, b) => b.score - a.score).slice(0, BEST);
      onFound(best);
      replace(found, best.map((passage) => el("button", { type: "button", class: "passage", onclick: () => onPlay(passage.start_s) },
        el("span", { class: "visually-hidden" }, `${strings.player.play} `),
        el("span", { class: "passage-time" }, strings.span(clock(passage.start_s), clock(passage.end_s))),
        passage.relevance === null ? null : el("span", { class: "passage-score" }, strings.percent(percent(passage.relevance))))));
    } catch (failure) {
      replace(found, el("p", { class: "field-error" }, messageOf(failure)));
    }
  }

  const node = el("div", { class: "span-tools" },
    el("div", { class: "span-row", role: "group", "aria-label": strings.track.span },
      bounds.map(({ field }) => field), playIt, find, clear),
    problem,
    el("p", { class: "hint" }, strings.track.spanHelp),
    el("form", { class: "find-in-track", role: "search", onsubmit: findWords },
      el("label", { for: "in-track" }, strings.track.find), words,
      button({ type: "submit" }, strings.track.findButton)),
    found);
  show(null);
  return { node, show };
}
