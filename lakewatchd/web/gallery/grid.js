// The grid of everything: months below each other, of which only what is in sight is in the page.
//
// The invariant: what a person sees stays where it is. Pictures get their place before they are loaded; where a month
// turns out higher or lower than was guessed, the page scrolls by as much in the same frame.

import { Icon, KindIcon } from "./icons.js";
import { HEADING, Months } from "./months.js";
import { Scrubber } from "./scrubber.js";
import { api, results, thumb } from "./state.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "./ui.js";
import { day, kindName, length, plainly, plural } from "./words.js";

const BAR = 72; // what the frame covers above
const BELOW = 88;
const CALM_MS = 90; // without a fast scroll for so long: what is in sight is worth loading
const PICTURED = new Set(["image", "video", "document"]);

/** Everything that `filters` let through; `empty` is shown where that is nothing. */
export function Grid({ filters, isCovered, onProblem, empty }) {
  const [months, setMonths] = useState(null);
  useEffect(() => {
    const stop = new AbortController();
    api("/api/timeline", { query: filters, signal: stop.signal }).then(
      (timeline) => setMonths(new Months(filters, timeline)),
      (problem) => problem.name !== "AbortError" && onProblem(problem),
    );
    return () => stop.abort();
  }, []);
  if (!months) return html`<div class="grid is-waiting" aria-busy="true"></div>`;
  return months.total ? html`<${Sheet} ...${{ months, isCovered, onProblem }} />` : empty;
}

function Sheet({ months, isCovered, onProblem }) {
  const box = useRef(null);
  const [self] = useState(() => new Scroll(months));
  const [, setTick] = useState(0);

  useLayoutEffect(() => {
    self.box = box.current;
    self.draw = () => setTick((tick) => tick + 1);
    self.onProblem = onProblem;
    self.fit();
    const observer = new ResizeObserver(() => self.fit());
    observer.observe(box.current);
    const scroll = () => self.scrolled();
    addEventListener("scroll", scroll, { passive: true });
    results.list = months;
    return () => {
      observer.disconnect();
      removeEventListener("scroll", scroll);
      self.end();
    };
  }, []);
  useLayoutEffect(() => self.settle()); // after each drawing, before it is seen
  useLayoutEffect(() => {
    if (isCovered) return undefined;
    const press = (event) => self.press(event);
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [isCovered]);
  const opened = useRef("");
  useEffect(() => {
    if (isCovered) opened.current = location.pathname.slice("/asset/".length);
    else if (opened.current) self.goTo(opened.current, { isQuiet: true });
  }, [isCovered, isCovered && location.pathname]);

  return html`
    <div class="grid" ref=${box} style=${{ height: px(months.height) }}>
      ${months.space && self.sections().map(({ month, rows, isLacking }) => html`
        <section key=${month.name} class="month" style=${{ top: px(month.top), height: px(month.height) }} aria-label=${month.name}>
          <h2>${month.name} <small>${plural(month.count, "file")}</small></h2>
          <div class="rows" style=${{ top: px(HEADING) }}>
            ${rows.flatMap((row) => drawn(row, self.isFast))}
            ${isLacking && html`<div
              key=${month.items.length} class="unknown"
              style=${{
                top: px(month.laid.height + (month.items.length ? months.space.gap : 0)), bottom: 0,
                "--row": px(months.space.target), "--between": px(months.space.gap),
              }}
            ></div>`}
          </div>
        </section>
      `)}
    </div>
    ${months.space && html`<${Scrubber} months=${months} self=${self} />`}
  `;
}

const px = (value) => `${value}px`;

/** A row, drawn once: the same object again lets the library pass it over. Without its pictures while they fly by. */
function drawn(row, isFast) {
  if (row.whole) return row.whole;
  const tiles = row.boxes.map(({ item, left, width }) =>
    html`<${Tile} key=${item.id} item=${item} box=${{ left: px(left), width: px(width), top: px(row.top), height: px(row.height) }} isBare=${isFast} />`,
  );
  if (!isFast) row.whole = tiles;
  return tiles;
}

/** The link to an asset, with its picture. `box`: where it lies, as CSS. */
function Tile({ item, box, isBare }) {
  const [isBroken, setBroken] = useState(!PICTURED.has(item.kind));
  const name = [kindName(item.kind), plainly(item.title), day(item.dated_at)].filter(Boolean).join(", ");
  const isNamed = !["image", "video"].includes(item.kind); // a page of text looks like any other
  return html`<a
    class=${`tile is-${item.kind}`} id=${tileId(item.id)} href=${`/asset/${item.id}`} aria-label=${name} style=${box}
  >
    ${!isBare && !isBroken && html`<${Picture} id=${item.id} onBroken=${() => setBroken(true)} />`}
    ${isBroken && html`<span class="leaf"><${KindIcon} kind=${item.kind} /><span>${plainly(item.title)}</span></span>`}
    ${item.kind === "video" && html`<span class="badge"><${Icon} name="play" />${item.duration_s ? length(item.duration_s) : ""}</span>`}
    ${isNamed && html`<span class="tile-name">${plainly(item.name)}</span>`}
    ${item.is_away && html`<span class="badge is-away" title="The original is away"><${Icon} name="away" /></span>`}
  </a>`;
}

const tileId = (id) => `a${id.slice(0, 20)}`;

/** A picture that appears when it is there, at once where the browser had it already. */
export function Picture({ id, onBroken }) {
  const image = useRef(null);
  useLayoutEffect(() => {
    const element = image.current;
    if (element.complete && element.naturalWidth) element.classList.add("is-there");
    return () => element.complete || element.removeAttribute("src"); // or it would be waited for by those that follow
  }, []);
  return html`<img
    ref=${image} src=${thumb(id)} alt="" decoding="async" draggable="false"
    onLoad=${() => image.current?.classList.add("is-there", "has-come")} onError=${onBroken}
  />`;
}

/** What the window shows of `months`: which months are drawn, which are loaded, and that nothing jumps. */
class Scroll {
  constructor(months) {
    this.months = months;
    this.box = null; // the element
    this.draw = () => {};
    this.onProblem = () => {};
    this.isFast = false;
    this.shift = 0; // by which the page is to scroll, since heights above changed
    this.target = ""; // the asset that gets the focus once it is drawn
    this.last = scrollY;
    this.calm = 0;
    this.frame = 0;
    months.apply = (change) => this.keep(change);
  }

  get top() {
    return this.box ? scrollY - this.box.offsetTop : 0;
  }

  fit() {
    const width = this.box.clientWidth;
    if (!width || width === this.months.space?.width) return;
    const target = width < 600 ? 118 : width < 1000 ? 184 : 232;
    this.months.fit({ width, target, gap: width < 600 ? 3 : 6 });
  }

  /** Makes a change of heights so that the first picture in sight stays where it is. */
  keep(change) {
    const { months } = this;
    const edge = Math.max(0, this.top + this.shift + BAR);
    const row = months.between(edge, edge + innerHeight).flatMap((month) => months.rows(month, edge, edge + innerHeight))[0];
    const id = row?.boxes[0].item.id;
    const month = months.months[months.at(edge)];
    const before = id ? months.find(id).top : month.top;
    change();
    const after = (id && months.find(id)?.top) ?? month.top;
    if (this.top > 0) this.shift += after - before;
    this.draw();
  }

  /** Months in sight or near it, with the rows to draw. What follows an unknown stretch in sight is left out unless it is
   * known: it would move. */
  sections() {
    const { months } = this;
    const top = this.top + this.shift;
    const [from, to] = [top - innerHeight, top + 2 * innerHeight];
    const sections = [];
    for (const month of months.between(from, to)) {
      const isLacking = months.lacks(month, to);
      const isUnsure = sections.at(-1)?.isLacking && sections.at(-1).month.top + sections.at(-1).month.height > top;
      if (isUnsure && !month.items.length) break;
      sections.push({ month, isLacking, rows: months.rows(month, from, to) });
      if (isLacking) this.load(month);
      else months.touch(month);
    }
    return sections;
  }

  load(month) {
    if (month.loading || month.isFailed || this.isFast) return;
    this.months.load(month).catch((problem) => {
      month.isFailed = true;
      this.onProblem(problem);
    });
  }

  /** After a drawing: scrolls by what has changed above, and gives the focus. */
  settle() {
    if (this.shift) {
      const shift = this.shift;
      this.shift = 0;
      scrollBy({ top: shift, behavior: "instant" });
      this.last = scrollY;
    }
    if (this.target) {
      const tile = document.getElementById(tileId(this.target));
      tile?.focus({ preventScroll: true });
      if (tile) this.target = "";
    }
  }

  scrolled() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.isFast = Math.abs(scrollY - this.last) > innerHeight * 0.8;
      this.last = scrollY;
      clearTimeout(this.calm);
      if (this.isFast) {
        this.calm = setTimeout(() => {
          this.isFast = false;
          this.draw();
        }, CALM_MS);
      }
      this.draw();
    });
  }

  /** Brings an asset that is loaded into sight, and the focus to it. */
  goTo(id, { isQuiet = false } = {}) {
    const place = this.months.find(id);
    if (!place) return;
    const [top, bottom] = [this.top + BAR, this.top + innerHeight - BELOW];
    if (place.top < top) scrollBy({ top: place.top - top - 8, behavior: "instant" });
    else if (place.top + place.height > bottom) {
      const by = place.top + place.height - bottom + 8;
      scrollBy({ top: isQuiet ? Math.max(by, place.top - top - innerHeight / 3) : by, behavior: "instant" });
    }
    this.target = id;
    this.draw();
  }

  async press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || event.defaultPrevented) return;
    const tile = document.activeElement?.closest?.(".grid .tile");
    const isFree = !document.activeElement || document.activeElement === document.body || document.activeElement.id === "main";
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!tile && isFree && step) {
      event.preventDefault();
      const first = this.sections().flatMap(({ month, rows }) => rows.map((row) => ({ month, row })))
        .find(({ month, row }) => month.top + HEADING + row.top >= this.top + 60);
      if (first) this.goTo(first.row.boxes[0].item.id);
      return;
    }
    if (!tile) return;
    const id = tile.getAttribute("href").slice("/asset/".length);
    if (step) {
      event.preventDefault();
      const item = await this.months.beside(id, step).catch(() => null);
      if (item) this.goTo(item.id);
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const next = await this.vertical(id, event.key === "ArrowDown" ? 1 : -1).catch(() => null);
      if (next) this.goTo(next);
    } else if (event.key === "Home") {
      event.preventDefault();
      scrollTo({ top: 0, behavior: "instant" });
      this.target = this.months.months[0].items[0]?.id ?? "";
      this.draw();
    }
  }

  /** The asset in the next row that lies nearest to `id`. */
  async vertical(id, step) {
    const { months } = this;
    const place = months.find(id);
    const edge = place.row.boxes.at(step > 0 ? -1 : 0).item.id;
    const next = await months.beside(edge, step);
    if (!next) return null;
    const middle = place.left + place.width / 2;
    const away = ({ left, width }) => Math.abs(left + width / 2 - middle);
    const boxes = months.find(next.id).row.boxes;
    return boxes.reduce((best, one) => (away(one) < away(best) ? one : best)).item.id;
  }

  end() {
    clearTimeout(this.calm);
    cancelAnimationFrame(this.frame);
    this.draw = () => {};
    if (results.list === this.months) results.list = null;
  }
}
