// Who analyses what is uploaded, and a notice while nobody does.

import { get } from "./api.js";
import { el, replace } from "./dom.js";
import { dateTime } from "./format.js";
import { strings } from "./strings.js";

const s = strings.workers;
const POLL_MS = 10000;
const PROCESS = /^(.*?):(\d+):/;

/** The workers of all processes, as a table; what ails one stands beneath its name. */
export function workersTable({ items, problem }) {
  return el("div", {},
    problem ? el("p", { class: "warning" }, sentence(problem)) : null,
    items.length ? el("div", { class: "table-frame", tabindex: "0", role: "region", "aria-label": s.heading },
      el("table", { class: "plain-table workers" }, el("caption", { class: "visually-hidden" }, s.heading),
        el("thead", {}, el("tr", {}, s.columns.map((name) => el("th", { scope: "col" }, name)))),
        el("tbody", {}, items.map(row)))) : null);
}

function row(worker) {
  const [, host, process] = PROCESS.exec(worker.id) || [null, worker.host, ""];
  return el("tr", {},
    el("th", { scope: "row", title: worker.id }, s.name(host, process),
      worker.problem ? el("p", { class: "warning" }, worker.problem) : null),
    el("td", {}, s.roles[worker.role]),
    el("td", {}, el("span", { class: `state ${worker.state === "silent" ? "failed" : worker.state}` },
      worker.job_id ? s.busy : s.states[worker.state])),
    el("td", { class: "number" }, dateTime(worker.seen_at)));
}

/** In our words where we have some, else in the service's. */
const sentence = (problem) => s.problems[problem.code] || problem.message;

/** A sentence above a list of jobs while nobody is there to do them; it looks by itself. */
export function workersNotice() {
  const node = el("div", { role: "status" });
  let timer = 0;
  let closed = false;

  async function look() {
    window.clearTimeout(timer);
    try {
      const { problem } = await get("/workers");
      const text = problem ? sentence(problem) : "";
      if (!closed && node.textContent !== text) replace(node, text ? el("p", { class: "warning" }, text) : null);
    } catch {
      // The view's own calls say what is wrong with the service; this only adds to them.
    }
    if (!closed) timer = window.setTimeout(look, POLL_MS);
  }

  look();
  return {
    node,
    look,
    close() {
      closed = true;
      window.clearTimeout(timer);
    },
  };
}
