// The whole window takes files: into the library, or, where one searches, into the query.

import { el, icon } from "./dom.js";
import { strings } from "./strings.js";

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
    const files = [...event.dataTransfer.files];
    if (chosen === clip && takesClip()) onClip(files[0]);
    else onAdd(files);
  });
}
