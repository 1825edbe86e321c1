// What is asked of a list, as the address says it: the words and the filters, by the names the API knows them by.

import { withQuery } from "./state.js";

const LISTS = ["kind", "tag", "any_tag", "no_tag"];
const SINGLE = ["category", "country", "city", "root", "object", "where", "since", "until"];
const ASKED = ["q", "like", "but", "after", "within"];

/** The filters of an address (URLSearchParams), for the API and for other addresses. */
export function filtersOf(query) {
  const filters = {};
  for (const name of LISTS) if (query.has(name)) filters[name] = query.getAll(name);
  for (const name of SINGLE) if (query.get(name)) filters[name] = query.get(name);
  return filters;
}

/** What is searched for; empty where everything is shown. */
export const askedOf = (query) =>
  Object.fromEntries(ASKED.filter((name) => query.get(name)).map((name) => [name, query.get(name)]));

/** The address of the list that shows `asked` within `filters`. */
export function listUrl(asked, filters) {
  return withQuery(asked.q || asked.like ? "/search" : "/", { ...asked, ...filters });
}

/** `filters` with `value` of a list put in, or taken out where it was in. */
export function turned(filters, name, value) {
  const now = filters[name] ?? [];
  const next = now.includes(value) ? now.filter((one) => one !== value) : [...now, value];
  return { ...filters, [name]: next };
}

/** The year that `since` and `until` stand for together, or "". */
export function yearOf({ since, until }) {
  const year = /^(\d{4})-01-01$/.exec(since ?? "")?.[1];
  return year && until === `${String(Number(year) + 1).padStart(4, "0")}-01-01` ? year : "";
}

export const spanOf = (year) => ({
  since: `${String(year).padStart(4, "0")}-01-01`, until: `${String(Number(year) + 1).padStart(4, "0")}-01-01`,
});
