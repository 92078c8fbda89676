// A picture of counts in equal bins from 0 to 1, with a line where something begins to hold.

import { el } from "./dom.js";
import { strings } from "./strings.js";

const WIDTH = 400;
const HEIGHT = 120;
const FOOT = 18;

/** `bins` are counts; `from` is the share from which a label is given, or null for no line. */
export function histogram(label, bins, from = null) {
  const most = Math.max(1, ...bins);
  const step = WIDTH / bins.length;
  const inner = HEIGHT - FOOT;
  return el("figure", { class: "histogram" },
    el("figcaption", {}, label),
    el("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": strings.tags.histogram(label, bins) },
      bins.map((n, i) => el("rect", {
        x: i * step + 1, width: step - 2, rx: 1,
        y: inner - (n / most) * (inner - 4), height: Math.max(n ? 2 : 0, (n / most) * (inner - 4)),
        class: from !== null && (i + 0.5) / bins.length >= from ? "bin is-over" : "bin",
      })),
      el("line", { x1: 0, x2: WIDTH, y1: inner + 0.5, y2: inner + 0.5, class: "axis" }),
      from === null ? null : el("line", { x1: from * WIDTH, x2: from * WIDTH, y1: 0, y2: inner, class: "threshold" }),
      [[0, "start"], [0.5, "middle"], [1, "end"]].map(([x, anchor]) => el("text", {
        x: x * WIDTH, y: HEIGHT - 4, "text-anchor": anchor, class: "tick",
      }, strings.percent(x * 100)))));
}
