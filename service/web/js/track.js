// One track: its waveform with spans to search by, words to find in it, tags, facts, neighbours.

import { at, get, patch, post } from "./api.js";
import { deleteLater, isLeaving } from "./deletions.js";
import { openDialog } from "./dialogs.js";
import { announce, button, el, icon, replace } from "./dom.js";
import { bytes, clock, dateTime } from "./format.js";
import { hitRow, trackFacts } from "./hit.js";
import { remember, titleOf } from "./known-tracks.js";
import { trackForm } from "./metadata-form.js";
import { nowPlaying, onPlayback, play } from "./player.js";
import { addressWith } from "./search.js";
import { spanTools } from "./span-tools.js";
import { broken, ghosts, messageOf } from "./states.js";
import { strings } from "./strings.js";
import { toast } from "./toasts.js";
import { trackTags } from "./track-tags.js";
import { waveform } from "./waveform.js";

const NEIGHBOURS = 6;

export function showTrack(main, tools, { steps }) {
  const trackId = steps[1] || "";
  let rows = [];
  let wave = null;
  let tags = null;
  let closed = false;
  const search = (part, options) => tools.go(addressWith(part, null, options));
  const whole = (weight) => ({ kind: "track", id: trackId, weight });

  const stopListening = onPlayback((state) => {
    for (const row of rows) row.showPlayback(state);
    const positionS = state.track && state.track.id === trackId ? state.positionS : null;
    if (wave) wave.showPosition(positionS);
    if (tags) tags.showPosition(positionS);
  });

  function draw(track) {
    if (closed) return;
    remember(track);
    document.title = strings.titleOf(titleOf(track));
    const span = spanTools(track, {
      onPick: (from, to) => wave?.showSelection(from === null ? null : [from, to]),
      onPlay: (from) => play(track, from),
      onSearch: (from, to, weight) => search({ kind: "track", id: trackId, weight, startS: from, endS: to }, { alone: true }),
      onFound: (passages) => wave.showPassages(passages),
    });
    wave = waveform(track, [], (seconds) => play(track, seconds), (picked) => span.show(picked));
    wave.classList.add("tall");
    tags = trackTags(track, { onPlay: (seconds) => play(track, seconds) });
    const neighbours = el("ol", { class: "hits" });
    replace(main,
      el("div", { class: "track-head" },
        el("div", {}, el("h1", {}, titleOf(track)), el("p", { class: "facts" }, trackFacts(track))),
        el("div", { class: "actions" },
          button({ class: "primary", onclick: () => play(track, 0) }, icon("play"), strings.player.play),
          button({ onclick: () => search(whole(1), { alone: true }) }, icon("search"), strings.hit.more),
          button({ class: "quiet", onclick: () => search(whole(-0.5)) }, icon("not"), strings.hit.less),
          button({ class: "quiet needs-write", onclick: () => edit(track) }, icon("edit"), strings.edit.button),
          button({
            class: "quiet needs-write",
            onclick: () => {
              deleteLater([track]);
              tools.go("#/library");
            },
          }, icon("trash"), strings.remove))),
      track.error_message ? el("p", { class: "notice error" }, track.error_message) : null,
      track.warnings.map((text) => el("p", { class: "notice" }, text)),
      track.state === "pending" ? el("p", { class: "notice" }, strings.track.pending) : null,
      wave, track.state === "ready" ? span.node : null,
      tags.node,
      el("h2", {}, strings.track.neighbours), neighbours,
      el("h2", {}, strings.track.facts), factsList(track));
    if (track.state === "ready") showNeighbours(neighbours);
    else replace(neighbours, el("li", { class: "hint" }, strings.track.noNeighbours));
  }

  function factsList(track) {
    const own = Object.entries(track.extra || {}).map(([key, value]) => [key, typeof value === "string" ? value : JSON.stringify(value)]);
    const facts = [
      ...["artist", "album", "genre", "year", "licence", "attribution", "filename"].map((name) => [strings.fields[name], track[name]]),
      [strings.fields.codec, [track.codec, track.sample_rate_hz && `${track.sample_rate_hz} Hz`,
        track.channels && strings.track.channels(track.channels), bytes(track.size_bytes)].filter(Boolean).join(" · ")],
      [strings.fields.duration_s, clock(track.duration_s)],
      [strings.fields.added_at, dateTime(track.added_at)],
      ...own,
    ];
    return el("dl", { class: "facts-list" }, facts
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([label, value]) => [el("dt", {}, label), el("dd", {}, String(value))]));
  }

  async function showNeighbours(list) {
    replace(list, ghosts(2));
    const actions = { add: (part) => search(part, { alone: true }) };
    try {
      const body = await post("/search", { query: [{ track_id: trackId }], limit: NEIGHBOURS, passages: 2 });
      if (closed) return;
      const hits = body.items.filter((hit) => !isLeaving(hit.track.id));
      hits.forEach((hit) => remember(hit.track));
      rows = hits.map((hit) => hitRow(hit, [whole(1)], actions, hit.track.id));
      replace(list, rows.length ? rows : el("li", { class: "hint" }, strings.track.alone));
      for (const row of rows) row.showPlayback(nowPlaying());
    } catch (failure) {
      replace(list, el("li", { class: "hint" }, messageOf(failure)));
    }
  }

  async function edit(track) {
    const changes = await openDialog(strings.edit.one(titleOf(track)), (close) => {
      const form = trackForm(track);
      return {
        body: form.node,
        foot: [button({ onclick: () => close() }, strings.cancel),
          button({
            class: "primary",
            onclick: () => {
              const read = form.read();
              if (read) close(read);
            },
          }, strings.edit.save)],
      };
    });
    if (!changes || !Object.keys(changes).length) return;
    const before = Object.fromEntries(Object.keys(changes).map((name) => [name, track[name] ?? null]));
    try {
      draw(await patch(at("tracks", trackId), changes));
      toast(strings.edit.changed(1), {
        action: strings.undo,
        onAction: async () => {
          try {
            const back = await patch(at("tracks", trackId), before);
            if (closed) remember(back);
            else draw(back);
            announce(strings.edit.undone(1));
          } catch (failure) {
            toast(messageOf(failure), { bad: true });
          }
        },
      });
    } catch (failure) {
      tools.reportError(failure);
    }
  }

  async function load() {
    try {
      draw(await get(at("tracks", trackId)));
    } catch (failure) {
      if (closed) return;
      if (failure.status === 401) tools.reportError(failure, load);
      else main.replaceChildren(el("h1", {}, strings.track.heading), broken(failure, failure.status === 404 ? null : load));
    }
  }

  const onJob = ({ detail }) => {
    if (detail.track_id === trackId && detail.state !== "running" && detail.state !== "queued") load();
  };
  document.addEventListener("muquery:job", onJob);
  main.replaceChildren(el("h1", {}, strings.track.heading), ghosts(2));
  load();
  return {
    rows: () => rows,
    close() {
      closed = true;
      stopListening();
      document.removeEventListener("muquery:job", onJob);
    },
  };
}
