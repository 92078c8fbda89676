// The library: every track, filtered and sorted by the service, page by page.

import { get, remove } from "./api.js";
import { announce, clock, el, icon, replace } from "./dom.js";
import { titleOf } from "./hit.js";
import { play, stopIfPlaying } from "./player.js";
import { strings } from "./strings.js";

const SORTS = [["-added_at", strings.sortNewest], ["title", strings.sortTitle], ["artist", strings.sortArtist]];

export function showLibrary(main, { reportError }) {
  const state = { q: "", sort: SORTS[0][0] };
  let timer = 0;
  let turn = 0;
  const filter = el("input", {
    type: "search",
    id: "library-filter",
    oninput: () => {
      state.q = filter.value.trim();
      window.clearTimeout(timer);
      timer = window.setTimeout(() => load(null), 250);
    },
  });
  const sort = el("select", { id: "library-sort", onchange: () => { state.sort = sort.value; load(null); } },
    SORTS.map(([value, label]) => el("option", { value }, label)));
  const status = el("p", { class: "status" });
  const body = el("tbody");
  const more = el("div", { class: "more" });
  const heads = Object.values(strings.columns).map((name) => el("th", { scope: "col" }, name));
  replace(main,
    el("h1", {}, strings.library),
    el("div", { class: "toolbar" },
      el("div", {}, el("label", { for: "library-filter" }, strings.libraryFilter), filter),
      el("div", {}, el("label", { for: "library-sort" }, strings.librarySort), sort)),
    status,
    el("div", { class: "table-frame" },
      el("table", { class: "tracks" },
        el("thead", {}, el("tr", {}, el("td", {}), heads, el("td", {}))), body)),
    more);

  function row(track) {
    const node = el("tr", {},
      el("td", {}, el("button", {
        type: "button",
        class: "button round small",
        "aria-label": strings.playFrom(titleOf(track), clock(0)),
        onclick: () => play(track, 0),
      }, icon("play"))),
      el("th", { scope: "row" },
        el("a", { href: `#/track/${encodeURIComponent(track.id)}` }, titleOf(track))),
      el("td", {}, track.artist || "–"),
      el("td", {}, track.genre || "–"),
      el("td", { class: "number" }, clock(track.duration_s)),
      el("td", {}, el("span", { class: `state ${track.state}`, title: track.error_message || "" },
        strings.state[track.state])),
      el("td", {}, el("button", {
        type: "button",
        class: "button quiet",
        "aria-label": `${strings.remove}: ${titleOf(track)}`,
        onclick: () => deleteTrack(track, node),
      }, strings.remove)));
    return node;
  }

  async function deleteTrack(track, node) {
    if (!window.confirm(strings.removeConfirm(titleOf(track)))) return;
    try {
      await remove(`/tracks/${encodeURIComponent(track.id)}`);
      stopIfPlaying(track.id);
      node.remove();
      announce(strings.removed(titleOf(track)));
    } catch (failure) {
      reportError(failure);
    }
  }

  async function load(cursor) {
    turn += 1;
    const mine = turn;
    const search = new URLSearchParams({ limit: "50", sort: state.sort });
    if (state.q) search.set("q", state.q);
    if (cursor) search.set("cursor", cursor);
    try {
      const page = await get(`/tracks?${search}`);
      if (mine !== turn) return;
      if (!cursor) body.replaceChildren();
      body.append(...page.items.map(row));
      status.textContent = page.total || state.q ? strings.inLibrary(page.total) : strings.emptyLibrary;
      replace(more, page.next_cursor
        ? el("button", { type: "button", class: "button", onclick: () => load(page.next_cursor) },
          strings.more)
        : null);
    } catch (failure) {
      if (mine === turn) reportError(failure, () => load(cursor));
    }
  }

  load(null);
  return () => window.clearTimeout(timer);
}
