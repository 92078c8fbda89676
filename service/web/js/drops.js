// The whole window takes files: into the library, or, where one searches, into the query.

import { el, icon } from "./dom.js";
import { strings } from "./strings.js";
import { toast } from "./toasts.js";

const AUDIO_NAME = /\.(aac|aif|aiff|flac|m4a|mp3|mp4|oga|ogg|opus|wav|wma)$/i;

/** All files of a drop, those in folders too; of a folder only what looks like audio. */
async function filesOf(transfer) {
  // Both must be read before the first await: the drop's data is gone after it.
  const files = [...transfer.files];
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return files;
  const found = [];
  for (const entry of entries) await walk(entry, found, true);
  return found;
}

async function walk(entry, found, isDropped) {
  if (entry.isFile) {
    if (isDropped || AUDIO_NAME.test(entry.name)) {
      found.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
    }
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    // A reader gives a hundred entries at a time, and none when it is done.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const each of some) await walk(each, found, false);
  }
}

function target(name, iconName, text) {
  return el("div", { class: "drop-target", "data-drop": name }, icon(iconName), el("p", {}, text));
}

/** `onAdd(files)` and `onClip(file)`; `takesClip()` says whether a search can take a clip now. */
export function acceptDrops({ onAdd, onClip, takesClip }) {
  const add = target("add", "upload", strings.drop.add);
  const clip = target("clip", "clip", strings.drop.clip);
  const veil = el("div", { class: "drop-veil", id: "drop-veil", hidden: true }, add, clip);
  document.body.append(veil);
  let depth = 0;
  const carriesFiles = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
  const over = (event) => event.target instanceof Element && event.target.closest("[data-drop]");

  async function take(transfer, use) {
    try {
      const files = await filesOf(transfer);
      if (files.length) use(files);
      else toast(strings.drop.nothing, { bad: true });
    } catch {
      toast(strings.drop.unreadable, { bad: true });
    }
  }

  function close() {
    depth = 0;
    veil.hidden = true;
    for (const node of [add, clip]) node.classList.remove("is-over");
  }

  window.addEventListener("dragenter", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    depth += 1;
    clip.hidden = !takesClip();
    veil.hidden = false;
  });
  window.addEventListener("dragleave", () => {
    depth -= 1;
    if (depth <= 0) close();
  });
  window.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    const chosen = over(event) || add;
    for (const node of [add, clip]) node.classList.toggle("is-over", node === chosen);
  });
  window.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    const chosen = over(event);
    close();
    const isClip = chosen === clip && takesClip();
    take(event.dataTransfer, isClip ? ([first]) => onClip(first) : onAdd);
  });
}
