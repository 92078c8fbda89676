// The search view: the query bar, the filters, the hits; the address holds what is asked.

import { activeFilters } from "./active-filters.js";
import { get } from "./api.js";
import { button, el } from "./dom.js";
import { facetFields } from "./facet-fields.js";
import { facetPanel } from "./facets.js";
import { count } from "./format.js";
import { remember } from "./known-tracks.js";
import { addressOf, emptyQuery, isAsking, queryFrom, withPart } from "./query.js";
import { queryBar } from "./query-bar.js";
import { resultList } from "./results.js";
import { forgetAnswers, rememberedAnswer, runSearch, sendableParts } from "./search-call.js";
import { blank, broken } from "./states.js";
import { noteAddress } from "./router.js";
import { strings } from "./strings.js";

const TYPING_PAUSE_MS = 180;
const BUSY_AFTER_MS = 250;

let last = emptyQuery();

/** The address of a search for `part`, added to what was asked last or alone. */
export function addressWith(part, track, { alone = false } = {}) {
  if (track) remember(track);
  return addressOf(withPart(alone ? emptyQuery() : last, part));
}

/** Show the view in `main` for an address. */
export function showSearch(main, tools, { params }) {
  let query = queryFrom(params);
  let running = null;
  let timer = 0;
  let typing = false;
  const bar = queryBar(change);
  const filtered = activeFilters((filters) => change({ ...query, filters }));
  const facets = facetPanel(facetFields, (filters) => change({ ...query, filters }));
  const results = resultList(
    { add: (part) => change(withPart(query, part)) },
    (cursor) => run({ cursor }),
  );
  main.replaceChildren(
    el("h1", { class: "visually-hidden" }, strings.appTitle), bar,
    el("div", { class: "with-facets" }, facets,
      el("div", { class: "beside-facets" }, filtered, results.node)));

  /** Take in a changed query: into the address, and soon to the service. */
  function change(next, isTyping = false) {
    const filtersChanged = next.filters !== query.filters;
    query = next;
    bar.show(query);
    if (filtersChanged) showFilters();
    // One burst of typing is one step back.
    noteAddress(addressOf(query), { replace: isTyping && typing });
    typing = isTyping;
    last = query;
    tools.noteSearch(addressOf(query));
    window.clearTimeout(timer);
    if (isTyping) timer = window.setTimeout(run, TYPING_PAUSE_MS);
    else run();
  }

  function showFilters() {
    filtered.show(query.filters);
    facets.show(query.filters);
  }

  async function run({ cursor = null } = {}) {
    if (running) running.abort();
    running = null;
    last = query;
    if (!isAsking(query)) {
      await showStart();
      return;
    }
    if (!sendableParts(query).some((part) => part.weight > 0)) {
      results.nothing(strings.parts.lostHelp);
      return;
    }
    const remembered = rememberedAnswer(query, cursor);
    if (remembered) {
      take(remembered, Boolean(cursor));
      return;
    }
    const mine = new AbortController();
    running = mine;
    const busy = window.setTimeout(() => results.wait(), results.isEmpty() ? 0 : BUSY_AFTER_MS);
    try {
      const answer = await runSearch(query, { cursor, signal: mine.signal });
      if (running === mine) take(answer, Boolean(cursor));
    } catch (failure) {
      if (failure.name === "AbortError" || running !== mine) return;
      if ([401, 429, 503].includes(failure.status)) tools.reportError(failure, () => run({ cursor }));
      else results.replaceWith(broken(failure, () => run({ cursor })));
    } finally {
      window.clearTimeout(busy);
    }
  }

  function take(answer, append) {
    const { body } = answer;
    if (!append && !body.items.length) {
      showNothing(body);
      return;
    }
    const shown = results.show(answer, append);
    const total = body.next_cursor ? strings.results.first(count(shown)) : strings.results.found(shown, body.level);
    const sentence = body.match === "weak" && !append ? strings.results.far : strings.results.took(total, Math.max(1, Math.round(body.took_ms)));
    results.say(sentence, body.warnings || []);
  }

  function showNothing(body) {
    const buttons = [];
    if (Object.keys(query.filters).length) {
      buttons.push(button({ onclick: () => change({ ...query, filters: {} }) }, strings.filters.clear));
    }
    if (query.closeness) {
      buttons.push(button({ onclick: () => change({ ...query, closeness: 0 }) }, strings.results.dropCloseness));
    }
    if (query.mode === "words") {
      buttons.push(button({ onclick: () => change({ ...query, mode: "meaning" }) }, strings.results.tryMeaning));
    }
    results.nothing([strings.results.nothingHelp, ...(body.warnings || [])].join(" "), ...buttons);
  }

  async function showStart() {
    try {
      const page = await get("/tracks?limit=1");
      if (isAsking(query)) return;
      results.replaceWith(page.total ? startPage(page.total) : emptyLibrary());
    } catch (failure) {
      tools.reportError(failure, showStart);
    }
  }

  function startPage(total) {
    return el("div", { class: "start" },
      el("p", { class: "hint" }, strings.inLibrary(total, count(total))),
      el("h2", {}, strings.search.try),
      el("ul", { class: "examples" }, strings.search.examples.map((text) => el("li", {},
        button({ onclick: () => change({ ...query, text }) }, text)))),
      el("h2", {}, strings.search.ways),
      el("ul", { class: "ways" }, strings.search.wayList.map((text) => el("li", {}, text))));
  }

  function emptyLibrary() {
    return blank("upload", strings.emptyLibrary, strings.emptyLibraryHelp,
      button({ class: "primary", onclick: tools.addMusic }, strings.addMusic));
  }

  function onLibrary() {
    forgetAnswers();
    facets.refresh();
    if (!isAsking(query)) showStart();
  }

  document.addEventListener("muquery:library", onLibrary);
  bar.show(query);
  showFilters();
  tools.noteSearch(addressOf(query));
  if (!params.toString() && window.matchMedia("(pointer: fine)").matches) bar.focusBox();
  run();
  return {
    addClip: bar.addClip,
    focusBox: bar.focusBox,
    rows: results.rows,
    add: (part) => change(withPart(query, part)),
    follow(address) {
      typing = false;
      query = queryFrom(address.params);
      bar.show(query);
      showFilters();
      tools.noteSearch(addressOf(query));
      window.clearTimeout(timer);
      run();
    },
    close() {
      window.clearTimeout(timer);
      if (running) running.abort();
      results.close();
      document.removeEventListener("muquery:library", onLibrary);
    },
  };
}
