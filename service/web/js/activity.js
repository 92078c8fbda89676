// What is being analysed: batches with the time that they still take, single jobs, failures with reasons.

import { at, get, post } from "./api.js";
import { batchSection } from "./batches.js";
import { button, el, icon, replace } from "./dom.js";
import { dateTime } from "./format.js";
import { trackAddress } from "./hit.js";
import { blank, broken, ghosts } from "./states.js";
import { strings } from "./strings.js";
import { workersNotice } from "./workers.js";

const OPEN = ["running", "queued", "failed"];
const PAGE = 50;

export function showActivity(main, tools) {
  const list = el("ul", { class: "jobs" });
  const status = el("p", { class: "status" });
  const nothing = el("div", {});
  const foot = el("div", { class: "more" });
  const retryAll = button({ hidden: true, onclick: retryFailed }, icon("retry"), strings.activity.retryAll);
  const head = el("div", { class: "section-head", hidden: true }, el("h2", {}, strings.activity.jobs), retryAll);
  const batches = batchSection(tools, () => drawStatus());
  const notice = workersNotice();
  main.replaceChildren(el("h1", {}, strings.activity.heading), notice.node, batches.node,
    head, status, list, foot, nothing);
  const jobs = new Map();
  let counts = {};

  const jobName = (job) => job.track_title || strings.jobKind[job.kind] || strings.untitled;

  function row(job) {
    return el("li", { class: `job ${job.state}` },
      el("div", { class: "job-what" },
        job.track_id ? el("a", { href: trackAddress(job.track_id) }, el("strong", {}, jobName(job))) : el("strong", {}, jobName(job)),
        el("span", { class: `state ${job.state}` }, strings.jobState[job.state]),
        el("p", { class: "hint" }, job.error_message
          ? strings.activity.failedAfter(job.error_message, job.attempts)
          : strings.activity.since(dateTime(job.started_at || job.created_at)))),
      job.state === "running" ? el("progress", { max: 1, value: job.progress, "aria-label": jobName(job) }) : null,
      job.state === "failed" ? act(strings.retry, job, "retry") : null,
      job.state === "queued" || job.state === "running" ? act(strings.cancel, job, "cancel") : null);
  }

  function act(label, job, name) {
    return button({
      "aria-label": `${label}: ${jobName(job)}`,
      onclick: () => post(`${at("jobs", job.id)}/${name}`).then(take).catch((failure) => tools.reportError(failure)),
    }, label);
  }

  function drawOne(job) {
    const node = row(job);
    const before = jobs.get(job.id);
    if (before && before.contains(document.activeElement)) window.setTimeout(() => node.querySelector("button, a")?.focus());
    if (before) before.replaceWith(node);
    else list.append(node);
    jobs.set(job.id, node);
  }

  function take(job) {
    if (OPEN.includes(job.state)) drawOne(job);
    else if (jobs.has(job.id)) {
      jobs.get(job.id).remove();
      jobs.delete(job.id);
    }
    drawStatus();
  }

  function drawStatus() {
    const failed = list.querySelectorAll(".job.failed").length;
    retryAll.hidden = failed < 2;
    head.hidden = !jobs.size;
    status.textContent = jobs.size ? strings.activity.counts(counts) : "";
    replace(nothing, jobs.size || !batches.isEmpty() ? null : blank("check", strings.activity.empty, strings.activity.emptyHelp));
  }

  async function retryFailed() {
    try {
      let page = await get(`/jobs?state=failed&limit=${PAGE}`);
      while (page.items.length) {
        for (const job of page.items) take(await post(`${at("jobs", job.id)}/retry`));
        if (!page.next_cursor) return;
        page = await get(`/jobs?state=failed&limit=${PAGE}`);
      }
    } catch (failure) {
      tools.reportError(failure);
    }
  }

  async function load() {
    if (!jobs.size) replace(nothing, ghosts(2, "row"));
    try {
      const pages = await Promise.all(OPEN.map((state) => get(`/jobs?state=${state}&limit=${PAGE}`)));
      counts = pages[0].counts;
      jobs.clear();
      list.replaceChildren();
      for (const page of pages) page.items.forEach(drawOne);
      const hidden = pages.reduce((sum, page) => sum + page.total - page.items.length, 0);
      replace(foot, hidden > 0 ? el("p", { class: "hint" }, strings.activity.hidden(hidden)) : null);
      drawStatus();
    } catch (failure) {
      if ([401, 429, 503].includes(failure.status)) tools.reportError(failure, load);
      else replace(nothing, broken(failure, load));
    }
  }

  const onJob = (event) => take(event.detail);
  const again = () => {
    load();
    batches.load();
    notice.look();
  };
  document.addEventListener("muquery:job", onJob);
  document.addEventListener("muquery:reconnected", again);
  again();
  return {
    close() {
      batches.close();
      notice.close();
      document.removeEventListener("muquery:job", onJob);
      document.removeEventListener("muquery:reconnected", again);
    },
  };
}
