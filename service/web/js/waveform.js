// A track's waveform with its passages lit: a canvas to look at, a slider to listen and type to.

import { at, get } from "./api.js";
import { el } from "./dom.js";
import { clock } from "./format.js";
import { titleOf } from "./known-tracks.js";
import { strings } from "./strings.js";

const MOST_PEAKS = 500;
const cache = new Map();
const STEP_S = 5;
const DRAG_PX = 6;

function fetchPeaks(trackId) {
  if (!cache.has(trackId)) {
    const request = get(at("tracks", trackId, "waveform"))
      .then((body) => body.peaks)
      .catch(() => {
        cache.delete(trackId);
        return [];
      });
    cache.set(trackId, request);
    if (cache.size > MOST_PEAKS) cache.delete(cache.keys().next().value);
  }
  return cache.get(trackId);
}

function resample(peaks, count) {
  const out = new Array(count).fill(0);
  for (let i = 0; i < count; i += 1) {
    const from = Math.floor((i * peaks.length) / count);
    const to = Math.max(from + 1, Math.floor(((i + 1) * peaks.length) / count));
    for (let j = from; j < to && j < peaks.length; j += 1) out[i] = Math.max(out[i], peaks[j]);
  }
  return out;
}

function colours() {
  const style = getComputedStyle(document.documentElement);
  return {
    quiet: style.getPropertyValue("--wave"),
    played: style.getPropertyValue("--ink"),
    lit: style.getPropertyValue("--accent"),
    band: style.getPropertyValue("--accent-soft"),
  };
}

function paintWave(canvas, node, { durationS, peaks, passages, positionS, selection }) {
  const width = node.clientWidth;
  const height = node.clientHeight;
  if (!width || !height || !durationS) return;
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const paint = canvas.getContext("2d");
  paint.scale(scale, scale);
  const colour = colours();
  const toX = (seconds) => (Math.min(seconds, durationS) / durationS) * width;
  const lit = selection ? [{ start_s: selection[0], end_s: selection[1] }] : passages;
  const isLit = (seconds) => lit.some((p) => seconds >= p.start_s && seconds < p.end_s);
  paint.fillStyle = colour.band;
  for (const passage of lit) {
    paint.fillRect(toX(passage.start_s), 0, toX(passage.end_s) - toX(passage.start_s), height);
  }
  const count = Math.max(1, Math.floor(width / 3));
  const bars = resample(peaks.length ? peaks : [0], count);
  for (let i = 0; i < count; i += 1) {
    const seconds = ((i + 0.5) / count) * durationS;
    const barHeight = Math.max(2, (bars[i] / 255) * (height - 4));
    if (positionS !== null && seconds <= positionS) paint.fillStyle = colour.played;
    else paint.fillStyle = isLit(seconds) ? colour.lit : colour.quiet;
    paint.fillRect(i * 3, (height - barHeight) / 2, 2, barHeight);
  }
  if (positionS !== null) {
    paint.fillStyle = colour.played;
    paint.fillRect(toX(positionS) - 1, 0, 2, height);
  }
}

/**
 * Build the waveform of one track. `onSeek(seconds)` is called on click or arrow keys; with
 * `onSelect([from, to] | null)` a span can be drawn with the pointer. The returned element has
 * `showPosition(seconds | null)`, `showPassages(list)` and `showSelection([from, to] | null)`.
 */
export function waveform(track, passages, onSeek, onSelect = null) {
  const durationS = track.duration_s || 0;
  const canvas = el("canvas", { class: "wave-canvas", "aria-hidden": "true" });
  const node = el("div", {
    class: "wave",
    role: "slider",
    tabindex: "0",
    "aria-label": strings.waveform(titleOf(track)),
    "aria-valuemin": "0",
    "aria-valuemax": String(Math.round(durationS)),
    "aria-valuenow": "0",
    "aria-valuetext": clock(0),
  }, canvas);
  const state = { durationS, peaks: [], passages, positionS: null, selection: null };
  const draw = () => paintWave(canvas, node, state);

  node.showPosition = (seconds) => {
    if (seconds === state.positionS) return;
    state.positionS = seconds;
    const shown = seconds || 0;
    node.setAttribute("aria-valuenow", String(Math.round(shown)));
    node.setAttribute("aria-valuetext", clock(shown));
    draw();
  };
  node.showPassages = (list) => {
    state.passages = list;
    draw();
  };
  node.showSelection = (span) => {
    state.selection = span;
    draw();
  };
  node.addEventListener("keydown", (event) => {
    const here = state.positionS || 0;
    const target = {
      ArrowRight: here + STEP_S,
      ArrowUp: here + STEP_S,
      ArrowLeft: here - STEP_S,
      ArrowDown: here - STEP_S,
      Home: 0,
      End: durationS - STEP_S,
    }[event.key];
    if (target === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    onSeek(Math.min(Math.max(0, target), durationS));
  });
  followPointer(node, durationS, onSeek, onSelect && ((span) => {
    node.showSelection(span);
    onSelect(span);
  }));
  const watcher = new ResizeObserver(draw);
  watcher.observe(node);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  if (track.state === "ready") {
    fetchPeaks(track.id).then((values) => {
      state.peaks = values;
      draw();
    });
  }
  return node;
}

/** A click seeks; a drag, where spans can be selected, selects one. */
function followPointer(node, durationS, onSeek, onSelect) {
  let startX = null;
  let dragging = false;
  const secondsAt = (x) => {
    const box = node.getBoundingClientRect();
    return Math.min(durationS, Math.max(0, ((x - box.left) / box.width) * durationS));
  };
  const spanTo = (x) => [secondsAt(Math.min(startX, x)), secondsAt(Math.max(startX, x))];
  node.addEventListener("click", (event) => {
    if (!dragging) onSeek(secondsAt(event.clientX));
    dragging = false;
  });
  if (!onSelect) return;
  node.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.pointerType === "touch") return;
    startX = event.clientX;
    dragging = false;
    node.setPointerCapture(event.pointerId);
  });
  node.addEventListener("pointermove", (event) => {
    if (startX === null) return;
    if (Math.abs(event.clientX - startX) > DRAG_PX) dragging = true;
    if (dragging) onSelect(spanTo(event.clientX));
  });
  const stop = () => { startX = null; };
  node.addEventListener("pointerup", stop);
  node.addEventListener("pointercancel", stop);
}
