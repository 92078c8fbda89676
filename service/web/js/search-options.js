// The options of a search behind one button: what is ranked, how varied, how close.

import { button, el, freshId, icon } from "./dom.js";
import { DEFAULTS } from "./query.js";
import { STEPS } from "./relevance.js";
import { strings } from "./strings.js";

function select(label, choices, onPick) {
  const id = freshId("option");
  const node = el("select", { id, onchange: () => onPick(node.value) },
    choices.map(([value, text]) => el("option", { value }, text)));
  return { node, field: el("div", { class: "field" }, el("label", { for: id }, label), node) };
}

/** The button and its panel; `onChange({level?, perArtist?, collapse?, closeness?})`. */
export function optionsButton(onChange) {
  const s = strings.options;
  const level = select(s.level, [["track", s.tracks], ["passage", s.passages]],
    (value) => onChange({ level: value }));
  const perArtist = select(s.perArtist, [["0", s.any], ["1", s.atMost(1)], ["2", s.atMost(2)], ["3", s.atMost(3)]],
    (value) => onChange({ perArtist: Number(value) }));
  const closeness = select(s.closeness,
    [["0", s.anyCloseness], ...STEPS.slice(1).map((step, i) => [String(step), s.atLeast(strings.closeness[i + 1])])],
    (value) => onChange({ closeness: Number(value) }));
  const collapseId = freshId("option");
  const collapse = el("input", { type: "checkbox", id: collapseId, onchange: () => onChange({ collapse: collapse.checked }) });
  const panelId = freshId("options");
  const panel = el("div", { class: "popover card", id: panelId, hidden: true },
    level.field, perArtist.field, closeness.field,
    el("div", { class: "check" }, collapse, el("label", { for: collapseId }, s.collapse)));
  const badge = el("span", { class: "count", hidden: true });
  const opener = button({ class: "quiet", "aria-expanded": "false", "aria-controls": panelId, onclick: () => open(panel.hidden) },
    s.button, badge, icon("down"));
  const node = el("div", {
    class: "popover-home",
    onkeydown: (event) => {
      if (event.key === "Escape" && !panel.hidden) {
        event.stopPropagation();
        open(false);
        opener.focus();
      }
    },
    onfocusout: (event) => {
      if (event.relatedTarget && !node.contains(event.relatedTarget)) open(false);
    },
  }, opener, panel);

  function open(wanted) {
    panel.hidden = !wanted;
    opener.setAttribute("aria-expanded", String(wanted));
  }

  node.show = (query) => {
    level.node.value = query.level;
    perArtist.node.value = String(query.perArtist);
    closeness.node.value = String(query.closeness);
    collapse.checked = query.collapse;
    const changed = ["level", "perArtist", "closeness", "collapse"].filter((name) => query[name] !== DEFAULTS[name]);
    badge.hidden = !changed.length;
    badge.textContent = String(changed.length);
  };
  return node;
}
