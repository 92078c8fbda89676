// Vocabularies: the labels that tracks are tagged with, and what each means to the model.

import { at, get } from "./api.js";
import { distributionPanel } from "./distribution.js";
import { button, el, icon, replace } from "./dom.js";
import { count, dateTime } from "./format.js";
import { blank, broken, ghosts } from "./states.js";
import { strings } from "./strings.js";
import { editVocabulary, newVocabulary } from "./vocabulary-form.js";

const s = strings.tags;

/** Addresses: #/tags, #/tags/NAME, #/tags/NAME/GROUP/LABEL. */
export function tagAddress(...steps) {
  return `#${at("tags", ...steps)}`;
}

export function showTags(main, tools, { steps }) {
  const [, wantedName, wantedGroup, wantedLabel] = steps;
  const body = el("div", {});
  const pick = el("div", { class: "toolbar" });
  main.replaceChildren(
    el("div", { class: "track-head" },
      el("div", {}, el("h1", {}, strings.nav.tags), el("p", { class: "facts" }, s.intro)), pick),
    body);
  replace(body, ghosts(3));

  async function load() {
    try {
      const { items } = await get("/vocabularies");
      if (!items.length) {
        replace(pick, newButton());
        replace(body, blank("tag", s.noVocabulary, s.noVocabularyHelp));
        return;
      }
      const chosen = items.find((item) => item.name === wantedName) || items.find((item) => item.is_default) || items[0];
      const vocabulary = await get(at("vocabularies", chosen.name));
      drawPicker(items, vocabulary);
      draw(vocabulary);
    } catch (failure) {
      if ([401, 429, 503].includes(failure.status)) tools.reportError(failure, load);
      else replace(body, broken(failure, load));
    }
  }

  const newButton = () => button({ class: "quiet needs-write", onclick: () => newVocabulary().then(saved) }, icon("plus"), s.new);

  function saved(vocabulary) {
    if (vocabulary) tools.go(tagAddress(vocabulary.name));
  }

  function drawPicker(items, vocabulary) {
    const select = el("select", { "aria-label": s.vocabulary, onchange: () => tools.go(tagAddress(select.value)) },
      items.map((item) => el("option", { value: item.name, selected: item.name === vocabulary.name },
        item.is_default ? s.defaultName(item.name) : item.name)));
    replace(pick, select,
      button({ class: "needs-write", onclick: () => editVocabulary(vocabulary).then((done) => { if (done) load(); }) },
        icon("edit"), strings.edit.button),
      newButton());
  }

  function draw(vocabulary) {
    const behind = vocabulary.is_default && vocabulary.tagged_tracks < vocabulary.tracks;
    const panel = distributionPanel(vocabulary, (inGroup, label) => tools.go(tagAddress(vocabulary.name, inGroup.name, label)));
    replace(body,
      el("p", { class: "hint" }, vocabulary.description),
      el("p", { class: "hint" }, s.version(vocabulary.version, dateTime(vocabulary.created_at)), " ",
        vocabulary.is_default ? s.tagged(count(vocabulary.tagged_tracks), count(vocabulary.tracks)) : s.notDefault),
      behind ? el("progress", { max: vocabulary.tracks, value: vocabulary.tagged_tracks, "aria-label": s.tagging }) : null,
      el("div", { class: "vocabulary" },
        el("div", { class: "vocabulary-groups" }, vocabulary.groups.map((group) => groupList(vocabulary, group))),
        panel.node));
    const group = vocabulary.groups.find((each) => each.name === wantedGroup) || vocabulary.groups[0];
    panel.show(group, wantedLabel || labelsOf(group)[0].label);
    // On a narrow screen the picture stands below all the labels.
    if (wantedLabel && window.matchMedia("(max-width: 60rem)").matches) panel.node.scrollIntoView();
  }

  function groupList(vocabulary, group) {
    return el("section", {}, el("h2", {}, s.group(group.name), el("span", { class: "hint" }, ` ${s.choice[group.choice]}`)),
      el("ul", { class: "labels" }, labelsOf(group).map((label) => el("li", {}, el("a", {
        class: label.weak ? "tag is-weak" : "tag",
        href: tagAddress(vocabulary.name, group.name, label.label),
        "aria-current": group.name === wantedGroup && label.label === wantedLabel ? "true" : null,
        title: label.weak ? [s.weak, label.note].filter(Boolean).join(" ") : null,
      }, label.label, label.weak ? ` ${s.weakShort}` : "")))));
  }

  load();
  return { close() {} };
}

/** Labels as objects: the service may give a plain one as its text. */
function labelsOf(group) {
  return group.labels.map((label) => (typeof label === "string" ? { label } : label));
}
