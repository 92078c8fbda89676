// One label over the library: how it spreads, and the tracks that it fits best and least.

import { at, get, withParams } from "./api.js";
import { button, el, freshId, icon, replace } from "./dom.js";
import { count, percent } from "./format.js";
import { histogram } from "./histogram.js";
import { trackAddress } from "./hit.js";
import { remember, titleOf } from "./known-tracks.js";
import { libraryAddress } from "./library-state.js";
import { play } from "./player.js";
import { broken, ghosts } from "./states.js";
import { strings } from "./strings.js";

const s = strings.tags;
const ENDS = 5;

/** The panel of a vocabulary; `show(group, label)` measures a label, `onTry` asks for another. */
export function distributionPanel(vocabulary, onTry) {
  const node = el("section", { class: "card distribution", "aria-live": "polite", "aria-label": s.distribution });

  function draw(group, found) {
    [...found.top, ...found.bottom].forEach((entry) => remember(entry.track));
    const filters = { [`tags.${group.name}`]: { in: [found.label] } };
    replace(node,
      el("h2", {}, s.labelIn(found.label, s.group(group.name))),
      found.in_vocabulary ? null : el("p", { class: "notice" }, s.tried),
      found.weak ? el("p", { class: "notice" }, s.weak) : null,
      (found.warnings || []).map((text) => el("p", { class: "warning" }, text)),
      el("p", {}, found.in_vocabulary && vocabulary.is_default && found.assigned
        ? el("a", { href: libraryAddress({ q: "", sort: "-added_at", filters }) }, s.assigned(count(found.assigned), count(found.tracks), percent(found.share)))
        : s.assigned(count(found.assigned), count(found.tracks), percent(found.share))),
      found.probabilities ? histogram(s.probability, found.probabilities, found.threshold) : null,
      found.relevances ? histogram(s.relevance, found.relevances, found.probabilities ? null : found.threshold) : null,
      el("p", { class: "hint" }, s.spreadHelp, found.choice === "single" ? ` ${s.singleHelp}` : ""),
      el("div", { class: "ends" }, ends(s.top, found.top), ends(s.bottom, found.bottom)),
      tryForm(group));
  }

  function tryForm(group) {
    const id = freshId("try");
    const input = el("input", { type: "text", id, maxlength: 200, autocomplete: "off" });
    return el("form", {
      class: "try-label",
      onsubmit: (event) => {
        event.preventDefault();
        if (input.value.trim()) onTry(group, input.value.trim());
      },
    }, el("label", { for: id }, s.tryIn(s.group(group.name))), input, button({ type: "submit" }, s.try));
  }

  async function show(group, label) {
    replace(node, ghosts(1), el("p", { class: "visually-hidden" }, strings.loading));
    try {
      draw(group, await get(withParams(`${at("vocabularies", vocabulary.name)}/distribution`, { group: group.name, label, ends: ENDS })));
    } catch (failure) {
      replace(node, broken(failure, () => show(group, label)));
    }
  }
  return { node, show };
}

function ends(heading, entries) {
  return el("div", {}, el("h3", {}, heading), el("ol", { class: "end-list" }, entries.map((entry) => {
    const amount = entry.probability ?? entry.relevance;
    return el("li", {},
      button({ class: "round small", "aria-label": strings.hit.play(titleOf(entry.track)), onclick: () => play(entry.track, 0) }, icon("play")),
      el("a", { href: trackAddress(entry.track.id) }, titleOf(entry.track)),
      el("span", { class: "number facts" }, amount === null ? "" : strings.percent(percent(amount))));
  })));
}
