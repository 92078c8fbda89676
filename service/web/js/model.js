// The model behind the answers, the others that there are, the index, and where the tracks come from.

import { at, get, post, remove } from "./api.js";
import { confirmDialog, openDialog } from "./dialogs.js";
import { button, el, freshId, icon, replace } from "./dom.js";
import { count, roughly } from "./format.js";
import { titleOf } from "./known-tracks.js";
import { broken, ghosts, messageOf } from "./states.js";
import { strings } from "./strings.js";
import { workersTable } from "./workers.js";

const s = strings.model;
const POLL_MS = 3000;

export function showModel(body, tools) {
  const top = el("div", {});
  let timer = 0;
  let closed = false;

  async function load() {
    window.clearTimeout(timer);
    if (!top.firstChild) replace(top, ghosts(2));
    try {
      const [models, index, workers] = await Promise.all([get("/models"), get("/index"), get("/workers")]);
      if (closed) return;
      draw(models, index, workers);
      if (models.change || workers.counts.loading) timer = window.setTimeout(load, POLL_MS);
    } catch (failure) {
      if (!closed) replace(top, broken(failure, load));
    }
  }

  function draw({ items, change }, index, workers) {
    const active = items.find((model) => model.active) || items[0];
    const others = items.filter((model) => model !== active);
    const open = [...top.querySelectorAll("details[open]")].map((node) => node.dataset.model);
    replace(top,
      el("p", {}, s.intro),
      change ? changeCard(change, act) : null,
      el("div", { class: "section-head" }, el("h2", {}, s.active),
        button({ class: "needs-admin", onclick: add }, icon("plus"), s.add)),
      modelFacts(active),
      others.length ? [el("h2", {}, s.others), others.map((model) => modelCard(model, change, act))] : null,
      el("h2", {}, strings.workers.heading), el("p", { class: "hint" }, strings.workers.intro), workersTable(workers),
      el("h2", {}, s.index), indexFacts(index));
    for (const node of top.querySelectorAll("details")) node.open = open.includes(node.dataset.model);
  }

  /** Call, say what came of it, and look again; asks first where `question` is given. */
  async function act(call, question) {
    if (question && !await confirmDialog(...question)) return;
    try {
      await call();
    } catch (failure) {
      tools.reportError(failure);
    }
    load();
  }

  async function add() {
    if (await openDialog(s.add, addForm)) load();
  }

  replace(body, top, el("h2", {}, s.licences), credits());
  load();
  return {
    close() {
      closed = true;
      window.clearTimeout(timer);
    },
  };
}

function addForm(close) {
  const id = freshId("source");
  const source = el("input", { type: "text", id, maxlength: 1000, autocomplete: "off", spellcheck: "false" });
  const problem = el("p", { class: "field-error", role: "alert", hidden: true });
  return {
    body: [el("p", { class: "hint" }, s.addHelp), el("div", { class: "field" }, el("label", { for: id }, s.source), source), problem],
    foot: [button({ onclick: () => close() }, strings.cancel),
      button({
        class: "primary",
        onclick: async () => {
          try {
            close(await post("/models", { source: source.value.trim() || null }));
          } catch (failure) {
            problem.hidden = false;
            problem.textContent = messageOf(failure);
          }
        },
      }, s.add)],
  };
}

function changeCard(change, act) {
  const eta = change.eta_s === null ? "" : strings.batches.eta(...roughly(change.eta_s));
  return el("section", { class: "card", "aria-label": s.changing(change.name) },
    el("h2", { class: "first" }, s.changing(change.name)),
    el("progress", { max: 1, value: change.progress, "aria-label": s.changing(change.name) }),
    el("p", { class: "hint number" }, [s.changed(count(change.done), count(change.tracks)),
      change.failed ? s.changeFailed(change.failed) : "", eta].filter(Boolean).join(" · ")),
    change.problem ? el("p", { class: "warning" }, change.problem) : null,
    el("div", { class: "actions needs-admin" },
      button({ onclick: () => act(() => remove("/models/next")) }, s.cancelChange)));
}

function modelCard(model, change, act) {
  const path = at("models", model.model_id);
  return el("details", { class: "card model", "data-model": model.model_id },
    el("summary", {}, el("strong", {}, model.name), el("span", { class: "state" }, s.states[model.state])),
    modelFacts(model),
    model.state === "unused" ? el("div", { class: "actions needs-admin" },
      button({
        disabled: Boolean(change), "aria-label": `${s.activate}: ${model.name}`,
        onclick: () => act(() => post(`${path}/activate`), [s.activateTitle(model.name), s.activateText, s.activate, "primary"]),
      }, s.activate),
      button({
        class: "quiet", "aria-label": `${s.prune}: ${model.name}`,
        onclick: () => act(() => remove(path), [s.pruneTitle(model.name), s.pruneText(count(model.tracks)), s.prune]),
      }, s.prune)) : null);
}

function modelFacts(model) {
  return el("dl", { class: "facts-list" }, Object.entries(s.fields)
    .filter(([name]) => model[name] !== null && model[name] !== undefined && model[name] !== "" && model[name].length !== 0)
    .map(([name, label]) => [el("dt", {}, label), el("dd", {}, Array.isArray(model[name]) ? model[name].join(", ") : String(model[name]))]));
}

function indexFacts(index) {
  const behind = Math.max(0, index.latest_seq - index.applied_seq);
  return el("dl", { class: "facts-list" },
    [[s.indexTracks, count(index.tracks)], [s.indexClips, count(index.clips)],
      [s.indexEngine, `${index.engine}${index.approximate ? s.approximate : s.exact}`],
      [s.indexLag, behind ? s.behind(behind) : s.level]]
      .map(([label, value]) => [el("dt", {}, label), el("dd", {}, value)]));
}

/** Licences are shown a page at a time: a library may hold very many. */
function credits() {
  const list = el("ul", { class: "credits" });
  const foot = el("div", {});
  async function more(cursor) {
    const search = new URLSearchParams({ limit: "100", sort: "title" });
    if (cursor) search.set("cursor", cursor);
    try {
      const page = await get(`/tracks?${search}`);
      for (const track of page.items.filter((item) => item.licence || item.attribution)) {
        list.append(el("li", {}, el("strong", {}, titleOf(track)),
          [track.artist, track.licence].filter(Boolean).map((text) => ` · ${text}`),
          track.attribution ? el("p", { class: "hint" }, track.attribution) : null));
      }
      replace(foot, page.next_cursor ? button({ onclick: () => more(page.next_cursor) }, strings.results.more) : null);
    } catch (failure) {
      replace(foot, broken(failure, () => more(cursor)));
    }
  }
  more(null);
  return el("div", {}, list, foot);
}
