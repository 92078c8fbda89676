// Jobs: what is being analysed, what waits, what failed and why.

import { get, post } from "./api.js";
import { el, replace } from "./dom.js";
import { strings } from "./strings.js";

const OPEN = ["running", "queued", "failed"];

export function showActivity(main, { reportError }) {
  const list = el("ul", { class: "jobs" });
  const status = el("p", { class: "status" });
  replace(main, el("h1", {}, strings.activity), status, list);
  const nodes = new Map();

  function draw(job) {
    const node = el("li", { class: `job ${job.state}` },
      el("div", { class: "job-what" },
        el("strong", {}, job.track_title || strings.untitled),
        el("span", { class: `state ${job.state}` }, strings.jobState[job.state]),
        job.error_message ? el("p", { class: "hint" }, job.error_message) : null),
      job.state === "running" ? el("progress", { max: 1, value: job.progress, "aria-label": job.track_title }) : null,
      job.state === "failed" ? button(strings.retry, () => post(`/jobs/${job.id}/retry`)) : null,
      job.state === "queued" || job.state === "running"
        ? button(strings.cancel, () => post(`/jobs/${job.id}/cancel`)) : null);
    if (nodes.has(job.id)) nodes.get(job.id).replaceWith(node);
    else list.append(node);
    nodes.set(job.id, node);
  }

  function button(label, act) {
    return el("button", {
      type: "button",
      class: "button",
      onclick: () => act().then(load).catch((failure) => reportError(failure)),
    }, label);
  }

  async function load() {
    try {
      const pages = await Promise.all(OPEN.map((state) => get(`/jobs?state=${state}&limit=50`)));
      nodes.clear();
      list.replaceChildren();
      for (const page of pages) page.items.forEach(draw);
      status.textContent = nodes.size ? "" : strings.activityEmpty;
    } catch (failure) {
      reportError(failure, load);
    }
  }

  load();
  const onJob = (event) => {
    const job = event.detail;
    if (OPEN.includes(job.state)) draw(job);
    else if (nodes.has(job.id)) {
      nodes.get(job.id).remove();
      nodes.delete(job.id);
    }
    status.textContent = nodes.size ? "" : strings.activityEmpty;
  };
  document.addEventListener("muquery:job", onJob);
  document.addEventListener("muquery:reconnected", load);
  return () => {
    document.removeEventListener("muquery:job", onJob);
    document.removeEventListener("muquery:reconnected", load);
  };
}
