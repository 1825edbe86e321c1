// Groups of files that are the same, or nearly: side by side, what differs, and which one stands for the others.

import { html, useCallback } from "./ui.js";
import { useListed, useReached } from "./fetched.js";
import { Icon } from "./icons.js";
import { Name, Place, Trouble, Waiting } from "./notices.js";
import { Thumb } from "./viewer/plain.js";
import { day, length, number, plural, size } from "./words.js";

/** `group`: only this one. */
export function Duplicates({ group = "" }) {
  const path = `/api/duplicates?limit=20${group ? `&group=${encodeURIComponent(group)}` : ""}`;
  const { items, error, isWhole, more, retry } = useListed(path);
  const end = useReached(useCallback(() => more(), [more]));
  return html`<div class="page duplicates">
    <header>
      <h1>Duplicates</h1>
      <p class="quietly">
        Of each group the best one is kept in sight and stands for the others. Nothing is ever deleted by
        lakewatch:${" "}
        <code>lakewatchd dups</code> lists what could go.
      </p>
      ${group && html`<p><a href="/duplicates">All groups</a></p>`}
    </header>
    ${items.map((one) => html`<${Group} key=${one.group} group=${one} />`)}
    ${error && html`<${Trouble} error=${error} retry=${retry} />`}
    ${!isWhole && !error && html`<div ref=${end}><${Waiting} /></div>`}
    ${
      isWhole &&
      !items.length &&
      html`<div class="empty">
        <${Icon} name="copies" />
        <h2>No duplicates</h2>
        <p>Nothing in the lake is there twice, or nearly.</p>
      </div>`
    }
  </div>`;
}

function Group({ group }) {
  const kept = group.assets.find((one) => one.is_kept) ?? group.assets[0];
  const title = kept?.title || "Untitled";
  const spare = group.reclaimable_bytes;
  return html`<section class="card group" aria-label=${`Duplicates of ${title}`}>
    <h2>
      <${Name} text=${title} />${" "}
      <small>${plural(group.assets.length, "file")}${spare > 0 && `, ${size(spare)} beside the one that stays`}</small>
    </h2>
    <ul>
      ${group.assets.map((one) => html`<${One} key=${`${one.root}/${one.path}`} one=${one} kept=${kept} />`)}
    </ul>
  </section>`;
}

function One({ one, kept }) {
  return html`<li class=${one.is_kept ? "is-kept" : ""}>
    <a class="look" href=${`/asset/${one.id}`}><${Thumb} asset=${one} words=${one.title || "Untitled"} /></a>
    <p class="verdict">
      ${
        one.is_kept
          ? html`<${Icon} name="check" /> Stays`
          : one.id === kept.id || one.is_exact
            ? "The same bytes"
            : "Nearly the same"
      }
    </p>
    <dl>
      ${differences(one, kept).map(
        ([name, value, differs]) =>
          html`<div class=${differs ? "differs" : ""}>
            <dt>${name}</dt>
            <dd>${value}${differs && html`<span class="visually-hidden"> (differs)</span>`}</dd>
          </div>`,
      )}
    </dl>
    <p><${Place} ...${one} /></p>
  </li>`;
}

/** (name, words, whether they differ from those of the one that is kept); what neither has is left out. */
function differences(one, kept) {
  const told = [
    ["Size", (asset) => size(asset.size_bytes)],
    ["Pixels", (asset) => (asset.width && asset.height ? `${number(asset.width)} × ${number(asset.height)}` : "")],
    ["Length", (asset) => (asset.duration_s ? length(asset.duration_s) : "")],
    ["Type", (asset) => asset.mime ?? ""],
    ["Date", (asset) => day(asset.dated_at)],
  ];
  return told
    .map(([name, words]) => [name, words(one), words(one) !== words(kept)])
    .filter(([, value, differs]) => value || differs);
}
