// One audio element for the whole page, and the bar that shows what it plays.

import { audioAddress } from "./api.js";
import { announce, clock, el, icon, replace } from "./dom.js";
import { strings } from "./strings.js";

const audio = new Audio();
audio.preload = "metadata";
const listeners = new Set();
let current = null;

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

/** Play a track from a second on; the same track just moves. */
export async function play(track, fromS = 0) {
  if (!current || current.id !== track.id) {
    if (audio.src.startsWith("blob:")) URL.revokeObjectURL(audio.src);
    current = track;
    showBar();
    audio.src = await audioAddress(track.id);
  }
  audio.currentTime = fromS;
  try {
    await audio.play();
  } catch (failure) {
    if (failure.name !== "AbortError") announce(strings.playbackFailed);
  }
  tell();
}

export function toggle() {
  if (!current) return;
  if (audio.paused) audio.play().catch(() => announce(strings.playbackFailed));
  else audio.pause();
}

export function stopIfPlaying(trackId) {
  if (!current || current.id !== trackId) return;
  audio.pause();
  audio.removeAttribute("src");
  current = null;
  document.getElementById("player").hidden = true;
  tell();
}

let button;
let time;
let seek;

function showBar() {
  const bar = document.getElementById("player");
  button = el("button", { type: "button", class: "button round", onclick: toggle });
  time = el("span", { class: "player-time" });
  seek = el("input", {
    type: "range",
    min: 0,
    max: Math.max(1, Math.round(current.duration_s || 1)),
    step: 1,
    value: 0,
    class: "player-seek",
    "aria-label": strings.waveform(current.title || current.filename),
    oninput: () => { audio.currentTime = Number(seek.value); },
  });
  replace(bar, button,
    el("div", { class: "player-what" },
      el("strong", {}, current.title || current.filename),
      el("span", {}, current.artist || strings.unknownArtist)),
    seek, time);
  bar.hidden = false;
  refresh();
}

function refresh() {
  if (!current || !button) return;
  replace(button, icon(audio.paused ? "play" : "pause"));
  button.setAttribute("aria-label", audio.paused ? strings.play : strings.pause);
  time.textContent = `${clock(audio.currentTime)} / ${clock(current.duration_s)}`;
  seek.value = String(Math.round(audio.currentTime));
  tell();
}

for (const name of ["play", "pause", "timeupdate", "seeked", "ended"]) {
  audio.addEventListener(name, refresh);
}
audio.addEventListener("error", () => {
  if (current && audio.getAttribute("src")) announce(strings.playbackFailed);
});
