// All that a grid shows, month by month, of which only what was looked at is loaded.
//
// The timeline says how many assets a month has; that makes a place for each month at once, as high as it will be about.
// Months of one year with little in them share a place. What comes into sight is loaded in pages and then as high as it
// is. The invariant: tops and heights always fit together, and what is loaded keeps its order, which is that of the
// server: newest first.

import { guess, justify, shape } from "./layout.js";
import { api } from "./state.js";
import { monthsName } from "./words.js";

const PAGE = 1000; // as many as the API gives at once: most months are whole with the first
const FEW = 12; // assets that a month needs for a heading of its own
export const HEADING = 60; // above a month: its name
const AFTER = 20; // below a month
const MAX_LOADED = 30_000; // assets kept in memory; what was looked at longest ago goes first

export class Months {
  /** `filters`: what the API is asked with; `timeline`: `[{year, month, count}]`, newest first. */
  constructor(filters, timeline) {
    this.filters = filters;
    this.space = null;
    this.shapes = { sum: 1.35 * 20, count: 20 }; // most photos are 4:3 or 3:2, until it is known better
    this.months = shared(timeline).map(({ year, first, last, count }) => ({
      year, first, last, count, name: monthsName(year, first, last), items: [], cursor: "", isWhole: false, loading: null,
      laid: null, seen: 0, top: 0, height: 0,
    }));
    this.total = this.months.reduce((sum, { count }) => sum + count, 0);
    this.height = 0;
    this.clock = 0;
    this.where = new Map(); // id -> month
    this.apply = (change) => change(); // who shows it wraps each change of heights
  }

  /** Lays all out for `space`: `{width, target, gap}`. */
  fit(space) {
    this.apply(() => {
      this.space = space;
      for (const month of this.months) month.laid = null;
      this.#stack();
    });
  }

  #stack() {
    const mean = this.shapes.sum / this.shapes.count;
    let top = 0;
    for (const month of this.months) {
      month.laid ??= justify(month.items, this.space);
      const rest = month.isWhole ? 0 : Math.max(0, month.count - month.items.length);
      const more = rest ? guess(rest, mean, this.space) + (month.items.length ? this.space.gap : 0) : 0;
      month.top = top;
      month.height = HEADING + month.laid.height + more + AFTER;
      top += month.height;
    }
    this.height = top;
  }

  /** The months that lie between two heights. */
  between(from, to) {
    const found = [];
    for (let index = this.at(from); index < this.months.length && this.months[index].top < to; index++) {
      found.push(this.months[index]);
    }
    return found;
  }

  /** Index of the month at `height`. */
  at(height) {
    let [low, high] = [0, this.months.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.months[middle].top <= height) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** The rows of `month` between two heights of the whole; `top` of a row counts from the month. */
  rows(month, from, to) {
    const offset = month.top + HEADING;
    return (month.laid?.rows ?? []).filter((row) => offset + row.top < to && offset + row.top + row.height > from);
  }

  /** Does `month` lack something above `to`? */
  lacks(month, to) {
    return !month.isWhole && month.top + HEADING + month.laid.height < to;
  }

  /** Loads one more page of `month`. Rejects with a Problem. One request at a time for a month. */
  load(month) {
    month.loading ??= this.#load(month).finally(() => {
      month.loading = null;
    });
    return month.loading;
  }

  async #load(month) {
    const { since, until } = bounds(month, this.filters);
    const query = { ...this.filters, since, until, limit: PAGE, cursor: month.cursor };
    const { items, next } = await api("/api/assets", { query });
    this.apply(() => {
      for (const item of items) {
        this.where.set(item.id, month);
        this.shapes.sum += shape(item);
        this.shapes.count += 1;
      }
      month.items = month.items.concat(items);
      month.cursor = next ?? "";
      month.isWhole = !next;
      month.seen = ++this.clock;
      month.laid = null;
      this.#forget(month);
      this.#stack();
    });
  }

  #forget(except) {
    let loaded = this.months.reduce((sum, { items }) => sum + items.length, 0);
    if (loaded <= MAX_LOADED) return;
    const old = this.months.filter((month) => month.items.length && month !== except && !month.loading);
    for (const month of old.sort((a, b) => a.seen - b.seen)) {
      if (loaded <= MAX_LOADED * 0.8) break;
      loaded -= month.items.length;
      for (const { id } of month.items) this.where.delete(id);
      Object.assign(month, { items: [], cursor: "", isWhole: false, laid: null });
    }
  }

  touch(month) {
    month.seen = ++this.clock;
  }

  /** Where an asset that is loaded lies: `{top, left, width, height, row, month}`, or null. */
  find(id) {
    const month = this.where.get(id);
    for (const row of month?.laid?.rows ?? []) {
      const box = row.boxes.find(({ item }) => item.id === id);
      if (box) return { month, row, left: box.left, width: box.width, top: month.top + HEADING + row.top, height: row.height };
    }
    return null;
  }

  /** The asset `step` (1 or -1) further than `id`, loading what is missing; null at an end. */
  async beside(id, step) {
    let month = this.where.get(id);
    if (!month) return null;
    let index = month.items.findIndex((item) => item.id === id) + step;
    for (;;) {
      if (index >= 0 && index < month.items.length) return month.items[index];
      if (index >= month.items.length && !month.isWhole) {
        await this.load(month);
        continue;
      }
      month = this.months[this.months.indexOf(month) + step];
      if (!month) return null;
      while (!month.isWhole && (step < 0 || !month.items.length)) await this.load(month);
      index = step > 0 ? 0 : month.items.length - 1;
      if (!month.items.length) index = step > 0 ? 0 : -1;
    }
  }

  async neighbour(id, step) {
    const item = await this.beside(id, step);
    return item && `/asset/${item.id}`;
  }
}

/** Months, newest first, of which neighbours in a year are one until they have FEW: `{year, first, last, count}`. */
function shared(timeline) {
  const found = [];
  for (const { year, month, count } of timeline.filter((one) => one.count > 0)) {
    const before = found.at(-1);
    if (before?.year === year && (before.count < FEW || count < FEW)) {
      before.first = month;
      before.count += count;
    } else {
      found.push({ year, first: month, last: month, count });
    }
  }
  return found;
}

/** `since` and `until` of a place, within those that were asked for. */
function bounds({ year, first, last }, filters) {
  const iso = (y, m) => `${String(y).padStart(4, "0")}-${String(m).padStart(2, "0")}-01`;
  const since = iso(year, first);
  const until = last === 12 ? iso(year + 1, 1) : iso(year, last + 1);
  return {
    since: filters.since > since ? filters.since : since,
    until: filters.until && filters.until < until ? filters.until : until,
  };
}
