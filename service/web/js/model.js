// The model behind the answers, the others that there are, the index, and where the tracks come from.

import { get } from "./api.js";
import { button, el, replace } from "./dom.js";
import { count } from "./format.js";
import { titleOf } from "./known-tracks.js";
import { broken, ghosts } from "./states.js";
import { strings } from "./strings.js";

const s = strings.model;

export function showModel(body) {
  async function load() {
    replace(body, ghosts(2));
    try {
      const [models, index] = await Promise.all([get("/models"), get("/index")]);
      const active = models.items.find((model) => model.active) || models.items[0];
      const others = models.items.filter((model) => model !== active);
      replace(body,
        el("p", {}, s.intro),
        el("h2", {}, s.active), modelFacts(active),
        others.length ? [el("h2", {}, s.others), others.map((model) => el("details", { class: "card model" },
          el("summary", {}, el("strong", {}, model.name), model.state ? el("span", { class: "state" }, s.states[model.state] || model.state) : null),
          modelFacts(model)))] : null,
        el("h2", {}, s.index), indexFacts(index),
        el("h2", {}, s.licences), credits());
    } catch (failure) {
      replace(body, broken(failure, load));
    }
  }
  load();
}

function modelFacts(model) {
  return el("dl", { class: "facts-list" }, Object.entries(s.fields)
    .filter(([name]) => model[name] !== null && model[name] !== undefined && model[name] !== "")
    .map(([name, label]) => [el("dt", {}, label), el("dd", {}, Array.isArray(model[name]) ? model[name].join(", ") : String(model[name]))]));
}

function indexFacts(index) {
  const behind = Math.max(0, index.latest_seq - index.applied_seq);
  return el("dl", { class: "facts-list" },
    [[s.indexTracks, count(index.tracks)], [s.indexClips, count(index.clips)],
      [s.indexEngine, `${index.engine}${index.approximate ? s.approximate : s.exact}`],
      [s.indexLag, behind ? s.behind(behind) : s.level]]
      .map(([label, value]) => [el("dt", {}, label), el("dd", {}, value)]));
}

/** Licences are shown a page at a time: a library may hold very many. */
function credits() {
  const list = el("ul", { class: "credits" });
  const foot = el("div", {});
  async function more(cursor) {
    const search = new URLSearchParams({ limit: "100", sort: "title" });
    if (cursor) search.set("cursor", cursor);
    try {
      const page = await get(`/tracks?${search}`);
      for (const track of page.items.filter((item) => item.licence || item.attribution)) {
        list.append(el("li", {}, el("strong", {}, titleOf(track)),
          [track.artist, track.licence].filter(Boolean).map((text) => ` · ${text}`),
          track.attribution ? el("p", { class: "hint" }, track.attribution) : null));
      }
      replace(foot, page.next_cursor ? button({ onclick: () => more(page.next_cursor) }, strings.results.more) : null);
    } catch (failure) {
      replace(foot, broken(failure, () => more(cursor)));
    }
  }
  more(null);
  return el("div", {}, list, foot);
}
