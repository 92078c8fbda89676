// What a view shows while it waits, when there is nothing, and when something went wrong.

import { ApiError } from "./api.js";
import { button, el, icon } from "./dom.js";
import { strings } from "./strings.js";

/** Grey shapes where rows will be; screen readers hear `strings.loading` from the view instead. */
export function ghosts(count, kind = "") {
  return el("ul", { class: "ghosts", "aria-hidden": "true" },
    Array.from({ length: count }, () => el("li", { class: `ghost ${kind}`.trim() })));
}

/** A friendly nothing: an icon, a heading, a sentence, and what can be done about it. */
export function blank(iconName, title, text, ...actions) {
  return el("div", { class: "blank" }, icon(iconName), el("h2", {}, title),
    text ? el("p", {}, text) : null,
    actions.length ? el("div", { class: "actions" }, ...actions) : null);
}

/** A failure where the content would be, with a way to try again. */
export function broken(failure, again) {
  const node = blank("warning", strings.states.broken, messageOf(failure),
    again ? button({ onclick: again }, icon("retry"), strings.retry) : null);
  node.setAttribute("role", "alert");
  return node;
}

/** The sentence for a failed call. */
export function messageOf(failure) {
  if (!(failure instanceof ApiError)) {
    // A fault of this page: for its makers in the console, in plain words here.
    console.error(failure);
    return strings.states.unexpected;
  }
  if (failure.status === 403) return strings.states.notAllowed;
  return failure.message;
}
