// What a search found, best first: a picture or a passage of each, where in it, and why it is here.

import { Picture } from "./grid.js";
import { Icon, KindIcon } from "./icons.js";
import { listUrl } from "./query.js";
import { api, results, thumb, withQuery } from "./state.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "./ui.js";
import { day, kindName, length, plainly, plural } from "./words.js";

const PAGE = 60;
const MOST = 600; // further down nobody looks: other words help more
const WHY = {
  picture: "looks like it", text: "means it", words: "has the words", parts: "part of a word", letters: "nearly the words", name: "by its name",
  object: "shows it", time: "in that order",
};

/** Hits of `asked` within `filters`. */
export function Hits({ asked, filters, isCovered, onProblem }) {
  const [found, setFound] = useState(null);
  const [isLoading, setLoading] = useState(false);
  const end = useRef(null);
  const [list] = useState(() => new HitList());

  const load = async (offset, signal) => {
    setLoading(true);
    try {
      const page = await api("/api/search", { query: { ...asked, ...filters, limit: PAGE, offset }, signal });
      list.add(page.hits);
      setFound({ ...page, hits: list.hits, isWhole: page.hits.length < PAGE || list.hits.length >= MOST });
    } catch (problem) {
      if (problem.name !== "AbortError") onProblem(problem);
    } finally {
      setLoading(false);
    }
  };
  useEffect(() => {
    const stop = new AbortController();
    load(0, stop.signal);
    results.list = list;
    return () => {
      stop.abort();
      if (results.list === list) results.list = null;
    };
  }, []);
  useEffect(() => {
    if (!end.current || !found || found.isWhole) return undefined;
    const observer = new IntersectionObserver(
      ([{ isIntersecting }]) => isIntersecting && !isLoading && load(found.hits.length),
      { rootMargin: "800px" },
    );
    observer.observe(end.current);
    return () => observer.disconnect();
  }, [found, isLoading]);
  const opened = useRef("");
  useEffect(() => {
    if (isCovered) opened.current = location.pathname.slice("/asset/".length);
    else if (opened.current) list.focus(opened.current);
  }, [isCovered, isCovered && location.pathname]);
  useLayoutEffect(() => {
    if (isCovered) return undefined;
    const press = (event) => list.press(event);
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [isCovered]);

  if (!found) return html`<div class="hits is-waiting" aria-busy="true"></div>`;
  if (!found.hits.length) return html`<${Nothing} ...${{ asked, filters, found }} />`;
  return html`
    ${asked.like && html`<${Like} ...${{ asked, filters }} />`}
    <${Understood} found=${found} />
    <ol class="hits" aria-label="Hits, best first">
      ${found.hits.map((hit) => html`<${Card} key=${hit.asset_id} hit=${hit} />`)}
    </ol>
    <div ref=${end} class="end">
      ${found.isWhole && found.hits.length >= MOST && html`<p>These are the best ${found.hits.length}. More words narrow it down.</p>`}
    </div>
  `;
}

/** What the hits are like, with a way out. */
function Like({ asked, filters }) {
  return html`<p class="like">
    <a href=${`/asset/${asked.like}`} aria-label="What these are like"><img src=${thumb(asked.like)} alt="" /></a>
    <span>Like this${asked.but ? html`, but “${asked.but}”` : ""}</span>
    <a class="chip" href=${listUrl({}, filters)}>Show everything<${Icon} name="close" /></a>
  </p>`;
}

/** What was read in the words, and what would help. */
function Understood({ found }) {
  const read = (found.understood ?? []).map(([field, value, words]) => `${field} ${value}${words ? ` (“${words}”)` : ""}`);
  const notes = [...(found.advice ?? [])];
  if (found.is_partial?.length) notes.push(`Not asked this time: ${found.is_partial.join(", ")}.`);
  if (!read.length && !notes.length) return null;
  return html`<div class="understood" role="status">
    ${read.length > 0 && html`<p><span>Understood:</span> ${read.map((one) => html`<span class="chip is-bare">${one}</span> `)}</p>`}
    ${notes.map((note) => html`<p>${note}</p>`)}
  </div>`;
}

function Nothing({ asked, filters, found }) {
  const isNarrowed = Object.keys(filters).length > 0;
  return html`<div class="empty">
    <${Icon} name="search" />
    <h1>Nothing found${asked.q ? html` for “${asked.q}”` : ""}</h1>
    <ul>
      ${(found.advice ?? []).map((note) => html`<li>${note}</li>`)}
      ${!found.advice?.length && html`<li>Try fewer words, or say it differently: what is to be seen, said or written counts.</li>`}
    </ul>
    <div class="chips">
      ${isNarrowed && html`<a class="chip is-on" href=${listUrl(asked, {})}>Search without filters</a>`}
      <a class="chip" href="/">Show everything</a>
    </div>
  </div>`;
}

function Card({ hit }) {
  const [isBroken, setBroken] = useState(!["image", "video", "document"].includes(hit.kind));
  const { piece } = hit;
  const where = spot(hit);
  const isText = isBroken || (hit.kind === "document" && piece?.snippet);
  const file = hit.path.split("/").at(-1);
  const facts = [kindName(hit.kind), hit.kind === "document" && plainly(file), day(hit.dated_at)];
  const why = [...new Set((hit.reasons ?? []).map(({ door }) => WHY[door] ?? door))].join(", ");
  const [l, t, r, b] = piece?.box ?? [0, 0, 1, 1];
  const middle = piece?.box ? `${((l + r) / 2) * 100}% ${((t + b) / 2) * 100}%` : null;
  return html`<li class=${`hit is-${hit.kind}`}>
    <a href=${address(hit)} id=${`h${hit.asset_id.slice(0, 20)}`} title=${plainly(`${hit.root}:${hit.path}`)}>
      <span class="face" style=${middle && { "--middle": middle }}>
        ${isText
          ? html`<span class="leaf">
              <${KindIcon} kind=${hit.kind} />
              <span>${piece?.snippet ? html`<${Marked} text=${piece.snippet} />` : plainly(hit.caption || hit.title)}</span>
            </span>`
          : html`<${Picture} id=${hit.asset_id} onBroken=${() => setBroken(true)} />`}
        ${where && html`<span class="badge">${["video", "audio"].includes(hit.kind) && html`<${Icon} name="play" />`}${where}</span>`}
      </span>
      <span class="hit-name">${plainly(hit.title || file)}</span>
      <span class="hit-facts">${[...facts, why].filter(Boolean).join(" · ")}</span>
      ${!isText && piece?.snippet && html`<span class="hit-snippet"><${Marked} text=${piece.snippet} /></span>`}
    </a>
  </li>`;
}

/** Where in it: "1:05", "page 3"; of a film without a place its length. */
function spot({ piece, duration_s: duration }) {
  if (piece?.start_s != null) return length(piece.start_s);
  if (piece?.page) return `page ${piece.page}`;
  return duration ? length(duration) : "";
}

/** The address that opens a hit at the place that was found. */
function address({ asset_id: id, piece }) {
  const t = piece?.start_s ? Math.floor(piece.start_s * 10) / 10 : "";
  return withQuery(`/asset/${id}`, { t, page: piece?.page, span: piece?.span });
}

/** Text whose matches stand between the characters \x02 and \x03. */
function Marked({ text }) {
  return text.split("\x02").map((part, at) => {
    const [inside, outside = ""] = at ? part.split("\x03") : ["", part];
    return html`${inside && html`<mark>${plainly(inside)}</mark>`}${plainly(outside)}`;
  });
}

/** Who is beside whom among the hits. */
class HitList {
  hits = [];

  add(hits) {
    const known = new Set(this.hits.map(({ asset_id: id }) => id));
    this.hits = this.hits.concat(hits.filter(({ asset_id: id }) => !known.has(id)));
  }

  async neighbour(id, step) {
    const at = this.hits.findIndex(({ asset_id: one }) => one === id);
    const next = at < 0 ? null : this.hits[at + step];
    return next ? address(next) : null;
  }

  focus(id) {
    const card = document.getElementById(`h${id.slice(0, 20)}`);
    card?.focus({ preventScroll: true });
    card?.scrollIntoView({ block: "nearest" });
  }

  /** Arrows go from card to card: up and down to the one nearest in the next row. */
  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || event.defaultPrevented) return;
    const cards = [...document.querySelectorAll(".hits > .hit > a")];
    const active = document.activeElement;
    const at = cards.indexOf(active);
    const isFree = active === document.body || active?.id === "main";
    let next = null;
    if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      if (at >= 0) next = cards[at + (event.key === "ArrowRight" ? 1 : -1)];
      else if (isFree) next = cards[0];
    } else if (at >= 0 && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      const { left, top } = active.getBoundingClientRect();
      const isDown = event.key === "ArrowDown";
      const column = cards.filter((card) => {
        const box = card.getBoundingClientRect();
        return Math.abs(box.left - left) < 8 && (isDown ? box.top > top + 8 : box.top < top - 8);
      });
      next = isDown ? column[0] : column.at(-1);
    }
    if (!next) return;
    event.preventDefault();
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  }
}
