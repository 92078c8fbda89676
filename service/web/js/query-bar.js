// Where a query is put together: the box, what can be done with its text, chips, mode, options.

import { chipList } from "./chips.js";
import { clipOf, keepClip } from "./clips.js";
import { button, el, freshId, icon } from "./dom.js";
import { MODES, clampWeight, isAsking, sameThing, withPart } from "./query.js";
import { optionsButton } from "./search-options.js";
import { strings } from "./strings.js";

/** Radio buttons that look like a switch; `node.choose(value)` shows another choice. */
export function segments(legend, choices, chosen, onChoose) {
  const name = freshId("choice");
  const node = el("fieldset", { class: "segments" },
    el("legend", { class: "visually-hidden" }, legend),
    choices.map(([value, label, title]) => el("label", { title },
      el("input", {
        type: "radio", name, value, checked: value === chosen,
        onchange: () => onChoose(value),
      }), el("span", {}, label))));
  node.choose = (value) => {
    for (const input of node.querySelectorAll("input")) input.checked = input.value === value;
  };
  return node;
}

/**
 * The bar. `onChange(query, typing)` is called with the new query; `typing` says that more letters
 * may follow. `show(query)` draws another query; `addClip(file)` adds a clip.
 */
export function queryBar(onChange) {
  let query;
  const change = (next, typing = false) => {
    query = next;
    draw();
    onChange(next, typing);
  };
  const input = el("input", {
    type: "search", id: "q", class: "search-input", placeholder: strings.search.placeholder,
    autocomplete: "off", spellcheck: "false", maxlength: 1000, "aria-describedby": "search-help",
    enterkeyhint: "search",
    oninput: () => change({ ...query, text: input.value }, true),
    onkeydown: onBoxKey,
  });
  const picker = el("input", {
    type: "file", accept: "audio/*", hidden: true, id: "clip-picker", tabindex: "-1", "aria-hidden": "true",
    onchange: () => {
      if (picker.files[0]) bar.addClip(picker.files[0]);
      picker.value = "";
    },
  });
  const clear = el("button", {
    type: "button", class: "box-clear", "aria-label": strings.search.clear,
    onclick: () => {
      change({ ...query, text: "" });
      input.focus();
    },
  }, icon("close"));
  const and = button({ class: "quiet", title: strings.search.andHelp, onclick: () => keepText(1) },
    icon("plus"), strings.search.and);
  const not = button({ class: "quiet", title: strings.search.notHelp, onclick: () => keepText(-1) },
    icon("not"), strings.search.not);
  const withClip = button({ class: "quiet", title: strings.search.clipHelp, onclick: () => picker.click() },
    icon("clip"), strings.search.clip);
  const mode = segments(strings.search.mode,
    MODES.map((name) => [name, strings.search.modes[name], strings.search.modeHelp[name]]),
    "both", (value) => change({ ...query, mode: value }));
  const options = optionsButton((changes) => change({ ...query, ...changes }));
  const chips = chipList({
    weigh: (part, weight) => change({
      ...query,
      parts: query.parts.map((other) => (sameThing(other, part) ? { ...other, weight: clampWeight(weight) } : other)),
    }, true),
    edit: (part) => {
      change({ ...query, text: part.text, parts: query.parts.filter((other) => !sameThing(other, part)) });
      input.focus();
    },
    remove: (part) => {
      change({ ...query, parts: query.parts.filter((other) => !sameThing(other, part)) });
      input.focus();
    },
  });

  function onBoxKey(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey || event.altKey)) {
      event.preventDefault();
      keepText(event.altKey ? -1 : 1);
    } else if (event.key === "Backspace" && !input.value && query.parts.length) {
      event.preventDefault();
      chips.focusLast();
    } else if (event.key === "Escape" && input.value) {
      event.preventDefault();
      change({ ...query, text: "" });
    }
  }

  function keepText(weight) {
    const text = query.text.trim();
    if (text) change({ ...withPart(query, { kind: "text", weight, text }), text: "" });
    input.focus();
  }

  function draw() {
    if (input.value.trim() !== query.text.trim() || !query.text) input.value = query.text;
    const hasText = Boolean(query.text.trim());
    clear.hidden = !hasText;
    and.disabled = !hasText;
    not.disabled = !hasText;
    bar.classList.toggle("is-asking", isAsking(query));
    mode.choose(query.mode);
    options.show(query);
    chips.show(query.parts);
  }

  const bar = el("form", {
    class: "search", role: "search",
    onsubmit: (event) => {
      event.preventDefault();
      onChange(query, false);
    },
  },
  el("label", { for: "q" }, strings.search.label),
  el("div", { class: "search-box" }, icon("search"), input, clear),
  el("div", { class: "search-tools" },
    el("div", { class: "actions" }, and, not, withClip, picker),
    el("div", { class: "actions" }, mode, options)),
  chips,
  el("p", { id: "search-help", class: "hint" }, strings.search.help));
  bar.show = (next) => {
    query = next;
    draw();
  };
  bar.addClip = (file) => {
    // Choosing a file again brings a lost clip back, with the weight that it had.
    const isLost = (part) => part.kind === "clip" && part.name === file.name && !clipOf(part.key);
    const weight = query.parts.find(isLost)?.weight ?? 1;
    const others = { ...query, parts: query.parts.filter((part) => !isLost(part)) };
    change(withPart(others, { kind: "clip", weight, key: keepClip(file), name: file.name }));
  };
  bar.focusBox = () => input.focus();
  return bar;
}
