// The parts of the query as chips, each with a "not" and a weight.

import { el, icon, button, freshId } from "./dom.js";
import { clock } from "./format.js";
import { clipOf } from "./clips.js";
import { findTrack, knownTrack, titleOf } from "./known-tracks.js";
import { sameThing } from "./query.js";
import { strings } from "./strings.js";

const ICONS = { text: "text", track: "note", clip: "clip" };

/** What a part is called, without its sign. */
export function partName(part) {
  if (part.kind === "text") return strings.parts.text(part.text);
  if (part.kind === "clip") return strings.parts.clip(part.name);
  const track = knownTrack(part.id);
  const title = track ? titleOf(track) : "…";
  if (part.startS === undefined) return strings.parts.track(title);
  return strings.parts.span(title, clock(part.startS), clock(part.endS));
}

export function partLabel(part) {
  return part.weight < 0 ? strings.parts.not(partName(part)) : partName(part);
}

function chip(part, actions) {
  let shown = part;
  const nameId = freshId("chip");
  const label = el("span", { class: "chip-label", id: nameId });
  const labelBox = part.kind === "text"
    ? el("button", { type: "button", class: "chip-edit", title: strings.parts.edit, onclick: () => actions.edit(shown) }, label)
    : label;
  const value = el("output", { class: "chip-value number" });
  const slider = el("input", {
    type: "range", min: 10, max: 100, step: 10, class: "chip-weight",
    oninput: () => actions.weigh(shown, (Number(slider.value) / 100) * Math.sign(shown.weight)),
  });
  const not = el("button", {
    type: "button", class: "chip-not",
    onclick: () => actions.weigh(shown, -shown.weight),
  }, strings.parts.notWord);
  const node = el("li", {
    class: "chip",
    onkeydown: (event) => {
      if (event.key === "Delete" || (event.key === "Backspace" && event.target !== slider)) {
        event.preventDefault();
        actions.remove(shown);
      }
    },
  }, icon(part.startS === undefined ? ICONS[part.kind] : "span"), not, labelBox, slider, value,
  el("button", { type: "button", class: "chip-remove", onclick: () => actions.remove(shown) },
    icon("close")));

  node.update = (next) => {
    shown = next;
    const name = partName(next);
    const strength = Math.round(Math.abs(next.weight) * 100);
    const isLost = next.kind === "clip" && !clipOf(next.key);
    label.textContent = isLost ? strings.parts.lostClip(next.name) : name;
    node.classList.toggle("negative", next.weight < 0);
    node.classList.toggle("lost", isLost);
    not.setAttribute("aria-pressed", String(next.weight < 0));
    not.setAttribute("aria-label", strings.parts.notToggle(name));
    slider.value = String(strength);
    slider.setAttribute("aria-label", strings.parts.weight(name));
    slider.setAttribute("aria-valuetext", strings.percent(strength));
    value.textContent = strings.percent(strength);
    node.querySelector(".chip-remove").setAttribute("aria-label", strings.parts.remove(partLabel(next)));
  };
  node.isFor = (other) => sameThing(shown, other);
  node.update(part);
  if (part.kind === "track" && !knownTrack(part.id)) {
    findTrack(part.id).then(() => node.update(shown));
  }
  return node;
}

/**
 * The list of chips. `actions`: weigh(part, weight), edit(part), remove(part). `show(parts)` keeps
 * the chips that stay, so that a slider may be dragged while results come in.
 */
export function chipList(actions) {
  const list = el("ul", { class: "chips", "aria-label": strings.parts.list });
  list.show = (parts) => {
    const old = [...list.children];
    const nodes = parts.map((part) => {
      const kept = old.find((node) => node.isFor(part));
      if (kept) kept.update(part);
      return kept || chip(part, actions);
    });
    for (const node of old) if (!nodes.includes(node)) node.remove();
    nodes.forEach((node, i) => { if (list.children[i] !== node) list.insertBefore(node, list.children[i] || null); });
    list.hidden = parts.length === 0;
  };
  list.focusLast = () => list.lastElementChild?.querySelector(".chip-remove")?.focus();
  return list;
}

/** Buttons that take a filter away, one for each condition, and one for all. */
export function filterChip(label, onRemove) {
  return el("li", { class: "chip filter" }, el("span", { class: "chip-label" }, label),
    el("button", { type: "button", class: "chip-remove", "aria-label": strings.filters.removeOne(label), onclick: onRemove },
      icon("close")));
}

export function clearAllButton(onClear) {
  return button({ class: "quiet", onclick: onClear }, strings.filters.clear);
}
