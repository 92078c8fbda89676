// Adding music: from the picker or by dropping files, with live progress until each can be found.

import { get, upload } from "./api.js";
import { announce, el, icon, replace } from "./dom.js";
import { strings } from "./strings.js";

const AT_ONCE = 2;
const waiting = [];
const byJob = new Map();
let active = 0;

function panel() {
  const section = document.getElementById("uploads");
  if (!section.firstChild) {
    replace(section,
      el("div", { class: "uploads-head" }, el("h2", {}, strings.uploads),
        el("button", {
          type: "button",
          class: "button quiet",
          "aria-label": strings.dismiss,
          onclick: () => { section.hidden = true; },
        }, icon("close"))),
      el("ul", { class: "upload-list" }));
  }
  section.hidden = false;
  return section.querySelector("ul");
}

function uploadRow(file) {
  const text = el("span", { class: "upload-state" }, strings.queued);
  const bar = el("progress", { max: 1, value: 0, "aria-label": file.name });
  const node = el("li", {}, el("span", { class: "upload-name" }, file.name), bar, text);
  return {
    node,
    say(sentence, fraction, kind = "") {
      text.textContent = sentence;
      bar.value = fraction;
      node.className = kind;
    },
  };
}

export function addFiles(files) {
  const list = panel();
  for (const file of files) {
    const row = uploadRow(file);
    list.prepend(row.node);
    waiting.push({ file, row });
  }
  pump();
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

async function send({ file, row }) {
  try {
    const result = await upload(file, (fraction) => {
      row.say(strings.uploading(Math.floor(fraction * 100)), fraction / 2);
    });
    if (!result.job) {
      row.say(strings.duplicate, 1, "done");
      return;
    }
    row.say(strings.queued, 0.5);
    byJob.set(result.job.id, row);
    // The job may have ended between the answer and the next event.
    showJob(await get(`/jobs/${result.job.id}`));
  } catch (failure) {
    row.say(failure.message, 0, "failed");
    announce(`${file.name}: ${failure.message}`);
  }
}

/** Take in a job's new state from the event stream. */
export function showJob(job) {
  const row = byJob.get(job.id);
  if (!row) return;
  if (job.state === "done") {
    row.say(strings.ready, 1, "done");
    byJob.delete(job.id);
  } else if (job.state === "failed" || job.state === "cancelled") {
    row.say(job.error_message || strings.jobState[job.state], 1, "failed");
    byJob.delete(job.id);
  } else if (job.state === "running") {
    row.say(strings.analysing(Math.floor(job.progress * 100)), 0.5 + job.progress / 2);
  }
}

/** Ask after every job that is still shown as open: events are not replayed after a break. */
export async function askAfterJobs() {
  for (const id of byJob.keys()) {
    try {
      showJob(await get(`/jobs/${id}`));
    } catch {
      // The next event or the next reconnection tells.
    }
  }
}

/** Make the whole window a place to drop files. */
export function acceptDrops() {
  const veil = document.getElementById("drop-veil");
  let depth = 0;
  const carriesFiles = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
  window.addEventListener("dragenter", (event) => {
    if (!carriesFiles(event)) return;
    depth += 1;
    veil.hidden = false;
  });
  window.addEventListener("dragleave", () => {
    depth = Math.max(0, depth - 1);
    if (!depth) veil.hidden = true;
  });
  window.addEventListener("dragover", (event) => { if (carriesFiles(event)) event.preventDefault(); });
  window.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    depth = 0;
    veil.hidden = true;
    addFiles(event.dataTransfer.files);
  });
}
