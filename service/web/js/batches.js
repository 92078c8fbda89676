// Batches of files: how far each is, how long it still takes, what failed and why.

import { at, get, post, remove, withParams } from "./api.js";
import { confirmDialog, openDialog } from "./dialogs.js";
import { button, el, freshId, icon, replace } from "./dom.js";
import { bytes, clock, count, dateTime, roughly } from "./format.js";
import { broken, ghosts, messageOf } from "./states.js";
import { strings } from "./strings.js";

const s = strings.batches;
const POLL_MS = 2000;
const PAGE = 20;
const ENDED = new Set(["done", "duplicate", "failed", "cancelled"]);

/** The section; `onChange()` is called when it was drawn. */
export function batchSection(tools, onChange) {
  const list = el("ul", { class: "jobs batches" });
  const foot = el("div", {});
  const node = el("section", { "aria-label": s.heading },
    el("div", { class: "section-head" }, el("h2", {}, s.heading),
      button({ class: "needs-write", onclick: startFolder }, icon("plus"), s.folder)),
    list, foot);
  const rows = new Map();
  let timer = 0;
  let closed = false;
  let cursor = null;

  async function load() {
    window.clearTimeout(timer);
    if (!rows.size) replace(foot, ghosts(1, "row"));
    try {
      const page = await get(withParams("/imports", { limit: PAGE }));
      if (closed) return;
      const seen = new Set(page.items.map((batch) => batch.id));
      for (const [id, row] of rows) {
        if (!seen.has(id) && !row.isOlder) {
          row.remove();
          rows.delete(id);
        }
      }
      page.items.forEach((batch, i) => draw(batch, i));
      cursor ??= page.next_cursor;
      drawFoot();
      if (page.items.some((batch) => batch.state === "running")) timer = window.setTimeout(load, POLL_MS);
    } catch (failure) {
      if (!closed) replace(foot, broken(failure, load));
    }
    onChange();
  }

  function drawFoot() {
    replace(foot, cursor ? button({ onclick: older }, strings.results.more) : null);
  }

  async function older() {
    try {
      const page = await get(withParams("/imports", { limit: PAGE, cursor }));
      for (const batch of page.items) draw(batch).isOlder = true;
      cursor = page.next_cursor;
      drawFoot();
    } catch (failure) {
      tools.reportError(failure);
    }
  }

  function draw(batch, place = -1) {
    let row = rows.get(batch.id);
    if (!row) {
      row = batchRow({ act, forget });
      rows.set(batch.id, row);
    }
    if (place < 0) {
      if (!row.isConnected) list.append(row);
    } else if (list.children[place] !== row) list.insertBefore(row, list.children[place] || null);
    row.show(batch);
    return row;
  }

  async function act(batch, name) {
    if (name === "cancel" && !await confirmDialog(s.cancelTitle, s.cancelText, s.cancel)) return;
    try {
      const answer = await post(`${at("imports", batch.id)}/${name}`);
      if (name === "retry" && answer.needs_upload) tools.say(s.needsUpload(answer.needs_upload));
    } catch (failure) {
      tools.reportError(failure);
    }
    load();
  }

  async function forget(batch) {
    try {
      await remove(at("imports", batch.id));
    } catch (failure) {
      tools.reportError(failure);
    }
    load();
  }

  async function startFolder() {
    const made = await openDialog(s.folder, (close) => folderForm(close));
    if (made) load();
  }

  const onImport = () => {
    window.clearTimeout(timer);
    timer = window.setTimeout(load, 300);
  };
  document.addEventListener("muquery:import", onImport);
  return {
    node,
    load,
    isEmpty: () => rows.size === 0,
    close() {
      closed = true;
      window.clearTimeout(timer);
      document.removeEventListener("muquery:import", onImport);
    },
  };
}

function folderForm(close) {
  const id = freshId("folder");
  const folder = el("input", { type: "text", id, maxlength: 4000, autocomplete: "off", spellcheck: "false" });
  const problem = el("p", { class: "field-error", role: "alert", hidden: true });
  return {
    body: [el("p", { class: "hint" }, s.folderHelp), el("div", { class: "field" }, el("label", { for: id }, s.folderPath), folder), problem],
    foot: [button({ onclick: () => close() }, strings.cancel),
      button({
        class: "primary",
        onclick: async () => {
          try {
            close(await post("/imports", { source: "folder", folder: folder.value.trim() }));
          } catch (failure) {
            problem.hidden = false;
            problem.textContent = messageOf(failure);
          }
        },
      }, s.start)],
  };
}

function etaText(batch) {
  if (batch.state !== "running" || batch.eta_s === null) return "";
  const [n, unit] = roughly(batch.eta_s);
  return s.eta(n, unit);
}

/** One batch; `show(batch)` draws it anew and leaves an open list of failures open. */
function batchRow({ act, forget }) {
  const title = el("strong", {});
  const state = el("span", { class: "state" });
  const facts = el("p", { class: "hint number" });
  const problem = el("p", { class: "field-error", hidden: true });
  const bar = el("progress", { max: 1, value: 0 });
  const buttons = el("div", { class: "actions needs-write" });
  const failures = el("ul", { class: "failures" });
  const details = el("details", { class: "failed-files", hidden: true }, el("summary", {}), failures);
  const node = el("li", { class: "job batch" },
    el("div", { class: "job-what" }, title, state, facts, problem), bar, buttons, details);
  let batch = null;
  let drawn = "";

  details.addEventListener("toggle", () => { if (details.open) showFailures(); });

  async function showFailures(cursor = null) {
    try {
      const page = await get(withParams(`${at("imports", batch.id)}/items`, { state: "failed", limit: 50, cursor }));
      if (!cursor) failures.replaceChildren();
      failures.querySelector(".more-failures")?.remove();
      failures.append(...page.items.map((item) => el("li", {}, el("code", {}, item.path), " ",
        el("span", { class: "field-error" }, item.error_message || item.error_code))));
      if (page.next_cursor) {
        failures.append(el("li", { class: "more-failures" }, button({ class: "quiet", onclick: () => showFailures(page.next_cursor) }, strings.results.more)));
      }
    } catch (failure) {
      replace(failures, el("li", { class: "field-error" }, messageOf(failure)));
    }
  }

  node.show = (next) => {
    batch = next;
    const failed = next.counts.failed || 0;
    const ended = Object.entries(next.counts).filter(([name]) => ENDED.has(name)).reduce((sum, [, n]) => sum + n, 0);
    const name = next.name || next.folder || s.upload;
    title.textContent = name;
    state.textContent = s.states[next.state];
    state.className = `state ${next.state}`;
    bar.setAttribute("aria-label", s.progress(name));
    bar.value = next.total_files ? ended / next.total_files : 0;
    bar.hidden = next.state === "done" || next.state === "cancelled";
    facts.textContent = [
      s.files(count(ended), count(next.total_files), next.listed), bytes(next.size_bytes),
      next.audio_s ? s.music(clock(next.audio_s)) : "",
      next.audio_hours_per_hour ? s.speed(Math.round(next.audio_hours_per_hour)) : "",
      etaText(next), next.finished_at ? dateTime(next.finished_at) : "",
    ].filter(Boolean).join(" · ");
    problem.hidden = !next.error_message;
    problem.textContent = next.error_message || "";
    details.hidden = !failed;
    details.querySelector("summary").textContent = s.failed(failed);
    const kind = `${next.state} ${failed > 0} ${next.state === "running" && next.source}`;
    if (kind !== drawn) {
      drawn = kind;
      replace(buttons, buttonsFor(next, failed, name));
    }
  };

  function buttonsFor(next, failed, name) {
    const one = (action, label) => button({ "aria-label": `${label}: ${name}`, onclick: () => act(batch, action) }, label);
    const open = next.state === "running" || next.state === "paused";
    return [
      next.state === "running" ? one("pause", s.pause) : null,
      next.state === "paused" ? one("resume", s.resume) : null,
      open ? one("cancel", s.cancel) : null,
      failed ? one("retry", s.retry) : null,
      open ? null : button({ class: "quiet", "aria-label": `${s.forget}: ${name}`, onclick: () => forget(batch) }, s.forget),
    ];
  }
  return node;
}
