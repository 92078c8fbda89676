// A track's waveform with its passages lit: a canvas to look at, a slider to listen and type to.

import { get } from "./api.js";
import { clock, el } from "./dom.js";
import { strings } from "./strings.js";

const cache = new Map();
const STEP_S = 5;

function fetchPeaks(trackId) {
  if (!cache.has(trackId)) {
    const request = get(`/tracks/${encodeURIComponent(trackId)}/waveform`)
      .then((body) => body.peaks)
      .catch(() => {
        cache.delete(trackId);
        return [];
      });
    cache.set(trackId, request);
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

/**
 * Build the waveform of one track. `onSeek(seconds)` is called on click or arrow keys; the returned
 * element has `showPosition(seconds | null)`.
 */
export function waveform(track, passages, onSeek) {
  const durationS = track.duration_s || 0;
  const canvas = el("canvas", { class: "wave-canvas", "aria-hidden": "true" });
  const node = el("div", {
    class: "wave",
    role: "slider",
    tabindex: "0",
    "aria-label": strings.waveform(track.title || track.filename),
    "aria-valuemin": "0",
    "aria-valuemax": String(Math.round(durationS)),
    "aria-valuenow": "0",
    "aria-valuetext": clock(0),
  }, canvas);
  let peaks = [];
  let positionS = null;

  function draw() {
    const width = node.clientWidth;
    const height = node.clientHeight;
    if (!width || !height || !durationS) return;
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const paint = canvas.getContext("2d");
    paint.scale(scale, scale);
    paint.clearRect(0, 0, width, height);
    const colour = colours();
    const toX = (seconds) => (Math.min(seconds, durationS) / durationS) * width;
    const isLit = (seconds) => passages.some((p) => seconds >= p.start_s && seconds < p.end_s);
    paint.fillStyle = colour.band;
    for (const passage of passages) {
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

  node.showPosition = (seconds) => {
    positionS = seconds;
    const shown = seconds || 0;
    node.setAttribute("aria-valuenow", String(Math.round(shown)));
    node.setAttribute("aria-valuetext", clock(shown));
    draw();
  };
  node.addEventListener("click", (event) => {
    const box = node.getBoundingClientRect();
    onSeek(((event.clientX - box.left) / box.width) * durationS);
  });
  node.addEventListener("keydown", (event) => {
    const here = positionS || 0;
    const target = {
      ArrowRight: here + STEP_S,
      ArrowUp: here + STEP_S,
      ArrowLeft: here - STEP_S,
      ArrowDown: here - STEP_S,
      Home: 0,
      End: durationS - STEP_S,
    }[event.key];
    if (target === undefined) return;
    event.preventDefault();
    onSeek(Math.min(Math.max(0, target), durationS));
  });
  new ResizeObserver(draw).observe(node);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  if (track.state === "ready") {
    fetchPeaks(track.id).then((values) => {
      peaks = values;
      draw();
    });
  }
  return node;
}
