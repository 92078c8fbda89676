// Short messages at the foot of the page, with one thing that can be done about them.

import { announce, button, el, icon, replace } from "./dom.js";
import { strings } from "./strings.js";

const SHORT_MS = 6000;

/**
 * Show a message; returns a function that takes it away.
 *
 * It goes by itself after `lastsMs`, but waits while it is pointed at or focused: nobody has to be
 * quick. `onGone` is called exactly once, unless the action was taken.
 */
export function toast(text, { action, onAction, lastsMs = SHORT_MS, bad = false, onGone } = {}) {
  let remainingMs = lastsMs;
  let since = 0;
  let timer = 0;
  let done = false;
  const node = el("div", { class: bad ? "toast bad" : "toast" });
  const sentence = el("span", {}, text);

  function end(callback) {
    if (done) return;
    done = true;
    window.clearTimeout(timer);
    node.remove();
    if (callback) callback();
  }
  const run = () => {
    if (done || timer) return;
    since = Date.now();
    timer = window.setTimeout(() => end(onGone), remainingMs);
  };
  const wait = () => {
    if (!timer) return;
    window.clearTimeout(timer);
    timer = 0;
    remainingMs = Math.max(1500, remainingMs - (Date.now() - since));
  };
  const isHeld = () => node.matches(":hover") || node.contains(document.activeElement);

  replace(node, sentence,
    action ? button({ class: "toast-action", onclick: () => end(onAction) }, action) : null,
    button({ class: "round small", "aria-label": strings.dismiss, onclick: () => end(onGone) },
      icon("close")));
  node.addEventListener("pointerenter", wait);
  node.addEventListener("pointerleave", () => { if (!isHeld()) run(); });
  node.addEventListener("focusin", wait);
  node.addEventListener("focusout", () => window.setTimeout(() => { if (!isHeld()) run(); }));
  const region = document.getElementById("toasts");
  region.setAttribute("aria-label", strings.messages);
  region.append(node);
  announce(text);
  run();
  return {
    end: () => end(onGone),
    undo: () => end(onAction),
    say: (changed) => { sentence.textContent = changed; },
  };
}
