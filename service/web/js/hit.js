// One search result: what it is, how close it is, where the best passages lie, and why.

import { button, el, freshId, icon, replace } from "./dom.js";
import { clock, percent } from "./format.js";
import { titleOf } from "./known-tracks.js";
import { nowPlaying, play, toggle } from "./player.js";
import { relevanceMeter } from "./relevance.js";
import { strings } from "./strings.js";
import { waveform } from "./waveform.js";
import { whyPanel } from "./why.js";

export function trackFacts(track) {
  return [track.artist || strings.unknownArtist, track.album, track.genre, track.year, clock(track.duration_s)]
    .filter(Boolean).join(" · ");
}

export function trackAddress(id) {
  return `#/track/${encodeURIComponent(id)}`;
}

/**
 * The row of one hit; `parts` are those of its query. `actions.add(part)` adds a part to the query.
 * The row has `update(hit, parts)` and `showPlayback(state)`.
 */
export function hitRow(hit, parts, actions, name) {
  const track = hit.track;
  const title = titleOf(track);
  let current = hit;
  let currentParts = parts;
  const fromS = () => current.passages[0]?.start_s ?? 0;
  const playButton = button({
    class: "round play",
    onclick: () => {
      const state = nowPlaying();
      if (state.track && state.track.id === track.id) toggle();
      else play(track, fromS());
    },
  });
  const wave = waveform(track, hit.passages, (seconds) => play(track, seconds));
  const facts = el("p", { class: "facts" });
  const relevance = el("div", { class: "hit-relevance" });
  const passages = el("div", { class: "passages", role: "group", "aria-label": strings.hit.bestPassages });
  const whyId = freshId("why");
  const whyBox = el("div", { id: whyId, class: "hit-why", hidden: true });
  const whyButton = button({
    class: "quiet", "aria-expanded": "false", "aria-controls": whyId, onclick: () => openWhy(whyBox.hidden),
  }, icon("why"), strings.hit.why);

  function openWhy(wanted) {
    whyBox.hidden = !wanted;
    whyButton.setAttribute("aria-expanded", String(wanted));
    if (wanted) replace(whyBox, whyPanel(current, currentParts));
  }

  const row = el("li", { class: "hit", "data-track": track.id, "data-hit": name, tabindex: "-1" },
    playButton,
    el("div", { class: "hit-what" },
      el("h3", {}, el("a", { href: trackAddress(track.id) }, title)),
      facts),
    relevance,
    wave,
    el("div", { class: "hit-foot" },
      passages,
      el("div", { class: "hit-actions" },
        button({ class: "quiet more-like", onclick: () => actions.add({ kind: "track", id: track.id, weight: 1 }) },
          icon("plus"), strings.hit.more),
        button({ class: "quiet less-like", onclick: () => actions.add({ kind: "track", id: track.id, weight: -0.5 }) },
          icon("minus"), strings.hit.less),
        whyButton)),
    whyBox);

  row.update = (next, nextParts) => {
    current = next;
    currentParts = nextParts;
    const copies = next.duplicates?.length || 0;
    replace(facts, trackFacts(track), copies ? ` · ${strings.hit.copies(copies)}` : null);
    replace(relevance, relevanceMeter(next));
    replace(passages, next.passages.map((passage) => passageButtons(track, passage, actions)));
    wave.showPassages(next.passages);
    playButton.setAttribute("aria-label", strings.hit.playFrom(title, clock(fromS())));
    if (!whyBox.hidden) openWhy(true);
  };
  row.showPlayback = (state) => {
    const here = Boolean(state.track && state.track.id === track.id);
    row.classList.toggle("is-playing", here);
    replace(playButton, icon(here && state.playing ? "pause" : "play"));
    wave.showPosition(here ? state.positionS : null);
  };
  row.act = { play: () => playButton.click(), why: () => whyButton.click() };
  row.update(hit, parts);
  return row;
}

/** Two buttons in one shape: hear the passage, and search for more like it. */
export function passageButtons(track, passage, actions) {
  const from = clock(passage.start_s);
  const to = clock(passage.end_s);
  const title = titleOf(track);
  const shown = passage.relevance === null ? "" : strings.percent(percent(passage.relevance));
  return el("span", { class: "passage-pair" },
    el("button", { type: "button", class: "passage", onclick: () => play(track, passage.start_s) },
      el("span", { class: "visually-hidden" }, `${strings.hit.play(title)} `),
      el("span", { class: "passage-time" }, strings.span(from, to)),
      shown ? el("span", { class: "passage-score" }, shown) : null),
    el("button", {
      type: "button", class: "passage-like", title: strings.hit.morePassage,
      "aria-label": strings.hit.morePassageOf(title, from, to),
      onclick: () => actions.add({ kind: "track", id: track.id, weight: 1, startS: passage.start_s, endS: passage.end_s }),
    }, icon("plus")));
}
