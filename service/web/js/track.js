// One track: its facts, its waveform, and the tracks that sound like it.

import { get, post, remove } from "./api.js";
import { announce, clock, el, icon, replace } from "./dom.js";
import { hitRow, titleOf } from "./hit.js";
import { nowPlaying, onPlayback, play, stopIfPlaying } from "./player.js";
import { addTrack } from "./search.js";
import { strings } from "./strings.js";
import { waveform } from "./waveform.js";

export function showTrack(main, { reportError, go }, trackId) {
  let rows = [];
  let wave = null;
  const stopListening = onPlayback((state) => {
    for (const row of rows) row.showPlayback(state);
    if (wave) wave.showPosition(state.track && state.track.id === trackId ? state.positionS : null);
  });
  const actions = {
    more: (track) => { addTrack(track, 1); go("#/"); },
    less: (track) => { addTrack(track, -0.5); go("#/"); },
  };

  function draw(track) {
    wave = waveform(track, [], (seconds) => play(track, seconds));
    wave.classList.add("tall");
    const neighbours = el("ol", { class: "hits" });
    replace(main,
      el("h1", {}, titleOf(track)),
      el("div", { class: "toolbar" },
        el("button", { type: "button", class: "button primary", onclick: () => play(track, 0) },
          icon("play"), strings.play),
        el("button", { type: "button", class: "button", onclick: () => actions.more(track) },
          strings.moreLikeThis),
        el("button", {
          type: "button",
          class: "button quiet",
          onclick: async () => {
            if (!window.confirm(strings.removeConfirm(titleOf(track)))) return;
            try {
              await remove(`/tracks/${encodeURIComponent(track.id)}`);
              stopIfPlaying(track.id);
              announce(strings.removed(titleOf(track)));
              go("#/library");
            } catch (failure) {
              reportError(failure);
            }
          },
        }, strings.remove)),
      wave,
      el("dl", { class: "facts-list" },
        el("dt", {}, strings.columns.duration), el("dd", {}, clock(track.duration_s)),
        Object.entries(strings.trackFields)
          .filter(([name]) => track[name] !== null && track[name] !== "")
          .flatMap(([name, label]) => [el("dt", {}, label), el("dd", {}, String(track[name]))])),
      track.error_message ? el("p", { class: "notice error" }, track.error_message) : null,
      el("h2", {}, strings.moreLikeThis),
      neighbours);
    if (track.state === "ready") showNeighbours(track, neighbours);
  }

  async function showNeighbours(track, list) {
    const body = await post("/search", { query: [{ track_id: track.id }], limit: 10, passages: 2 });
    rows = body.items.map((hit) => hitRow(hit, actions));
    list.replaceChildren(...rows);
    for (const row of rows) row.showPlayback(nowPlaying());
  }

  get(`/tracks/${encodeURIComponent(trackId)}`).then(draw).catch((failure) => reportError(failure));
  return stopListening;
}
