// Writing a vocabulary: groups of labels, one label a line; saving makes a new version.

import { at, put } from "./api.js";
import { openDialog } from "./dialogs.js";
import { button, el, freshId, icon } from "./dom.js";
import { messageOf } from "./states.js";
import { strings } from "./strings.js";
import { toast } from "./toasts.js";

const s = strings.tags;
const NAME = /^[a-z0-9][a-z0-9_-]*$/;

const labelText = (label) => (typeof label === "string" ? label : label.label);

/** One group to write; `read()` keeps what is known of labels that stay. */
function groupFields(group) {
  const ids = [freshId("group"), freshId("group"), freshId("group")];
  const name = el("input", { type: "text", id: ids[0], value: group.name, maxlength: 64, autocomplete: "off" });
  const choice = el("select", { id: ids[1] }, Object.entries(s.choice).map(([value, text]) => el("option", { value, selected: value === group.choice }, text)));
  const labels = el("textarea", { id: ids[2], rows: Math.min(8, Math.max(3, group.labels.length)) }, group.labels.map(labelText).join("\n"));
  const node = el("fieldset", { class: "extra group-fields" },
    el("legend", {}, s.groupWord),
    el("div", { class: "field" }, el("label", { for: ids[0] }, s.groupName), name),
    el("div", { class: "field" }, el("label", { for: ids[1] }, s.groupChoice), choice),
    el("div", { class: "field" }, el("label", { for: ids[2] }, s.groupLabels), labels),
    button({ class: "quiet", onclick: () => node.remove() }, icon("trash"), s.groupRemove));
  node.read = () => {
    const known = new Map(group.labels.map((label) => [labelText(label), label]));
    const texts = labels.value.split("\n").map((line) => line.trim()).filter(Boolean);
    return { ...group, name: name.value.trim(), choice: choice.value, labels: texts.map((text) => known.get(text) || text) };
  };
  return node;
}

function form(vocabulary, close) {
  const nameId = freshId("vocabulary");
  const defaultId = freshId("vocabulary");
  const name = el("input", { type: "text", id: nameId, value: vocabulary.name, maxlength: 64, disabled: Boolean(vocabulary.name), autocomplete: "off" });
  const groups = el("div", { class: "extra-rows" }, vocabulary.groups.map(groupFields));
  const makeDefault = el("input", { type: "checkbox", id: defaultId, checked: vocabulary.is_default, disabled: vocabulary.is_default });
  const problem = el("p", { class: "field-error", role: "alert", hidden: true });
  async function save() {
    const wanted = name.value.trim();
    try {
      if (!NAME.test(wanted)) {
        problem.hidden = false;
        problem.textContent = s.badName;
        name.focus();
        return;
      }
      const saved = await put(at("vocabularies", wanted), {
        description: vocabulary.description || null,
        groups: [...groups.children].map((node) => node.read()),
        make_default: makeDefault.checked,
      });
      toast(saved.job_id ? s.savedTagging : saved.new_version ? s.saved : s.savedSame);
      close(saved.vocabulary);
    } catch (failure) {
      problem.hidden = false;
      problem.textContent = messageOf(failure);
    }
  }
  return {
    body: [
      el("div", { class: "field" }, el("label", { for: nameId }, s.name), name),
      groups,
      button({ class: "quiet", onclick: () => groups.append(groupFields({ name: "", choice: "multiple", labels: [] })) }, icon("plus"), s.groupAdd),
      el("div", { class: "check" }, makeDefault, el("label", { for: defaultId }, s.makeDefault)),
      problem,
    ],
    foot: [button({ onclick: () => close() }, strings.cancel), button({ class: "primary", onclick: save }, strings.edit.save)],
  };
}

/** Edit a vocabulary; resolves with the saved one, or null. */
export function editVocabulary(vocabulary) {
  return openDialog(s.editTitle(vocabulary.name), (close) => form(vocabulary, close));
}

export function newVocabulary() {
  const empty = { name: "", description: null, is_default: false, groups: [{ name: "mood", choice: "multiple", labels: [] }] };
  return openDialog(s.new, (close) => form(empty, close));
}
