// The model behind the answers, the index, and where the tracks come from.

import { get } from "./api.js";
import { el, replace } from "./dom.js";
import { titleOf } from "./hit.js";
import { strings } from "./strings.js";

export function showAbout(main, { reportError }) {
  const facts = el("dl", { class: "facts-list" });
  const credits = el("ul", { class: "credits" });
  replace(main, el("h1", {}, strings.about), el("p", {}, strings.aboutIntro), facts,
    el("h2", {}, strings.licences), credits);

  const pair = (label, value) => [el("dt", {}, label), el("dd", {}, value)];

  async function load() {
    try {
      const [models, index] = await Promise.all([get("/models"), get("/index")]);
      const active = models.items.find((model) => model.active) || models.items[0];
      replace(facts,
        Object.entries(strings.modelFields).flatMap(([name, label]) => {
          const value = active[name];
          return pair(label, Array.isArray(value) ? value.join(", ") : String(value));
        }),
        pair(strings.indexFields.tracks, String(index.tracks)),
        pair(strings.indexFields.clips, String(index.clips)),
        pair(strings.indexFields.lag, String(index.latest_seq - index.applied_seq)));
      await loadCredits(null);
    } catch (failure) {
      reportError(failure, load);
    }
  }

  async function loadCredits(cursor) {
    const search = new URLSearchParams({ limit: "100", sort: "title" });
    if (cursor) search.set("cursor", cursor);
    const page = await get(`/tracks?${search}`);
    for (const track of page.items.filter((item) => item.licence || item.attribution)) {
      credits.append(el("li", {},
        el("strong", {}, titleOf(track)), track.artist ? ` · ${track.artist}` : "",
        track.licence ? ` · ${track.licence}` : "",
        track.attribution ? el("p", { class: "hint" }, track.attribution) : null));
    }
    if (page.next_cursor) await loadCredits(page.next_cursor);
  }

  load();
  return () => {};
}
