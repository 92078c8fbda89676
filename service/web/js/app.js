// Start: views by address, errors in one place, events from the service.

import { showAbout } from "./about.js";
import { showActivity } from "./activity.js";
import { get, listen, storeKey } from "./api.js";
import { announce, el } from "./dom.js";
import { showLibrary } from "./library.js";
import { showSearch } from "./search.js";
import { strings } from "./strings.js";
import { showTrack } from "./track.js";
import { acceptDrops, addFiles, askAfterJobs, showJob } from "./uploads.js";
import { toggle } from "./player.js";

const RETRY_AFTER_MS = 2000;
const main = document.getElementById("main");
let takeDown = () => {};
let retryTimer = 0;

const tools = {
  go: (address) => {
    if (window.location.hash === address) show();
    else window.location.hash = address;
  },
  reportError,
};

function show() {
  takeDown();
  window.clearTimeout(retryTimer);
  const [, view = "", argument = ""] = window.location.hash.split("/");
  const views = { "": showSearch, library: showLibrary, activity: showActivity, about: showAbout };
  const name = view === "track" ? "library" : view || "search";
  for (const link of document.querySelectorAll(".views a")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  takeDown = view === "track"
    ? showTrack(main, tools, decodeURIComponent(argument))
    : (views[view] || showSearch)(main, tools);
}

/** Tell the person what went wrong; where it makes sense, try again by itself. */
function reportError(failure, again) {
  document.querySelector(".notice.error.floating")?.remove();
  if (failure.status === 401) {
    askForKey();
    return;
  }
  const loading = failure.status === 503 && again;
  const text = loading ? strings.starting : `${strings.errorPrefix}${failure.message}`;
  const notice = el("p", { class: "notice error floating", role: "alert" }, text);
  main.prepend(notice);
  if (loading) {
    const pauseMs = (failure.retryAfterS || RETRY_AFTER_MS / 1000) * 1000;
    retryTimer = window.setTimeout(() => {
      notice.remove();
      again();
    }, pauseMs);
  } else if (failure.status) {
    window.setTimeout(() => notice.remove(), 8000);
  }
}

function askForKey() {
  const input = el("input", { type: "password", id: "key", autocomplete: "off", required: true });
  main.replaceChildren(el("form", {
    class: "key-form",
    onsubmit: (event) => {
      event.preventDefault();
      storeKey(input.value.trim());
      window.location.reload();
    },
  },
  el("h1", {}, strings.keyTitle), el("p", {}, strings.keyHelp),
  el("label", { for: "key" }, strings.keyLabel), input,
  el("button", { type: "submit", class: "button primary" }, strings.keySave)));
  input.focus();
}

async function countJobs() {
  try {
    const page = await get("/jobs?limit=1");
    const open = (page.counts.queued || 0) + (page.counts.running || 0);
    const badge = document.getElementById("activity-count");
    badge.hidden = open === 0;
    badge.textContent = String(open);
  } catch {
    // The badge is an extra; the views report what goes wrong.
  }
}

let counting = 0;
listen((type, data) => {
  if (type === "hello") {
    countJobs();
    askAfterJobs();
    document.dispatchEvent(new CustomEvent("muquery:reconnected"));
  }
  if (type !== "job") return;
  showJob(data);
  document.dispatchEvent(new CustomEvent("muquery:job", { detail: data }));
  window.clearTimeout(counting);
  counting = window.setTimeout(countJobs, 300);
});

document.getElementById("add-music").addEventListener("click", () => {
  document.getElementById("file-picker").click();
});
document.getElementById("file-picker").addEventListener("change", (event) => {
  addFiles(event.target.files);
  event.target.value = "";
});
document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !typing) {
    event.preventDefault();
    document.getElementById("q")?.focus();
  } else if (event.key === " " && (event.target === document.body || event.target === main)) {
    event.preventDefault();
    toggle();
  }
});
window.addEventListener("hashchange", () => {
  show();
  main.focus({ preventScroll: true });
  announce(document.querySelector(".views a[aria-current]")?.textContent || "");
});

acceptDrops();
show();
