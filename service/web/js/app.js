// Start: the frame of the page, views by address, errors in one place, events from the service.

import { learnAccess } from "./access.js";
import { showActivity } from "./activity.js";
import { at, get, storeKey } from "./api.js";
import { askAboutAbandoned } from "./deletions.js";
import { announce, button, el, icon, replace } from "./dom.js";
import { acceptDrops } from "./drops.js";
import { showLibrary } from "./library.js";
import { startRouter } from "./router.js";
import { addressWith, showSearch } from "./search.js";
import { openHelp, startShortcuts } from "./shortcuts.js";
import { keepClip } from "./clips.js";
import { messageOf } from "./states.js";
import { listen } from "./stream.js";
import { strings } from "./strings.js";
import { showSystem } from "./system.js";
import { showTags } from "./tags.js";
import { showTrack } from "./track.js";
import { toast } from "./toasts.js";
import { addFiles, askAfterJobs, showJob } from "./uploads.js";

const RETRY_AFTER_MS = 2000;
const ADDRESSES = { search: "#/", library: "#/library", activity: "#/activity", tags: "#/tags", system: "#/system" };
const main = document.getElementById("main");
let view = {};
let retryTimer = 0;

const tools = {
  go: (address) => router.go(address),
  reportError,
  say: (text) => toast(text),
  addMusic: () => document.getElementById("file-picker").click(),
  /** Going back to the search from elsewhere finds it as it was. */
  noteSearch: (address) => {
    ADDRESSES.search = address;
    document.querySelector('.views a[data-view="search"]').setAttribute("href", address);
  },
};

function drawFrame() {
  document.querySelector(".skip-link").textContent = strings.skip;
  document.querySelector(".brand").setAttribute("aria-label", strings.start);
  const nav = document.getElementById("views");
  nav.setAttribute("aria-label", strings.views);
  replace(nav, Object.entries(ADDRESSES).map(([name, address]) => el("a", { href: address, "data-view": name },
    strings.nav[name], name === "activity" ? el("span", { id: "activity-count", class: "count", hidden: true }) : null)));
  const picker = el("input", {
    type: "file", id: "file-picker", multiple: true, hidden: true, tabindex: "-1", "aria-hidden": "true",
    accept: "audio/*,.mp3,.flac,.ogg,.oga,.opus,.m4a,.wav,.aif,.aiff,.wma",
    onchange: () => {
      addFiles(picker.files);
      picker.value = "";
    },
  });
  replace(document.getElementById("masthead-tools"),
    button({ class: "quiet", "aria-label": strings.help.open, title: strings.help.open, onclick: openHelp }, icon("help")),
    button({ class: "primary needs-write", id: "add-music", onclick: tools.addMusic }, strings.addMusic), picker);
}

const VIEWS = {
  search: showSearch, library: showLibrary, track: showTrack, activity: showActivity, tags: showTags, system: showSystem,
  about: showSystem,
};

function choose([first = "search"]) {
  const name = VIEWS[first] ? first : "search";
  return {
    name,
    open: (address) => {
      window.clearTimeout(retryTimer);
      view = VIEWS[name](main, tools, address);
      return view;
    },
  };
}

function onShown(name, moved) {
  const current = { track: "library", about: "system" }[name] || name;
  for (const link of document.querySelectorAll(".views a")) {
    if (link.dataset.view === current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = strings.titleOf(strings.nav[current]);
  if (!moved) return;
  if (!main.contains(document.activeElement)) main.focus({ preventScroll: true });
  window.scrollTo(0, 0);
  announce(strings.nav[current]);
}

/** Tell the person what went wrong; where it makes sense, try again by itself. */
function reportError(failure, again) {
  document.querySelector(".notice.error.floating")?.remove();
  if (failure.status === 401) {
    askForKey();
    return;
  }
  const waits = (failure.status === 503 || failure.status === 429) && again;
  const text = waits ? strings.waiting(messageOf(failure)) : strings.errorPrefix(messageOf(failure));
  const notice = el("div", { class: "notice error floating with-action", role: "alert" }, el("span", {}, text),
    again && !waits ? button({
      onclick: () => {
        notice.remove();
        again();
      },
    }, icon("retry"), strings.retry) : null);
  main.prepend(notice);
  if (waits) {
    const pauseMs = (failure.retryAfterS || RETRY_AFTER_MS / 1000) * 1000;
    retryTimer = window.setTimeout(() => {
      notice.remove();
      again();
    }, pauseMs);
  }
}

function askForKey() {
  if (document.getElementById("key")) return;
  const input = el("input", { type: "password", id: "key", autocomplete: "off", required: true });
  main.replaceChildren(el("form", {
    class: "key-form",
    onsubmit: (event) => {
      event.preventDefault();
      storeKey(input.value.trim());
      window.location.reload();
    },
  },
  el("h1", {}, strings.key.title), el("p", {}, strings.key.help),
  el("label", { for: "key" }, strings.key.label), input,
  el("button", { type: "submit", class: "button primary" }, strings.key.save)));
  input.focus();
}

async function countJobs() {
  try {
    const page = await get("/jobs?limit=1");
    const open = (page.counts.queued || 0) + (page.counts.running || 0);
    const badge = document.getElementById("activity-count");
    badge.hidden = open === 0;
    replace(badge, String(open), el("span", { class: "visually-hidden" }, strings.activity.openJobs));
  } catch {
    // The badge is an extra; the views report what goes wrong.
  }
}

learnAccess();
drawFrame();
const router = startRouter(choose, onShown);
startShortcuts({
  view: () => view,
  go: (name) => router.go(ADDRESSES[name]),
});
acceptDrops({
  onAdd: addFiles,
  takesClip: () => true,
  onClip: (file) => {
    if (view.addClip) view.addClip(file);
    else router.go(addressWith({ kind: "clip", weight: 1, key: keepClip(file), name: file.name }));
  },
});

let counting = 0;
listen((type, data) => {
  if (type === "hello") {
    countJobs();
    askAfterJobs();
    document.dispatchEvent(new CustomEvent("muquery:reconnected"));
  } else if (type === "library") {
    document.dispatchEvent(new CustomEvent("muquery:library"));
  } else if (type === "job") {
    showJob(data);
    document.dispatchEvent(new CustomEvent("muquery:job", { detail: data }));
    window.clearTimeout(counting);
    counting = window.setTimeout(countJobs, 300);
  } else {
    document.dispatchEvent(new CustomEvent(`muquery:${type}`, { detail: data }));
  }
});
// Asked anew, not from what this page remembers: a list may have been read before they went.
askAboutAbandoned((id) => get(at("tracks", id)).catch(() => null));
