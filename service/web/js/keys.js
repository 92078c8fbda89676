// Keys: made, shown once, revoked.

import { at, get, post, remove, withParams } from "./api.js";
import { confirmDialog, openDialog } from "./dialogs.js";
import { button, el, freshId, icon, replace } from "./dom.js";
import { date, dateTime } from "./format.js";
import { blank, broken, ghosts, messageOf } from "./states.js";
import { strings } from "./strings.js";
import { toast } from "./toasts.js";

const s = strings.keys;
const SCOPES = ["read", "write", "admin"];
const DAY_MS = 86400000;

export function showKeys(body, tools) {
  const list = el("div", {});
  const foot = el("div", { class: "more" });
  replace(body,
    el("div", { class: "section-head" }, el("p", { class: "hint" }, s.intro),
      button({ class: "primary", onclick: create }, icon("plus"), s.create)),
    list, foot);

  async function load(cursor = null) {
    if (!cursor) replace(list, ghosts(3, "row"));
    try {
      const page = await get(withParams("/keys", { cursor }));
      if (!cursor) replace(list, page.total ? table() : blank("key", s.none, s.noneHelp));
      list.querySelector("tbody")?.append(...page.items.map(row));
      replace(foot, page.next_cursor ? button({ onclick: () => load(page.next_cursor) }, strings.results.more) : null);
    } catch (failure) {
      replace(list, broken(failure, () => load()));
    }
  }

  function table() {
    return el("div", { class: "table-frame", tabindex: "0", role: "region", "aria-label": s.heading },
      el("table", { class: "plain-table" }, el("caption", { class: "visually-hidden" }, s.heading),
        el("thead", {}, el("tr", {}, s.columns.map((name) => el("th", { scope: "col" }, name)), el("td", {}))), el("tbody")));
  }

  function row(key) {
    const isValid = key.state === "valid";
    return el("tr", { class: isValid ? "" : "is-over" },
      el("th", { scope: "row" }, key.name),
      el("td", {}, key.scopes.map((scope) => s.scopes[scope]).join(", ")),
      el("td", {}, el("span", { class: `state ${isValid ? "ready" : "failed"}` }, s.states[key.state])),
      el("td", {}, date(key.created_at)),
      el("td", {}, key.expires_at ? date(key.expires_at) : s.never),
      el("td", {}, key.last_used_at ? dateTime(key.last_used_at) : s.unused),
      el("td", {}, isValid ? button({ class: "quiet", "aria-label": s.revokeOf(key.name), onclick: () => revoke(key) }, s.revoke) : null));
  }

  async function revoke(key) {
    if (!await confirmDialog(s.revokeTitle(key.name), s.revokeText, s.revoke)) return;
    try {
      await remove(at("keys", key.id));
    } catch (failure) {
      // 409 is for the last key that may administer: then nobody could make another over HTTP.
      if (failure.status !== 409) tools.reportError(failure);
      else if (await confirmDialog(s.revokeTitle(key.name), failure.message, s.revokeLast)) {
        await remove(`${at("keys", key.id)}?allow_last_admin=true`).catch((other) => tools.reportError(other));
      }
    }
    load();
  }

  async function create() {
    const made = await openDialog(s.create, (close) => form(close));
    if (!made) return;
    await openDialog(s.madeTitle(made.key.name), () => secretBody(made.secret));
    load();
  }

  load();
}

function form(close) {
  const ids = { name: freshId("key"), scope: freshId("key"), expiry: freshId("key") };
  const name = el("input", { type: "text", id: ids.name, required: true, maxlength: 100, autocomplete: "off" });
  const scope = el("select", { id: ids.scope }, SCOPES.map((value) => el("option", { value }, s.scopeHelp[value])));
  const expiry = el("select", { id: ids.expiry }, s.expiries.map(([days, label]) => el("option", { value: days }, label)));
  const problem = el("p", { class: "field-error", role: "alert", hidden: true });
  async function submit() {
    problem.hidden = Boolean(name.value.trim());
    problem.textContent = s.nameNeeded;
    if (!problem.hidden) {
      name.focus();
      return;
    }
    const days = Number(expiry.value);
    try {
      close(await post("/keys", {
        name: name.value.trim(),
        scopes: [scope.value],
        ...(days ? { expires_at: new Date(Date.now() + days * DAY_MS).toISOString() } : {}),
      }));
    } catch (failure) {
      problem.hidden = false;
      problem.textContent = messageOf(failure);
    }
  }
  return {
    body: [
      el("div", { class: "field" }, el("label", { for: ids.name }, s.name), name),
      el("div", { class: "field" }, el("label", { for: ids.scope }, s.scope), scope),
      el("div", { class: "field" }, el("label", { for: ids.expiry }, s.expiry), expiry),
      problem,
    ],
    foot: [button({ onclick: () => close() }, strings.cancel), button({ class: "primary", onclick: submit }, s.create)],
  };
}

/** The only sight of a secret: readable, and copied at a press. */
function secretBody(secret) {
  const id = freshId("secret");
  const field = el("input", { type: "text", id, value: secret, readonly: true, class: "secret", onfocus: () => field.select() });
  return {
    body: [el("p", {}, s.once), el("div", { class: "field" }, el("label", { for: id }, s.secret), field)],
    foot: [button({
      class: "primary",
      onclick: async () => {
        try {
          await navigator.clipboard.writeText(secret);
          toast(s.copied);
        } catch {
          // Without a secure address there is no clipboard: select it for Ctrl+C.
          field.focus();
          field.select();
        }
      },
    }, s.copy)],
  };
}
