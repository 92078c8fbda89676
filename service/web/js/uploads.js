// Adding music: per file its progress, its reason when it fails, and a way to try again.

import { at, get, post, upload } from "./api.js";
import { announce, button, el, icon, replace } from "./dom.js";
import { strings } from "./strings.js";

const AT_ONCE = 2;
const BUSY_PAUSE_S = 5;
const waiting = [];
const byJob = new Map();
const all = new Set();
let active = 0;
let summing = false;

function panel() {
  const section = document.getElementById("uploads");
  if (!section.firstChild) {
    section.setAttribute("aria-label", strings.uploads.heading);
    replace(section,
      el("div", { class: "uploads-head" }, el("h2", {}, strings.uploads.heading),
        el("span", { class: "hint uploads-sum" }),
        button({ class: "quiet", "aria-label": strings.dismiss, onclick: closePanel }, icon("close"))),
      el("ul", { class: "upload-list" }));
  }
  section.hidden = false;
  return section.querySelector("ul");
}

/** Hide the panel; files that are done leave the list, the others go on. */
function closePanel() {
  for (const item of [...all]) if (!item.isOpen()) item.forget();
  document.getElementById("uploads").hidden = true;
}

/** Count at most once a picture: thousands of files may be on their way. */
function sumUp() {
  if (summing) return;
  summing = true;
  window.requestAnimationFrame(drawSum);
}

function drawSum() {
  summing = false;
  const items = [...all];
  const done = items.filter((item) => item.kind === "done").length;
  const bad = items.filter((item) => item.kind === "failed").length;
  document.querySelector(".uploads-sum").textContent = strings.uploads.sum(done, items.length, bad);
}

/** One file on its way. */
class Item {
  constructor(file) {
    this.file = file;
    this.kind = "";
    this.stop = null;
    this.text = el("span", { class: "upload-state" });
    this.bar = el("progress", { max: 1, value: 0, "aria-label": file.name });
    this.tools = el("span", { class: "actions" });
    this.node = el("li", {}, el("span", { class: "upload-name", title: file.name }, file.name), this.bar,
      el("div", { class: "upload-foot" }, this.text, this.tools));
    all.add(this);
  }

  isOpen() {
    return this.kind === "" || this.kind === "running";
  }

  say(sentence, fraction, kind = "running", ...tools) {
    this.text.textContent = sentence;
    this.bar.value = fraction;
    this.bar.hidden = kind === "done" || kind === "failed";
    this.kind = kind;
    this.node.className = kind;
    // Progress comes often: a button that stays keeps its focus.
    if (tools.length !== 1 || this.tools.firstChild !== tools[0]) replace(this.tools, tools);
    sumUp();
  }

  fail(sentence, again) {
    this.say(sentence, 0, "failed",
      again ? button({ class: "quiet", "aria-label": strings.uploads.retryOf(this.file.name), onclick: again },
        icon("retry"), strings.retry) : null);
    announce(`${this.file.name}: ${sentence}`);
  }

  forget() {
    all.delete(this);
    this.node.remove();
  }
}

export function addFiles(files) {
  const list = panel();
  for (const file of files) {
    const item = new Item(file);
    list.prepend(item.node);
    enqueue(item);
  }
}

function enqueue(item) {
  waiting.push(item);
  item.say(strings.uploads.waiting, 0, "", cancelButton(item, () => {
    waiting.splice(waiting.indexOf(item), 1);
    item.forget();
    sumUp();
  }));
  pump();
}

function cancelButton(item, onCancel) {
  return button({ class: "quiet", "aria-label": strings.uploads.cancelOf(item.file.name), onclick: onCancel },
    strings.cancel);
}

function pump() {
  while (active < AT_ONCE && waiting.length) {
    active += 1;
    send(waiting.shift()).finally(() => {
      active -= 1;
      pump();
    });
  }
}

async function send(item) {
  const stop = new AbortController();
  const cancel = cancelButton(item, () => stop.abort());
  item.say(strings.uploads.uploading(0), 0, "running", cancel);
  try {
    const result = await upload(item.file, (fraction) => {
      item.say(strings.uploads.uploading(Math.floor(fraction * 100)), fraction / 2, "running", cancel);
    }, stop.signal);
    if (!result.job) {
      item.say(strings.uploads.duplicate, 1, "done", openLink(result.track.id));
      return;
    }
    item.say(strings.uploads.queued, 0.5);
    byJob.set(result.job.id, item);
    // The job may have ended between the answer and the next event.
    showJob(await get(at("jobs", result.job.id)));
  } catch (failure) {
    if (failure.name === "AbortError") item.fail(strings.uploads.cancelled, () => enqueue(item));
    else if (failure.status === 429 || failure.status === 503) await sendLater(item, failure, stop.signal);
    else item.fail(failure.message, () => enqueue(item));
  }
}

/** The service is busy: wait as long as it asks, then go on, unless cancelled meanwhile. */
async function sendLater(item, failure, signal) {
  item.say(strings.waiting(failure.message), 0, "running", cancelButton(item, () => {
    item.fail(strings.uploads.cancelled, () => enqueue(item));
  }));
  await new Promise((go) => window.setTimeout(go, (failure.retryAfterS || BUSY_PAUSE_S) * 1000));
  if (item.kind === "running" && !signal.aborted) enqueue(item);
}

function openLink(trackId) {
  return el("a", { class: "button quiet", href: `#/track/${encodeURIComponent(trackId)}` }, strings.open);
}

/** Take in a job's new state from the event stream. */
export function showJob(job) {
  const item = byJob.get(job.id);
  if (!item) return;
  if (job.state === "done") {
    item.say(strings.uploads.ready, 1, "done", openLink(job.track_id));
    byJob.delete(job.id);
  } else if (job.state === "failed" || job.state === "cancelled") {
    byJob.delete(job.id);
    item.fail(job.error_message || strings.jobState[job.state], () => retryJob(item, job));
  } else if (job.state === "running") {
    item.say(strings.uploads.analysing(Math.floor(job.progress * 100)), 0.5 + job.progress / 2);
  }
}

async function retryJob(item, job) {
  try {
    byJob.set(job.id, item);
    item.say(strings.uploads.queued, 0.5);
    showJob(await post(`${at("jobs", job.id)}/retry`));
  } catch (failure) {
    byJob.delete(job.id);
    item.fail(failure.message, () => retryJob(item, job));
  }
}

/** Ask after every job that is still shown as open: events are not replayed after a break. */
export async function askAfterJobs() {
  for (const id of [...byJob.keys()]) {
    try {
      showJob(await get(at("jobs", id)));
    } catch {
      // The next event or the next reconnection tells.
    }
  }
}

// A file whose bytes are still here would be lost with the page: the browser asks first.
window.addEventListener("beforeunload", (event) => {
  if (active || waiting.length) event.preventDefault();
});
