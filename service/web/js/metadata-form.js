// The fields of a track that a person may change, for one track or for many at once.

import { button, el, freshId, icon } from "./dom.js";
import { strings } from "./strings.js";

export const FIELDS = ["title", "artist", "album", "genre", "year", "licence", "attribution"];
const LIMITS = { title: 500, artist: 500, album: 500, genre: 200, year: 4, licence: 200, attribution: 1000 };

/** "2006" -> 2006; "" -> null; what is no year -> undefined. */
function yearOf(text) {
  if (!text) return null;
  return /^\d{1,4}$/.test(text) ? Number(text) : undefined;
}

function input(name, value) {
  const id = freshId("meta");
  const node = el("input", {
    type: "text", id, value: value ?? "", maxlength: LIMITS[name], inputmode: name === "year" ? "numeric" : null,
    autocomplete: "off",
  });
  return { id, node };
}

/** Read one field; undefined for what cannot be (and the input says so). */
function read(name, node) {
  const text = node.value.trim();
  const value = name === "year" ? yearOf(text) : text || null;
  node.setAttribute("aria-invalid", String(value === undefined));
  return value;
}

/** The form of one track; `read()` gives only what was changed, or null where something is wrong. */
export function trackForm(track) {
  const inputs = Object.fromEntries(FIELDS.map((name) => [name, input(name, track[name])]));
  const extra = extraRows(track.extra || {});
  const problem = el("p", { class: "field-error", role: "alert", hidden: true }, strings.edit.badYear);
  const node = el("div", { class: "meta-form" },
    FIELDS.map((name) => el("div", { class: "field" }, el("label", { for: inputs[name].id }, strings.fields[name]), inputs[name].node)),
    problem, extra.node);
  return {
    node,
    read() {
      const changes = {};
      for (const name of FIELDS) {
        const value = read(name, inputs[name].node);
        if (value === undefined) {
          problem.hidden = false;
          inputs[name].node.focus();
          return null;
        }
        if (value !== (track[name] ?? null)) changes[name] = value;
      }
      const own = extra.read();
      if (JSON.stringify(own) !== JSON.stringify(track.extra || {})) changes.extra = own;
      return changes;
    },
  };
}

/** The person's own keys: numbers, true and false keep their type, everything else is text. */
function extraRows(extra) {
  const list = el("div", { class: "extra-rows" });
  const add = (key, value) => {
    const name = el("input", { type: "text", value: key, maxlength: 100, "aria-label": strings.edit.extraKey });
    const content = el("input", {
      type: "text", value: typeof value === "string" ? value : JSON.stringify(value), maxlength: 2000,
      "aria-label": strings.edit.extraValue(key || "…"),
    });
    const row = el("div", { class: "extra-row" }, name, content,
      button({ class: "quiet", "aria-label": strings.edit.extraRemove(key || "…"), onclick: () => row.remove() }, icon("close")));
    row.read = () => [name.value.trim(), typed(content.value.trim(), value)];
    list.append(row);
    return name;
  };
  for (const [key, value] of Object.entries(extra)) add(key, value);
  return {
    node: el("fieldset", { class: "extra" }, el("legend", {}, strings.edit.extra), list,
      button({ class: "quiet", onclick: () => add("", "").focus() }, icon("plus"), strings.edit.extraAdd)),
    read: () => Object.fromEntries([...list.children].map((row) => row.read()).filter(([key]) => key)),
  };
}

function typed(text, before) {
  if (typeof before === "string" && before !== "" && text === before) return text;
  try {
    const value = JSON.parse(text);
    return typeof value === "string" ? text : value;
  } catch {
    return text;
  }
}

/** The form for many: only ticked fields change. `read()` as above. */
export function bulkForm() {
  const shown = FIELDS.filter((name) => name !== "title");
  const rows = shown.map((name) => {
    const { id, node } = input(name, "");
    const tick = el("input", {
      type: "checkbox", "aria-label": strings.edit.change(strings.fields[name]),
      onchange: () => {
        node.disabled = !tick.checked;
        if (tick.checked) node.focus();
      },
    });
    node.disabled = true;
    node.placeholder = strings.edit.unchanged;
    return { name, tick, node, row: el("div", { class: "bulk-row" }, tick, el("label", { for: id }, strings.fields[name]), node) };
  });
  const problem = el("p", { class: "field-error", role: "alert", hidden: true }, strings.edit.badYear);
  const node = el("div", { class: "bulk-form" }, rows.map((row) => row.row), problem);
  return {
    node,
    read() {
      const changes = {};
      for (const { name, tick, node: field } of rows) {
        if (!tick.checked) continue;
        const value = read(name, field);
        if (value === undefined) {
          problem.hidden = false;
          field.focus();
          return null;
        }
        changes[name] = value;
      }
      return changes;
    },
  };
}

