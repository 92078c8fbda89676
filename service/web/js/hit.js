// One search result: what it is, how close it is, where the best passages lie.

import { clock, el, icon, percent } from "./dom.js";
import { nowPlaying, play, toggle } from "./player.js";
import { strings } from "./strings.js";
import { waveform } from "./waveform.js";

export function titleOf(track) {
  return track.title || track.filename || strings.untitled;
}

function facts(track) {
  return [track.artist || strings.unknownArtist, track.genre, clock(track.duration_s)]
    .filter(Boolean).join(" · ");
}

function relevanceMeter(hit) {
  if (hit.relevance === null) {
    return el("span", { class: "relevance" }, strings.score(hit.score.toFixed(2)));
  }
  const shown = percent(hit.relevance);
  const meter = el("span", { class: "meter" }, el("span", { class: "meter-fill" }));
  meter.firstChild.style.width = `${shown}%`;
  return el("span", {
    class: "relevance",
    title: `${strings.relevance(shown)} · ${strings.score(hit.score.toFixed(3))}`,
  }, meter, el("span", { class: "relevance-text" }, strings.relevanceShort(shown)),
  el("span", { class: "visually-hidden" }, strings.relevance(shown)));
}

/**
 * The row of one hit. `actions.more(track)` and `actions.less(track)` add it to the query.
 * The returned element has `showPlayback(state)`.
 */
export function hitRow(hit, actions) {
  const track = hit.track;
  const best = hit.passages[0];
  const fromS = best ? best.start_s : 0;
  const playButton = el("button", {
    type: "button",
    class: "button round play",
    "aria-label": strings.playFrom(titleOf(track), clock(fromS)),
    onclick: () => {
      const state = nowPlaying();
      if (state.track && state.track.id === track.id) toggle();
      else play(track, fromS);
    },
  }, icon("play"));
  const wave = waveform(track, hit.passages, (seconds) => play(track, seconds));
  const row = el("li", { class: "hit", "data-track": track.id },
    playButton,
    el("div", { class: "hit-what" },
      el("h3", {}, el("a", { href: `#/track/${encodeURIComponent(track.id)}` }, titleOf(track))),
      el("p", { class: "facts" }, facts(track))),
    relevanceMeter(hit),
    wave,
    el("div", { class: "hit-foot" },
      el("div", { class: "passages", role: "group", "aria-label": strings.bestPassages },
        hit.passages.map((passage) => passageButton(track, passage))),
      el("div", { class: "hit-actions" },
        el("button", { type: "button", class: "button quiet", onclick: () => actions.more(track) },
          icon("plus"), strings.moreLikeThis),
        el("button", { type: "button", class: "button quiet", onclick: () => actions.less(track) },
          icon("minus"), strings.lessLikeThis))));
  row.showPlayback = (state) => {
    const here = Boolean(state.track && state.track.id === track.id);
    row.classList.toggle("is-playing", here);
    playButton.replaceChildren(icon(here && state.playing ? "pause" : "play"));
    wave.showPosition(here ? state.positionS : null);
  };
  return row;
}

function passageButton(track, passage) {
  const span = strings.passage(clock(passage.start_s), clock(passage.end_s));
  const shown = passage.relevance === null
    ? passage.score.toFixed(2)
    : strings.relevanceShort(percent(passage.relevance));
  return el("button", {
    type: "button",
    class: "passage",
    onclick: () => play(track, passage.start_s),
  }, el("span", { class: "visually-hidden" }, `${strings.playOf(titleOf(track))} `),
  el("span", { class: "passage-time" }, span), el("span", { class: "passage-score" }, shown));
}
