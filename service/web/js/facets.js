// What there is to choose among: values with their counts, and ranges, under the filter that holds.

import { get, withParams } from "./api.js";
import { button, el, freshId, icon, replace } from "./dom.js";
import { fieldName, filterJson, setRange, toggleValue, valueName } from "./filters.js";
import { clock, count, secondsOf } from "./format.js";
import { ghosts, messageOf } from "./states.js";
import { strings } from "./strings.js";

const FIRST_VALUES = 8;
const MORE_VALUES = 50;
const MOST_OWN_VALUES = 30;
const RANGES = new Set(["year", "duration_s"]);

/**
 * The panel. `fields()` resolves with the fields to show; `onChange(filters)` is called with the
 * new conditions. `show(filters)` draws it for these, `refresh()` counts anew.
 */
export function facetPanel(fields, onChange) {
  const bodyId = freshId("facets");
  const body = el("div", { class: "facets-body", id: bodyId });
  const badge = el("span", { class: "count", hidden: true });
  const opener = button({
    class: "facets-open", "aria-expanded": "false", "aria-controls": bodyId,
    onclick: () => {
      const open = node.classList.toggle("is-open");
      opener.setAttribute("aria-expanded", String(open));
    },
  }, icon("filter"), strings.filters.heading, badge);
  const node = el("aside", { class: "facets", "aria-label": strings.filters.heading }, opener, body);
  const long = new Set();
  let filters = {};
  let turn = 0;

  async function load() {
    turn += 1;
    const mine = turn;
    if (!body.firstChild) replace(body, ghosts(3));
    try {
      const names = await fields();
      const answer = await get(withParams("/facets", {
        fields: names.join(","),
        filter: filterJson(filters) && JSON.stringify(filterJson(filters)),
        limit: long.size ? MORE_VALUES : FIRST_VALUES,
      }));
      if (mine === turn) draw(answer.items);
    } catch (failure) {
      if (mine === turn) replace(body, el("p", { class: "hint" }, messageOf(failure)));
    }
  }

  function draw(items) {
    const active = body.contains(document.activeElement) ? document.activeElement : null;
    if (active?.type === "text" && active.value !== active.defaultValue) {
      // Somebody is typing a bound: new counts wait, unless the bound turns out to be wrong.
      active.addEventListener("blur", () => {
        if (!body.querySelector('[aria-invalid="true"]')) draw(items);
      }, { once: true });
      return;
    }
    const focused = active?.dataset.key;
    replace(body, items.filter(isTelling).map((item) => (RANGES.has(item.field) ? rangeFacet(item) : valueFacet(item))));
    if (focused) body.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }

  /** Of the user's own fields only those that group tracks: a checksum on each track does not. */
  function isTelling(item) {
    if (!item.field.startsWith("extra.") || filters[item.field]) return true;
    return item.distinct > 1 && item.distinct <= MOST_OWN_VALUES;
  }

  function valueFacet(item) {
    const { field } = item;
    const chosen = filters[field]?.in || [];
    const values = item.values.map((entry) => ({ value: entry.value, count: entry.count }));
    // A chosen value stays to be un-chosen, also where it has no track left or is not among the first.
    for (const value of chosen) {
      if (value !== null && !values.some((entry) => entry.value === value)) values.push({ value, count: 0 });
    }
    const shown = long.has(field) ? values
      : values.filter((entry, i) => i < FIRST_VALUES || chosen.includes(entry.value));
    if (!shown.length) return null;
    const hasMore = item.distinct > FIRST_VALUES;
    if (item.missing) shown.push({ value: null, count: item.missing });
    return el("fieldset", { class: "facet" }, el("legend", {}, fieldName(field)),
      shown.map((entry) => facetValue(field, entry, chosen.includes(entry.value))),
      hasMore ? button({
        class: "quiet", "data-key": `${field}/more`,
        onclick: () => {
          if (long.has(field)) long.delete(field);
          else long.add(field);
          load();
        },
      }, long.has(field) ? strings.filters.fewer : strings.filters.more) : null);
  }

  function facetValue(field, entry, checked) {
    const id = freshId("facet");
    return el("div", { class: "facet-value" },
      el("input", {
        type: "checkbox", id, checked, "data-key": `${field}/${JSON.stringify(entry.value)}`,
        onchange: () => onChange(toggleValue(filters, field, entry.value)),
      }),
      el("label", { for: id }, el("span", { class: "facet-name" }, valueName(entry.value)),
        el("span", { class: "facet-count number" }, count(entry.count))));
  }

  function rangeFacet(item) {
    const { field } = item;
    if (item.min === null || item.min === undefined) return null;
    const isTime = field === "duration_s";
    const shown = (value) => (value === undefined ? "" : isTime ? clock(value) : String(value));
    const parse = (text) => (isTime ? secondsOf(text) : /^\d+$/.test(text.trim()) ? Number(text) : null);
    const current = filters[field] || {};
    const inputs = ["gte", "lte"].map((end) => el("input", {
      type: "text", inputmode: isTime ? "text" : "numeric", value: shown(current[end]), maxlength: 8,
      placeholder: isTime ? clock(end === "gte" ? item.min : Math.ceil(item.max)) : String(end === "gte" ? item.min : item.max),
      "aria-label": strings.filters[end](fieldName(field)), "data-key": `${field}/${end}`,
      onchange: apply,
      onkeydown: (event) => { if (event.key === "Enter") apply(); },
    }));
    const problem = el("p", { class: "field-error", role: "alert", hidden: true }, isTime ? strings.filters.badTime : strings.filters.badYear);
    function apply() {
      const bounds = inputs.map((input) => (input.value.trim() ? parse(input.value) : undefined));
      inputs.forEach((input, i) => input.setAttribute("aria-invalid", String(bounds[i] === null)));
      problem.hidden = !bounds.includes(null);
      if (bounds.includes(null)) return;
      if (bounds[0] !== current.gte || bounds[1] !== current.lte) onChange(setRange(filters, field, bounds[0], bounds[1]));
    }
    return el("fieldset", { class: "facet" }, el("legend", {}, fieldName(field)),
      el("div", { class: "facet-range" }, inputs[0], el("span", { "aria-hidden": "true" }, "–"), inputs[1]), problem);
  }

  node.show = (next) => {
    filters = next;
    const active = Object.keys(next).length;
    badge.hidden = !active;
    badge.textContent = String(active);
    load();
  };
  node.refresh = load;
  return node;
}

/** "Genre: Rock or Jazz", "Year: 1990 – 2000". */
export function conditionLabel(field, condition) {
  const name = fieldName(field);
  if (condition.in) {
    const values = condition.in.map(valueName).join(strings.filters.or);
    return condition.not ? strings.filters.isNot(name, values) : strings.filters.is(name, values);
  }
  const shown = (value) => (value === undefined ? "" : field === "duration_s" ? clock(value) : String(value));
  return strings.filters.range(name, shown(condition.gte), shown(condition.lte));
}
