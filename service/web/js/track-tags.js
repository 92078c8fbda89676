// The tags that a track was given: by group, with a picture of each label along the track's time.

import { at, get } from "./api.js";
import { button, el, replace } from "./dom.js";
import { percent } from "./format.js";
import { labelStrip } from "./label-strip.js";
import { libraryAddress } from "./library-state.js";
import { messageOf } from "./states.js";
import { strings } from "./strings.js";

const FIRST_LABELS = 3;
const LOWEST_FULL_BAR = 0.3;
const s = strings.tags;

/** The section; `showPosition(seconds | null)` moves the line that marks what plays. */
export function trackTags(track, { onPlay }) {
  const body = el("div", {});
  const node = el("section", { class: "track-tags", "aria-labelledby": "track-tags-head" },
    el("h2", { id: "track-tags-head" }, s.ofTrack), body);
  const durationS = track.duration_s || 0;

  function draw(tags) {
    if (!tags.vocabulary) {
      replace(body, el("p", { class: "hint" }, s.none));
      return;
    }
    const rows = new Map((tags.timeline?.rows || []).map((row) => [`${row.group}/${row.label}`, row]));
    replace(body,
      tags.is_current ? null : el("p", { class: "hint" }, s.outdated),
      el("p", { class: "hint" }, tags.timeline ? s.help : s.helpPlain),
      el("div", { class: "tag-groups" }, tags.groups.map((group) => groupBlock(group, tags.timeline, rows))));
  }

  function groupBlock(group, timeline, rows) {
    const list = el("div", { class: "tag-rows" });
    const values = group.items.flatMap((item) => rows.get(`${group.group}/${item.label}`)?.values || []);
    const most = Math.max(LOWEST_FULL_BAR, ...values);
    let all = false;
    const more = button({ class: "quiet", onclick: () => {
      all = !all;
      drawRows();
    } });
    function drawRows() {
      const items = group.items.filter((item, i) => all || i < FIRST_LABELS || item.assigned);
      replace(list, items.map((item) => tagRow(item, timeline, rows.get(`${group.group}/${item.label}`), most)));
      list.querySelector(".strip")?.setAttribute("tabindex", "0");
      more.hidden = group.items.length <= items.length && !all;
      replace(more, all ? strings.filters.fewer : s.all(group.items.length));
    }
    drawRows();
    moveBetweenRows(list);
    return el("section", { class: "tag-group" },
      el("h3", {}, s.group(group.group), group.assigned.length
        ? group.assigned.map((label) => el("a", {
          class: "tag", href: libraryAddress({ q: "", sort: "-added_at", filters: { [`tags.${group.group}`]: { in: [label] } } }),
        }, label)) : el("span", { class: "hint" }, s.nothingSure)),
      list, more);
  }

  function tagRow(item, timeline, row, most) {
    const amount = item.probability ?? item.relevance;
    const isStrong = item.assigned;
    const picture = timeline && row
      ? el("div", { class: "strip-frame" },
        labelStrip({ row, times: timeline, durationS, most, strong: isStrong, onPlay }),
        el("span", { class: "strip-line", hidden: true }))
      : el("span", {});
    return el("div", { class: isStrong ? "tag-row is-assigned" : "tag-row" },
      el("span", { class: "tag-name", title: item.weak ? s.weak : null }, item.label,
        item.weak ? el("span", { class: "facts" }, ` ${s.weakShort}`) : null),
      picture,
      el("span", { class: "number tag-amount" }, amount === null ? "–" : strings.percent(percent(amount))));
  }

  async function load() {
    if (track.state !== "ready") {
      node.hidden = true;
      return;
    }
    try {
      draw(await get(`${at("tracks", track.id, "tags")}?timeline=true`));
    } catch (failure) {
      replace(body, el("p", { class: "hint" }, messageOf(failure)));
    }
  }

  load();
  return {
    node,
    showPosition(seconds) {
      for (const line of body.querySelectorAll(".strip-line")) {
        line.hidden = seconds === null;
        if (seconds !== null && durationS) line.style.left = `${Math.min(100, (seconds / durationS) * 100)}%`;
      }
    },
  };
}

/** One strip of a group is in the order of Tab; up and down move to the others. */
function moveBetweenRows(list) {
  list.addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!by || !event.target.classList.contains("strip")) return;
    const strips = [...list.querySelectorAll(".strip")];
    const next = strips[strips.indexOf(event.target) + by];
    event.preventDefault();
    if (!next) return;
    event.target.setAttribute("tabindex", "-1");
    next.setAttribute("tabindex", "0");
    next.focus();
  });
}
