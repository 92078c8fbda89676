// The library: every track, filtered and sorted by the service, chosen and changed in bulk.

import { activeFilters } from "./active-filters.js";
import { get, withParams } from "./api.js";
import { editMany, gather } from "./bulk.js";
import { deleteLater, isLeaving } from "./deletions.js";
import { announce, button, el, icon, replace } from "./dom.js";
import { facetFields } from "./facet-fields.js";
import { facetPanel } from "./facets.js";
import { count } from "./format.js";
import { remember } from "./known-tracks.js";
import { libraryAddress, libraryFrom, tracksParams } from "./library-state.js";
import { libraryTable } from "./library-table.js";
import { noteAddress } from "./router.js";
import { Selection } from "./selection.js";
import { selectionBar } from "./selection-bar.js";
import { blank, broken, ghosts } from "./states.js";
import { strings } from "./strings.js";

const PAGE = 50;
const MOST_PER_CALL = 200;
const TYPING_PAUSE_MS = 200;

export function showLibrary(main, tools, { params }) {
  let state = libraryFrom(params);
  let tracks = [];
  let total = 0;
  let nextCursor = null;
  let turn = 0;
  let timer = 0;
  let typing = false;
  const selection = new Selection(drawSelection);
  const box = el("input", {
    type: "search", id: "library-filter", value: state.q, autocomplete: "off", placeholder: strings.library.filter,
    "aria-label": strings.library.filter, oninput: () => change({ ...state, q: box.value }, true),
  });
  const sort = el("select", { id: "library-sort", onchange: () => change({ ...state, sort: sort.value }) },
    Object.entries(strings.library.sorts).map(([value, label]) => el("option", { value }, label)));
  const filtered = activeFilters((filters) => change({ ...state, filters }));
  const facets = facetPanel(facetFields, (filters) => change({ ...state, filters }));
  const status = el("p", { class: "status" });
  const frame = el("div", { class: "library-frame" });
  const foot = el("div", { class: "more" });
  const table = libraryTable({
    onSort: (value) => change({ ...state, sort: value }),
    onTouch: (track, wanted, run) => selection.touch(track.id, wanted, { order: shownIds(), run }),
    onAll: (wanted) => selection.chooseShown(shownIds(), wanted),
    isChosen: (track) => selection.has(track.id),
    onDelete: (track) => deleteLater([track]),
  });
  const chosen = selectionBar({
    onEdit: () => withChosen(editMany),
    onDelete: () => withChosen((list) => {
      deleteLater(list);
      selection.clear();
    }),
    onEverything: () => selection.chooseEverything(),
    onClear: () => selection.clear(),
  });

  main.replaceChildren(
    el("h1", {}, strings.library.heading),
    el("div", { class: "with-facets" }, facets,
      el("div", { class: "beside-facets" },
        el("div", { class: "toolbar" },
          el("div", { class: "box-with-icon" }, icon("search"), box),
          el("div", { class: "sort-field" }, el("label", { for: "library-sort" }, strings.library.sort), sort)),
        filtered, status, chosen, frame, foot)));

  const shown = () => tracks.filter((track) => !isLeaving(track.id));
  const shownIds = () => shown().map((track) => track.id);

  async function withChosen(act) {
    try {
      const list = await gather(selection, tracks, state);
      await act(list.filter((track) => !isLeaving(track.id)));
    } catch (failure) {
      tools.reportError(failure);
    }
  }

  function change(next, isTyping = false) {
    state = next;
    noteAddress(libraryAddress(state), { replace: isTyping && typing });
    typing = isTyping;
    // What is chosen belongs to what is shown; another filter is another set.
    selection.clear();
    drawControls();
    window.clearTimeout(timer);
    if (isTyping) timer = window.setTimeout(load, TYPING_PAUSE_MS);
    else load();
  }

  function drawControls() {
    if (box.value.trim() !== state.q.trim()) box.value = state.q;
    sort.value = state.sort;
    filtered.show(state.filters);
    facets.show(state.filters);
  }

  const readPage = (limit, cursor) => get(withParams("/tracks", tracksParams(state, { limit, cursor })));

  /** As many as are shown, read anew: nothing below may vanish because something changed. */
  async function readAgain(shownBefore) {
    const page = await readPage(Math.min(MOST_PER_CALL, Math.max(PAGE, shownBefore)), null);
    while (page.next_cursor && page.items.length < shownBefore) {
      const next = await readPage(MOST_PER_CALL, page.next_cursor);
      page.items.push(...next.items);
      page.next_cursor = next.next_cursor;
    }
    return page;
  }

  async function load({ more = false, quiet = false } = {}) {
    turn += 1;
    const mine = turn;
    const known = tracks.length;
    if (!more && !known) replace(frame, ghosts(6, "row"));
    try {
      const page = quiet ? await readAgain(known) : await readPage(PAGE, more ? nextCursor : null);
      if (mine !== turn) return;
      page.items.forEach(remember);
      tracks = more ? [...tracks, ...page.items] : page.items;
      total = page.total;
      nextCursor = page.next_cursor;
      draw();
      if (!quiet) announce(status.textContent);
    } catch (failure) {
      if (mine !== turn) return;
      if ([401, 429, 503].includes(failure.status)) tools.reportError(failure, load);
      else replace(frame, broken(failure, () => load({ more })));
    }
  }

  function draw() {
    const list = shown();
    const leaving = tracks.length - list.length;
    const isFiltered = Boolean(state.q.trim()) || Object.keys(state.filters).length > 0;
    const left = total - leaving;
    status.textContent = isFiltered ? strings.library.matching(left, count(left)) : strings.inLibrary(left, count(left));
    if (list.length) {
      table.show(list, state.sort);
      if (frame.firstChild !== table.node) replace(frame, table.node);
    } else if (isFiltered) {
      replace(frame, blank("filter", strings.library.nothing, strings.library.nothingHelp,
        button({ onclick: () => change({ ...state, q: "", filters: {} }) }, strings.filters.clear)));
    } else {
      replace(frame, blank("upload", strings.emptyLibrary, strings.emptyLibraryHelp,
        button({ class: "primary", onclick: tools.addMusic }, strings.addMusic)));
    }
    replace(foot, nextCursor ? button({ onclick: () => load({ more: true }) }, strings.results.more) : null);
    drawSelection();
  }

  function drawSelection() {
    const list = shown();
    table.showSelection();
    chosen.show({ size: selection.size(total), shown: list.length, total, everything: selection.everything });
  }

  let refreshing = 0;
  const refresh = () => {
    // A batch publishes many tracks a second: once in a while is enough.
    window.clearTimeout(refreshing);
    refreshing = window.setTimeout(() => {
      load({ quiet: true });
      facets.refresh();
    }, 400);
  };
  document.addEventListener("muquery:library", refresh);
  document.addEventListener("muquery:leaving", draw);
  drawControls();
  load();
  return {
    focusBox: () => box.focus(),
    follow(address) {
      typing = false;
      state = libraryFrom(address.params);
      selection.clear();
      drawControls();
      load();
    },
    close() {
      window.clearTimeout(timer);
      window.clearTimeout(refreshing);
      document.removeEventListener("muquery:library", refresh);
      document.removeEventListener("muquery:leaving", draw);
    },
  };
}
