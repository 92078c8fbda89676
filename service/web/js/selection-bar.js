// What can be done with the chosen tracks; it appears when there are any.

import { button, el, icon, replace } from "./dom.js";
import { count } from "./format.js";
import { strings } from "./strings.js";

export function selectionBar({ onEdit, onDelete, onEverything, onClear }) {
  const text = el("span", { class: "selection-count" });
  const everything = button({ class: "quiet", onclick: onEverything });
  const node = el("div", { class: "selection-bar", role: "region", "aria-label": strings.selection.heading, hidden: true },
    text, everything,
    el("div", { class: "actions" },
      button({ class: "bulk-edit needs-write", onclick: onEdit }, icon("edit"), strings.edit.button),
      button({ class: "bulk-delete needs-write", onclick: onDelete }, icon("trash"), strings.remove),
      button({ class: "quiet", onclick: onClear }, strings.selection.clear)));
  node.show = ({ size, shown, total, everything: isAll }) => {
    node.hidden = size === 0;
    text.textContent = strings.selection.count(size, count(size));
    everything.hidden = isAll || size < shown || total <= shown;
    replace(everything, strings.selection.everything(count(total)));
  };
  return node;
}
