// Small helpers for building elements without a framework. Text is never parsed as HTML.

import { SHAPES } from "./icons.js";

const SVG_NAMES = new Set(["svg", "path", "circle", "rect", "g", "line", "polyline", "text"]);

/** Make an element: el("button", {class: "x", onclick: f}, "text", child). */
export function el(name, attributes = {}, ...children) {
  const node = SVG_NAMES.has(name)
    ? document.createElementNS("http://www.w3.org/2000/svg", name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else node.setAttribute(key, String(value));
  }
  append(node, children);
  return node;
}

function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

export function replace(parent, ...children) {
  parent.replaceChildren();
  append(parent, children);
}

export function icon(name) {
  return el("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" },
    el("path", { d: SHAPES[name] }));
}

/** A button of type "button"; `attributes` as for `el`. */
export function button(attributes, ...children) {
  const { class: extra = "", ...rest } = attributes;
  return el("button", { type: "button", class: `button ${extra}`.trim(), ...rest }, ...children);
}

/** Say something to people who listen to the page instead of looking at it. */
export function announce(text) {
  const target = document.getElementById("announcer");
  target.textContent = "";
  window.setTimeout(() => { target.textContent = text; }, 50);
}

let ids = 0;

/** A new id, for labels and the things that they name. */
export function freshId(prefix) {
  ids += 1;
  return `${prefix}-${ids}`;
}
