// One label along the time of a track: a picture of bars that plays where it is pressed.

import { el } from "./dom.js";
import { clock, percent } from "./format.js";
import { strings } from "./strings.js";

/**
 * A strip. `row` is {label, values}, `times` {starts_s, ends_s}, `durationS` the track's length,
 * `most` the value of a full bar. `onPlay(seconds)` is called on a click and on Enter.
 */
export function labelStrip({ row, times, durationS, most, strong, onPlay }) {
  const canvas = el("canvas", { "aria-hidden": "true" });
  const node = el("div", {
    class: strong ? "strip is-strong" : "strip", role: "slider", tabindex: "-1",
    "aria-label": strings.tags.overTime(row.label),
    "aria-valuemin": "0", "aria-valuemax": String(Math.max(0, row.values.length - 1)),
  }, canvas);
  let here = 0;

  function say() {
    node.setAttribute("aria-valuenow", String(here));
    node.setAttribute("aria-valuetext", strings.tags.at(clock(times.starts_s[here]), percent(row.values[here] ?? 0)));
  }

  function draw() {
    const width = node.clientWidth;
    const height = node.clientHeight;
    if (!width || !height) return;
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const paint = canvas.getContext("2d");
    paint.scale(scale, scale);
    const style = getComputedStyle(node);
    paint.fillStyle = style.color;
    row.values.forEach((value, i) => {
      const x = (times.starts_s[i] / durationS) * width;
      const end = (Math.min(durationS, times.ends_s[i]) / durationS) * width;
      const bar = Math.max(1, Math.min(1, value / most) * height);
      paint.fillRect(x, height - bar, Math.max(1, end - x - 1), bar);
    });
  }

  node.addEventListener("click", (event) => {
    const box = node.getBoundingClientRect();
    const seconds = ((event.clientX - box.left) / box.width) * durationS;
    here = Math.max(0, times.starts_s.findLastIndex((start) => start <= seconds));
    say();
    onPlay(times.starts_s[here] ?? 0);
  });
  node.addEventListener("keydown", (event) => {
    const last = row.values.length - 1;
    const next = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: last }[event.key];
    if (next !== undefined) {
      here = Math.min(last, Math.max(0, next));
      say();
    } else if (event.key === "Enter" || event.key === " ") onPlay(times.starts_s[here] ?? 0);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  new ResizeObserver(draw).observe(node);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  say();
  return node;
}
