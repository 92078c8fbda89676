// The list of hits: rows are kept while the answer changes, so that nothing flickers.

import { isLeaving } from "./deletions.js";
import { announce, button, el, replace } from "./dom.js";
import { hitRow } from "./hit.js";
import { nowPlaying, onPlayback } from "./player.js";
import { blank, ghosts } from "./states.js";
import { strings } from "./strings.js";

/** The list. `actions` go to every row; `onMore(cursor)` fetches the next page. */
export function resultList(actions, onMore) {
  const status = el("p", { class: "status" });
  const heading = el("h2", { class: "visually-hidden", hidden: true }, strings.results.heading);
  const list = el("ol", { class: "hits", "aria-label": strings.results.heading });
  const foot = el("div", { class: "more" });
  const node = el("div", { class: "results" }, status, heading, list, foot);
  let rows = [];

  const nameOf = (hit, level) => (level === "passage"
    ? `${hit.track.id}@${hit.passages[0]?.start_s}` : hit.track.id);

  function show({ body, parts }, append) {
    const known = new Map(rows.map((row) => [row.dataset.hit, row]));
    const fresh = body.items.map((hit) => {
      const name = nameOf(hit, body.level);
      const row = known.get(name);
      if (row && !append) {
        row.update(hit, parts);
        return row;
      }
      return hitRow(hit, parts, actions, name);
    });
    rows = append ? [...rows, ...fresh] : fresh;
    place(rows);
    heading.hidden = !rows.length;
    hideLeaving();
    for (const row of fresh) row.showPlayback(nowPlaying());
    node.removeAttribute("aria-busy");
    replace(foot, body.next_cursor
      ? button({ onclick: () => onMore(body.next_cursor) }, strings.results.more) : null);
    return rows.length;
  }

  /** Put rows in order, moving only those that stand wrong: a focused row keeps its focus. */
  function place(wanted) {
    const stay = new Set(wanted);
    for (const child of [...list.children]) if (!stay.has(child)) child.remove();
    wanted.forEach((row, i) => { if (list.children[i] !== row) list.insertBefore(row, list.children[i] || null); });
  }

  function hideLeaving() {
    for (const row of rows) row.hidden = isLeaving(row.dataset.track);
  }

  function clear() {
    rows = [];
    heading.hidden = true;
    list.replaceChildren();
    foot.replaceChildren();
    status.replaceChildren();
    node.removeAttribute("aria-busy");
  }

  const stop = onPlayback((state) => { for (const row of rows) row.showPlayback(state); });
  document.addEventListener("muquery:leaving", hideLeaving);
  return {
    node,
    show,
    clear,
    close() {
      stop();
      document.removeEventListener("muquery:leaving", hideLeaving);
    },
    rows: () => rows.filter((row) => !row.hidden),
    isEmpty: () => rows.length === 0,
    say(sentence, warnings = []) {
      replace(status, sentence, warnings.map((text) => el("span", { class: "warning" }, text)));
      announce([sentence, ...warnings].join(" "));
    },
    wait() {
      node.setAttribute("aria-busy", "true");
      if (!rows.length) replace(foot, ghosts(3));
    },
    replaceWith(content) {
      clear();
      replace(foot, content);
    },
    nothing(text, ...buttons) {
      clear();
      replace(foot, blank("search", strings.results.nothing, text, ...buttons));
      announce(strings.results.nothing);
    },
  };
}
