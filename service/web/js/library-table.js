// The table of the library: sorted by its heads, rows kept while its content changes.

import { button, el, icon, replace } from "./dom.js";
import { clock, date } from "./format.js";
import { trackAddress } from "./hit.js";
import { titleOf } from "./known-tracks.js";
import { play } from "./player.js";
import { strings } from "./strings.js";

const COLUMNS = [["title", "title"], ["artist", "artist"], ["album", "album"], ["genre", null], ["year", "year"],
  ["duration_s", "duration_s"], ["added_at", "added_at"]];

/** `show(tracks, sort)` draws the rows, `showSelection()` the ticks. */
export function libraryTable({ onSort, onTouch, onAll, isChosen, onDelete }) {
  const heads = COLUMNS.map(([name, key]) => head(name, key));
  const all = el("input", { type: "checkbox", "aria-label": strings.selection.shown, onchange: () => onAll(all.checked) });
  const body = el("tbody");
  const node = el("div", { class: "table-frame" },
    el("table", { class: "tracks" },
      el("caption", { class: "visually-hidden" }, strings.library.caption),
      el("thead", {}, el("tr", {}, el("td", { class: "tick" }, all), el("td", { class: "play-cell" }), heads.map((h) => h.cell),
        el("td", { class: "end" }))), body));
  let shown = [];

  function head(name, key) {
    const cell = el("th", { scope: "col", class: name === "title" ? "" : `wide-only ${name}` });
    if (!key) {
      replace(cell, strings.fields[name]);
      return { cell, draw() {} };
    }
    let sort = "";
    const arrow = el("span", { class: "sort-arrow", "aria-hidden": "true" });
    replace(cell, el("button", {
      type: "button", class: "sort-button",
      onclick: () => onSort(sort === key ? `-${key}` : key),
    }, strings.fields[name], arrow));
    return {
      cell,
      draw(now) {
        sort = now;
        const here = now === key || now === `-${key}`;
        if (here) cell.setAttribute("aria-sort", now === key ? "ascending" : "descending");
        else cell.removeAttribute("aria-sort");
        arrow.textContent = here ? (now === key ? "▲" : "▼") : "";
      },
    };
  }

  function row(track) {
    const tick = el("input", {
      type: "checkbox", "aria-label": strings.selection.one(titleOf(track)),
      onclick: (event) => onTouch(track, tick.checked, event.shiftKey),
    });
    const line = el("tr", { "data-track": track.id, tabindex: "-1" },
      el("td", { class: "tick" }, tick),
      el("td", { class: "play-cell" }, button({
        class: "round small", "aria-label": strings.hit.play(titleOf(track)), onclick: () => play(track, 0),
      }, icon("play"))),
      el("th", { scope: "row" }, el("a", { href: trackAddress(track.id) }, titleOf(track)),
        el("span", { class: "narrow-only facts" }, [track.artist, track.genre, clock(track.duration_s)].filter(Boolean).join(" · ")),
        track.state === "ready" ? null
          : el("span", { class: `state ${track.state}`, title: track.error_message || "" }, strings.state[track.state])),
      ["artist", "album", "genre", "year"].map((name) => el("td", { class: name === "year" ? "number wide-only" : "wide-only", title: track[name] }, track[name] ?? "–")),
      el("td", { class: "number wide-only" }, clock(track.duration_s)),
      el("td", { class: "number wide-only added_at" }, date(track.added_at)),
      el("td", { class: "end" }, button({
        class: "quiet needs-write", "aria-label": strings.deletion.of(titleOf(track)), onclick: () => onDelete(track),
      }, icon("trash"))));
    line.version = track.updated_at + track.state;
    line.draw = () => {
      tick.checked = isChosen(track);
      line.classList.toggle("is-chosen", tick.checked);
    };
    line.act = { play: () => play(track, 0), select: () => tick.click() };
    return line;
  }

  function showSelection() {
    for (const line of body.children) line.draw();
    const ticked = shown.filter(isChosen).length;
    all.checked = ticked > 0 && ticked === shown.length;
    all.indeterminate = ticked > 0 && ticked < shown.length;
  }

  return {
    node,
    showSelection,
    show(tracks, sort) {
      shown = tracks;
      for (const h of heads) h.draw(sort);
      const old = new Map([...body.children].map((line) => [line.dataset.track, line]));
      const lines = tracks.map((track) => {
        const kept = old.get(track.id);
        return kept && kept.version === track.updated_at + track.state ? kept : row(track);
      });
      const stay = new Set(lines);
      for (const line of [...body.children]) if (!stay.has(line)) line.remove();
      lines.forEach((line, i) => { if (body.children[i] !== line) body.insertBefore(line, body.children[i] || null); });
      showSelection();
    },
  };
}
