// The audit log: who tried to change what, and how it ended.

import { get, withParams } from "./api.js";
import { button, el, freshId, replace } from "./dom.js";
import { dateTime } from "./format.js";
import { blank, broken, ghosts } from "./states.js";
import { strings } from "./strings.js";

const s = strings.audit;

export function showAudit(body) {
  const list = el("div", {});
  const foot = el("div", { class: "more" });
  const id = freshId("audit");
  const outcome = el("select", { id, onchange: () => load() },
    Object.entries(s.filters).map(([value, label]) => el("option", { value }, label)));
  replace(body, el("p", { class: "hint" }, s.intro),
    el("div", { class: "toolbar" }, el("div", { class: "sort-field" }, el("label", { for: id }, s.show), outcome)), list, foot);

  async function load(cursor = null) {
    if (!cursor) replace(list, ghosts(4, "row"));
    try {
      const page = await get(withParams("/audit", { cursor, outcome: outcome.value }));
      if (!cursor) replace(list, page.total ? table() : blank("check", s.none));
      list.querySelector("tbody")?.append(...page.items.map(row));
      replace(foot, page.next_cursor ? button({ onclick: () => load(page.next_cursor) }, strings.results.more) : null);
    } catch (failure) {
      replace(list, broken(failure, () => load()));
    }
  }

  load();
}

function table() {
  return el("div", { class: "table-frame", tabindex: "0", role: "region", "aria-label": s.heading },
    el("table", { class: "plain-table" }, el("caption", { class: "visually-hidden" }, s.heading),
      el("thead", {}, el("tr", {}, s.columns.map((name) => el("th", { scope: "col" }, name)))), el("tbody")));
}

function row(entry) {
  const bad = entry.outcome === "refused" || entry.outcome === "failed";
  return el("tr", {},
    el("td", { class: "number" }, dateTime(entry.at)),
    el("td", {}, entry.key_name || s.actors[entry.actor], entry.address ? el("span", { class: "facts" }, ` ${entry.address}`) : null),
    el("th", { scope: "row" }, entry.action.replaceAll("_", " ")),
    el("td", { class: "target" }, entry.target || "–"),
    el("td", {}, el("span", { class: bad ? "state failed" : "state" }, s.outcomes[entry.outcome], entry.status ? ` (${entry.status})` : "")));
}
