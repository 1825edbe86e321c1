// A list of assets: everything by month, or what a search found; with the filters above it.

import { Filters } from "./filters.js";
import { Grid } from "./grid.js";
import { Hits } from "./hits.js";
import { Icon } from "./icons.js";
import { askedOf, filtersOf } from "./query.js";
import { html, useEffect, useState } from "./ui.js";

/** The list that `query` (URLSearchParams) describes; `isCovered` by an asset that was opened from it. */
export function Browse({ url, query, isCovered }) {
  const [asked, filters] = [askedOf(query), filtersOf(query)];
  const [problem, setProblem] = useState(null);
  const [tries, setTries] = useState(0);
  useEffect(() => setProblem(null), [url, tries]);
  const isSearch = Boolean(asked.q || asked.like);
  const shared = { key: `${url} ${tries}`, filters, isCovered, onProblem: setProblem };
  return html`
    <h1 class="visually-hidden">${isSearch ? `Search: ${asked.q ?? "similar"}` : "Everything"}</h1>
    <${Filters} asked=${asked} filters=${filters} />
    ${problem
      ? html`<${Trouble} problem=${problem} onRetry=${() => setTries(tries + 1)} />`
      : isSearch
        ? html`<${Hits} ...${shared} asked=${asked} />`
        : html`<${Grid} ...${shared} empty=${html`<${Empty} isNarrowed=${Object.keys(filters).length > 0} />`} />`}
  `;
}

function Trouble({ problem, onRetry }) {
  return html`<div class="empty" role="alert">
    <${Icon} name="away" />
    <h2>${problem.message}</h2>
    ${problem.hint && html`<p>${problem.hint}</p>`}
    <button class="button" type="button" onClick=${onRetry}>Try again</button>
  </div>`;
}

function Empty({ isNarrowed }) {
  if (isNarrowed) {
    return html`<div class="empty">
      <${Icon} name="search" />
      <h2>Nothing has all of this</h2>
      <p>Take one of the filters away, or start over.</p>
      <a class="button" href="/">Show everything</a>
    </div>`;
  }
  return html`<div class="empty">
    <${Icon} name="image" />
    <h2>Nothing here yet</h2>
    <p>Put files below a directory that is watched; minutes later they are here.</p>
    <a class="button" href="/status">See what is going on</a>
  </div>`;
}
