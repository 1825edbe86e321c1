// A document: its passages page by page, a letter with its head, a table with its first rows, a PDF as it looks.

import { html, useCallback, useEffect, useMemo, useRef, useState } from "../ui.js";
import { useListed, useReached } from "../fetched.js";
import { Name, Trouble, Waiting } from "../notices.js";
import { size, time, when } from "../words.js";
import { Thumb } from "./plain.js";
import { Tables } from "./table.js";

const PDF = "application/pdf";
const HEADERS = ["From", "To", "Cc", "Attachments"];

export function Document({ asset, at }) {
  const canLook = asset.mime === PDF && !asset.is_away && navigator.pdfViewerEnabled;
  const hasText = Boolean(written(asset));
  const [looks, setLooks] = useState(canLook && !hasText);
  const page = at.page === null ? "" : `#page=${at.page}`;
  return html`<div class="document">
    ${
      canLook &&
      html`<div class="choice" role="group" aria-label="Shown as">
        <button type="button" class="button quiet" aria-pressed=${!looks} onClick=${() => setLooks(false)}>Text</button>
        <button type="button" class="button quiet" aria-pressed=${looks} onClick=${() => setLooks(true)}>Pages</button>
        <a class="button quiet" href=${`/api/assets/${asset.id}/content${page}`} target="_blank" rel="noopener"
          >Open in a tab</a
        >
      </div>`
    }
    ${
      looks
        ? html`<iframe
            class="paper"
            title=${asset.title || "Document"}
            src=${`/api/assets/${asset.id}/content${page}`}
          ></iframe>`
        : html`<${Sheets} asset=${asset} at=${at} />`
    }
  </div>`;
}

function Sheets({ asset, at }) {
  const kind = written(asset);
  const path = kind && `/api/assets/${asset.id}/spans?kind=${kind}&limit=200`;
  const { items, error, isWhole, more, retry } = useListed(path, "offset");
  const pages = useMemo(() => paged(items), [items]);
  const sought = useRef(null);
  const isThere = items.some((one) => isSought(one, at));
  useEffect(() => {
    if (isThere) sought.current?.scrollIntoView({ block: "start" });
    else if (!isWhole && (at.page !== null || at.span !== null)) more();
  }, [isThere, isWhole, more]);
  const end = useReached(useCallback(() => more(), [more]));
  if (error) return html`<${Trouble} error=${error} retry=${retry} />`;
  const isTable = asset.kind === "table";
  if (path && !items.length && !isWhole) return html`<div class="paper text"><${Waiting} /></div>`;
  return html`<div class="paper text">
    <${Letterhead} asset=${asset} />
    ${isTable && html`<${Tables} asset=${asset} passages=${items} />`}
    ${
      !isTable &&
      pages.map(
        (page) =>
          html`<section
            key=${page.key}
            ref=${page.passages.some((one) => isSought(one, at)) ? sought : null}
            class=${page.passages.some((one) => isSought(one, at)) ? "is-sought" : ""}
          >
            ${page.number !== null && html`<h2 class="page-number">Page ${page.number}</h2>`}
            <div class="prose" dir="auto">${page.text}</div>
          </section>`,
      )
    }
    ${path && !isWhole && html`<div ref=${end}><${Waiting} /></div>`}
    ${
      !path &&
      html`<div class="plain">
        <${Thumb} asset=${asset} />
        <p>No text was found in it (${size(asset.size_bytes)}).</p>
      </div>`
    }
  </div>`;
}

/** The kind of its pieces that hold what is written: as it says itself, else as it was read from its pictures. */
const written = ({ spans }) => ["passage", "text"].find((kind) => spans[kind] > 0) ?? "";

const isSought = (passage, at) =>
  at.span !== null ? passage.span === at.span : at.page !== null && passage.page === at.page;

/** Passages joined to pages: where one begins before the last ended, that was said already. */
function paged(passages) {
  const pages = [];
  for (const one of [...passages].sort((a, b) => (a.start ?? a.span) - (b.start ?? b.span))) {
    const number = one.page ?? null;
    let page = pages.at(-1);
    if (!page || page.number !== number) {
      page = { key: one.span, number, text: "", end: one.start ?? 0, passages: [] };
      pages.push(page);
    }
    const known = Math.max(0, page.end - (one.start ?? page.end));
    const gap = page.text && (one.start ?? Infinity) > page.end ? "\n" : "";
    page.text += gap + [...one.text].slice(known).join(""); // offsets count characters, not halves of them
    page.end = Math.max(page.end, one.end ?? page.end);
    page.passages.push(one);
  }
  return pages;
}

/** Who wrote to whom, of a letter; nothing of anything else. */
function Letterhead({ asset }) {
  const told = new Map(asset.exif.map(([name, value]) => [name.toLowerCase(), value]));
  if (!told.get("from")) return null;
  const date = asset.dated_by === "document" ? `${when(asset.dated_at)}, ${time(asset.dated_at)}` : "";
  const lines = [
    ["Subject", asset.title],
    ...HEADERS.map((name) => [name, told.get(name.toLowerCase())]),
    ["Date", date],
  ];
  return html`<dl class="letterhead">
    ${lines
      .filter(([, value]) => value)
      .map(
        ([name, value]) =>
          html`<div>
            <dt>${name}</dt>
            <dd><${Name} text=${value} /></dd>
          </div>`,
      )}
  </dl>`;
}
