// What the library shows, as a value and as an address.

import { filterJson, filtersFrom, filtersInto } from "./filters.js";

export const SORTS = ["-added_at", "title", "-title", "artist", "-artist", "album", "-album",
  "year", "-year", "duration_s", "-duration_s", "added_at"];
const DEFAULT_SORT = "-added_at";

export function libraryFrom(params) {
  const sort = params.get("sort");
  return {
    q: params.get("q") || "",
    sort: SORTS.includes(sort) ? sort : DEFAULT_SORT,
    filters: filtersFrom(params),
  };
}

export function libraryAddress({ q, sort, filters }) {
  const params = new URLSearchParams();
  if (q.trim()) params.set("q", q.trim());
  if (sort !== DEFAULT_SORT) params.set("sort", sort);
  filtersInto(filters, params);
  const text = params.toString();
  return text ? `#/library?${text}` : "#/library";
}

/** The parameters of GET /tracks for one page of it. */
export function tracksParams({ q, sort, filters }, { limit, cursor = null }) {
  const filter = filterJson(filters);
  return { q: q.trim(), sort, filter: filter && JSON.stringify(filter), limit, cursor };
}
