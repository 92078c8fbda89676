// The filters that hold, as chips that take them away.

import { clearAllButton, filterChip } from "./chips.js";
import { el, replace } from "./dom.js";
import { conditionLabel } from "./facets.js";
import { strings } from "./strings.js";

/** The list; `show(filters)` draws it, `onChange(filters)` is called when one is taken away. */
export function activeFilters(onChange) {
  const list = el("ul", { class: "chips", "aria-label": strings.filters.active });
  const node = el("div", { class: "active-filters", hidden: true }, list);
  const clear = clearAllButton(() => onChange({}));
  node.append(clear);
  node.show = (filters) => {
    const entries = Object.entries(filters);
    node.hidden = !entries.length;
    clear.hidden = entries.length < 2;
    replace(list, entries.map(([field, condition]) => filterChip(conditionLabel(field, condition), () => {
      const { [field]: _, ...others } = filters;
      onChange(others);
    })));
  };
  return node;
}
