// Dialogs, on the browser's own <dialog>: it keeps the focus inside and Escape closes it.

import { button, el, freshId, icon } from "./dom.js";
import { strings } from "./strings.js";

/**
 * Open a dialog; resolves with what `close(value)` was given, or null when it was dismissed.
 * `build(close)` gives {body, foot}: what stands in it, and its buttons.
 */
export function openDialog(title, build) {
  return new Promise((resolve) => {
    const id = freshId("dialog");
    let answer = null;
    const node = el("dialog", { "aria-labelledby": id });
    const close = (value = null) => {
      answer = value;
      node.close();
    };
    const { body, foot = [] } = build(close);
    node.append(
      el("div", { class: "dialog-head" }, el("h2", { id }, title),
        button({ class: "quiet", "aria-label": strings.dismiss, onclick: () => close() },
          icon("close"))),
      el("div", { class: "dialog-body" }, body),
      foot.length ? el("div", { class: "dialog-foot" }, foot) : "");
    node.addEventListener("close", () => {
      node.remove();
      resolve(answer);
    });
    node.addEventListener("click", (event) => { if (event.target === node) close(); });
    document.body.append(node);
    node.showModal();
  });
}

/** Ask before something that cannot be undone; resolves with true or null. */
export function confirmDialog(title, text, action, kind = "danger") {
  return openDialog(title, (close) => ({
    body: el("p", {}, text),
    foot: [
      button({ onclick: () => close() }, strings.leave),
      button({ class: kind, onclick: () => close(true) }, action),
    ],
  }));
}
