// How close a hit is, as words, as bars, and as the number behind them.

import { el } from "./dom.js";
import { percent } from "./format.js";
import { strings } from "./strings.js";

/** From this share of reference music on, a hit has this many bars of four. */
export const STEPS = [0, 0.9, 0.97, 0.99];

export function barsOf(relevance) {
  return STEPS.filter((from) => relevance >= from).length;
}

export function closenessWord(relevance) {
  return strings.closeness[barsOf(relevance) - 1];
}

/** Four bars, a word and the share; for a hit without relevance, what is known instead. */
export function relevanceMeter(hit) {
  if (hit.relevance === null || hit.relevance === undefined) {
    const text = hit.why.keyword || hit.score === null ? strings.hit.wordsMatch : strings.hit.score(hit.score.toFixed(2));
    return el("span", { class: "relevance plain" }, text);
  }
  const bars = barsOf(hit.relevance);
  const share = percent(hit.relevance);
  return el("span", { class: "relevance", title: strings.hit.relevance(share) },
    el("svg", { class: "bars", viewBox: "0 0 26 20", "aria-hidden": "true" },
      [0, 1, 2, 3].map((i) => el("rect", {
        x: i * 7, y: 15 - i * 5, width: 5, height: 5 + i * 5, rx: 1.5,
        class: i < bars ? "bar is-on" : "bar",
      }))),
    el("span", { class: "relevance-text" },
      el("strong", {}, bars === 1 && hit.why.keyword ? strings.hit.wordsMatch : closenessWord(hit.relevance)),
      el("span", { "aria-hidden": "true" }, strings.percent(share)),
      el("span", { class: "visually-hidden" }, strings.hit.relevance(share))));
}
