// One audio element for the whole page, and the bar that shows what it plays.

import { audioAddress } from "./api.js";
import { button, el, icon, replace } from "./dom.js";
import { clock } from "./format.js";
import { titleOf } from "./known-tracks.js";
import { strings } from "./strings.js";
import { toast } from "./toasts.js";

const audio = new Audio();
audio.preload = "metadata";
const listeners = new Set();
let current = null;
let bar = null;

/** Be told of every change: listener({track, positionS, playing}). */
export function onPlayback(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function nowPlaying() {
  return { track: current, positionS: audio.currentTime, playing: !audio.paused };
}

function tell() {
  const state = nowPlaying();
  for (const listener of listeners) listener(state);
}

function failed() {
  toast(strings.player.failed, { bad: true });
}

/** Play a track from a second on; the same track just moves. */
export async function play(track, fromS = 0) {
  if (!current || current.id !== track.id) {
    if (audio.src.startsWith("blob:")) URL.revokeObjectURL(audio.src);
    current = track;
    showBar();
    try {
      const address = await audioAddress(track.id);
      if (current !== track) return;
      audio.src = address;
    } catch (failure) {
      toast(failure.message, { bad: true });
      return;
    }
  }
  audio.currentTime = fromS;
  try {
    await audio.play();
  } catch (failure) {
    if (failure.name !== "AbortError" && current === track) failed();
  }
  tell();
}

export function toggle() {
  if (!current) return;
  if (audio.paused) audio.play().catch(failed);
  else audio.pause();
}

/** Move by some seconds, forwards or back. */
export function nudge(seconds) {
  if (!current) return;
  audio.currentTime = Math.min(Math.max(0, audio.currentTime + seconds), current.duration_s || Infinity);
}

export function stopIfPlaying(trackId) {
  if (current && current.id === trackId) stop();
}

export function stop() {
  audio.pause();
  audio.removeAttribute("src");
  current = null;
  document.getElementById("player").hidden = true;
  tell();
}

function showBar() {
  const section = document.getElementById("player");
  section.setAttribute("aria-label", strings.player.label);
  const toggler = button({ class: "round", onclick: toggle });
  const time = el("span", { class: "player-time" });
  const seek = el("input", {
    type: "range",
    min: 0,
    max: Math.max(1, Math.round(current.duration_s || 1)),
    step: 1,
    value: 0,
    class: "player-seek",
    "aria-label": strings.waveform(titleOf(current)),
    oninput: () => { audio.currentTime = Number(seek.value); },
  });
  bar = { toggler, time, seek, playing: null };
  replace(section, toggler,
    el("div", { class: "player-what" },
      el("strong", {}, el("a", { href: `#/track/${encodeURIComponent(current.id)}` }, titleOf(current))),
      el("span", {}, current.artist || strings.unknownArtist)),
    seek, time,
    button({ class: "quiet", "aria-label": strings.player.stop, onclick: stop }, icon("close")));
  section.hidden = false;
  refresh();
}

function refresh() {
  if (!current || !bar) return;
  const playing = !audio.paused;
  if (bar.playing !== playing) {
    bar.playing = playing;
    replace(bar.toggler, icon(playing ? "pause" : "play"));
    bar.toggler.setAttribute("aria-label", playing ? strings.player.pause : strings.player.play);
  }
  bar.time.textContent = `${clock(audio.currentTime)} / ${clock(current.duration_s)}`;
  bar.seek.value = String(Math.round(audio.currentTime));
  bar.seek.setAttribute("aria-valuetext", clock(audio.currentTime));
  tell();
}

for (const name of ["play", "pause", "timeupdate", "seeked", "ended"]) {
  audio.addEventListener(name, refresh);
}
