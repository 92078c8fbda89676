// Why a hit is a hit: what each part of the query gave, and which words were found where.

import { el } from "./dom.js";
import { percent } from "./format.js";
import { partLabel } from "./chips.js";
import { fieldName } from "./filters.js";
import { strings } from "./strings.js";

/** The panel for one hit; `parts` are those of the query that found it, in order. */
export function whyPanel(hit, parts) {
  const why = hit.why;
  const given = (why?.parts || []).filter((entry) => parts[entry.index]);
  const most = Math.max(0.0001, ...given.map((entry) => Math.abs(entry.contribution ?? entry.score)));
  return el("div", { class: "why" },
    hit.relevance === null ? null
      : el("p", {}, strings.hit.relevance(percent(hit.relevance)), " ", strings.why.measure),
    given.length ? el("ul", { class: "why-parts" }, given.map((entry) => partRow(entry, parts, most))) : null,
    why?.keyword ? el("p", {}, strings.why.keyword(why.keyword.rank, fieldNames(why.keyword.fields))) : null,
    why?.semantic_rank ? el("p", {}, strings.why.semantic(why.semantic_rank)) : null,
    hit.score === null ? null : el("p", { class: "hint number" }, strings.why.score(hit.score.toFixed(4))));
}

function fieldNames(fields) {
  const names = Array.isArray(fields) ? fields : Object.keys(fields || {});
  return names.map((name) => fieldName(name).toLowerCase());
}

function partRow(entry, parts, most) {
  const part = parts[entry.index];
  const amount = entry.contribution ?? entry.score;
  const bar = el("span", { class: amount < 0 ? "why-bar negative" : "why-bar" });
  bar.style.width = `${Math.round((Math.abs(amount) / most) * 100)}%`;
  const share = entry.relevance === null || entry.relevance === undefined
    ? "" : strings.why.partRelevance(percent(entry.relevance));
  return el("li", {},
    el("span", { class: "why-label" }, partLabel(part)),
    el("span", { class: "why-track", "aria-hidden": "true" }, bar),
    el("span", { class: "number" }, strings.why.amount(amount), share ? ` · ${share}` : ""));
}
