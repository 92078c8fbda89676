// What the service is made of and who may use it: the model, keys, the audit log.

import { showAudit } from "./audit.js";
import { el } from "./dom.js";
import { showKeys } from "./keys.js";
import { showModel } from "./model.js";
import { strings } from "./strings.js";

const PARTS = { model: showModel, keys: showKeys, audit: showAudit };

export function showSystem(main, tools, { steps }) {
  const name = PARTS[steps[1]] ? steps[1] : "model";
  const body = el("div", {});
  main.replaceChildren(
    el("h1", {}, strings.nav.system),
    el("nav", { class: "tabs", "aria-label": strings.system.parts }, Object.keys(PARTS).map((part) => el("a", {
      href: `#/system/${part}`,
      class: part === "model" ? "" : "needs-admin",
      "aria-current": part === name ? "page" : null,
    }, strings.system[part]))),
    body);
  return PARTS[name](body, tools) || { close() {} };
}
