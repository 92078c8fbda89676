// Keys that work anywhere outside of text fields, and the dialog that lists them.
//
// Single letters can get in the way of speech input, so they can be switched off in the dialog.

import { undoLatest } from "./deletions.js";
import { openDialog } from "./dialogs.js";
import { el, freshId } from "./dom.js";
import { nudge, toggle } from "./player.js";
import { strings } from "./strings.js";

const OFF = "muquery.shortcuts-off";
const NUDGE_S = 5;
const GO_PAUSE_MS = 1500;
const PLACES = { s: "search", l: "library", a: "activity", t: "tags", m: "system" };

const isOff = () => window.localStorage.getItem(OFF) === "yes";

function isTyping(target) {
  return target.matches("textarea, select, [contenteditable], input:not([type=checkbox], [type=radio], [type=range], [type=file])");
}

/** `view()` gives the shown view ({rows?, focusBox?}); `go(name)` shows another one. */
export function startShortcuts({ view, go }) {
  let goUntil = 0;

  const rows = () => (view().rows ? view().rows() : [...document.querySelectorAll(".tracks tbody tr")]);
  const currentRow = () => rows().find((row) => row.contains(document.activeElement)) || null;

  function step(by) {
    const all = rows();
    if (!all.length) return;
    const here = all.indexOf(currentRow());
    const next = here < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, here + by));
    all[next].focus();
    all[next].scrollIntoView({ block: "nearest" });
  }

  const press = (row, selector) => row?.querySelector(selector)?.click();

  const acts = {
    "/": () => {
      if (view().focusBox) view().focusBox();
      else go("search");
    },
    "?": openHelp,
    j: () => step(1),
    k: () => step(-1),
    p: () => (currentRow()?.act?.play ?? toggle)(),
    o: () => press(currentRow(), "h3 a, th a"),
    m: () => press(currentRow(), ".more-like"),
    n: () => press(currentRow(), ".less-like"),
    w: () => currentRow()?.act?.why?.(),
    x: () => currentRow()?.act?.select?.(),
    u: () => undoLatest(),
    g: () => { goUntil = Date.now() + GO_PAUSE_MS; },
    "[": () => nudge(-NUDGE_S),
    "]": () => nudge(NUDGE_S),
  };

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]") || isTyping(event.target)) return;
    if (event.key === " ") {
      const free = event.target === document.body || event.target.id === "main" || event.target.matches(".hit, tr");
      if (!free) return;
      event.preventDefault();
      (event.target.act?.play ?? toggle)();
      return;
    }
    if (event.key === "Enter" && event.target.matches(".hit, tr")) {
      press(event.target, "h3 a, th a");
      return;
    }
    if (isOff() && event.key !== "?") return;
    if (goUntil > Date.now() && PLACES[event.key]) {
      goUntil = 0;
      event.preventDefault();
      go(PLACES[event.key]);
      return;
    }
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}

export function openHelp() {
  const id = freshId("keys");
  const off = el("input", {
    type: "checkbox", id, checked: !isOff(),
    onchange: () => {
      if (off.checked) window.localStorage.removeItem(OFF);
      else window.localStorage.setItem(OFF, "yes");
    },
  });
  return openDialog(strings.help.heading, () => ({
    body: [
      ...strings.help.groups.map(([name, keys]) => el("section", {}, el("h3", {}, name),
        el("dl", { class: "shortcuts" }, keys.map(([combination, what]) => [
          el("dt", {}, combination.map((key, i) => [i ? " " : "", el("kbd", {}, key)])), el("dd", {}, what)])))),
      el("div", { class: "check" }, off, el("label", { for: id }, strings.help.letters)),
    ],
  }));
}
