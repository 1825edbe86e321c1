// Chips that narrow a list: what kind, which tags, category, place and year. Each opens a short list with counts.

import { Icon } from "./icons.js";
import { listUrl, spanOf, turned, yearOf } from "./query.js";
import { api, navigate } from "./state.js";
import { html, useEffect, useRef, useState } from "./ui.js";
import { day, kindName, number, plural } from "./words.js";

const SEARCHABLE = 12; // a longer list gets a field to look in it

/** Chips for `filters` (see query.js); `asked` is kept beside them. */
export function Filters({ asked, filters }) {
  const [open, setOpen] = useState("");
  const go = (next) => {
    scrollTo(0, 0);
    navigate(listUrl(asked, next));
  };
  const choices = {
    kind: {
      name: "Kind", read: ({ kinds }) => kinds.map(([value, count]) => ({ value, label: kindName(value, 2), count })),
      on: filters.kind ?? [], turn: (value) => turned(filters, "kind", value),
    },
    tag: {
      name: "Tags", read: ({ tags }) => tags.map(([value, count]) => ({ value, label: value, count })),
      on: filters.tag ?? [], turn: (value) => turned(filters, "tag", value),
    },
    category: {
      name: "Category", on: filters.category ? [filters.category] : [],
      read: ({ categories }) => categories.map(([value, count]) => ({ value, label: value, count })),
      turn: (value) => ({ ...filters, category: filters.category === value ? "" : value }),
    },
    place: {
      name: "Place", on: [filters.city, filters.country].filter(Boolean).slice(0, 1),
      read: ({ countries, cities }) =>
        countries.flatMap(([country, count]) => [
          { value: country, label: country, count, next: { country, city: "" } },
          ...cities.filter(([of]) => of === country)
            .map(([, city, some]) => ({ value: city, label: city, count: some, isPart: true, next: { country, city } })),
        ]),
      turn: (value, { next }) =>
        [filters.city, filters.country].includes(value) ? { ...filters, city: "", country: "" } : { ...filters, ...next },
    },
    year: {
      name: "Year", on: yearOf(filters) ? [yearOf(filters)] : [],
      read: ({ months }) => {
        const years = new Map();
        for (const [year, , count] of months) years.set(year, (years.get(year) ?? 0) + count);
        return [...years].map(([year, count]) => ({ value: String(year), label: String(year), count }));
      },
      turn: (value) => ({ ...filters, ...(yearOf(filters) === value ? { since: "", until: "" } : spanOf(value)) }),
    },
  };
  return html`<div class="filters" role="group" aria-label="Filters">
    ${Object.entries(choices).map(
      ([key, choice]) => html`<${Choice} key=${key} ...${choice} filters=${filters} isOpen=${open === key}
        onOpen=${(isIt) => setOpen(isIt ? key : "")} onTurn=${go} />`,
    )}
    ${others(filters).map(
      ({ name, label, without }) => html`<button
        key=${name} class="chip is-on" type="button" aria-label=${`Remove: ${label}`} onClick=${() => go(without)}
      >${label}<${Icon} name="close" /></button>`,
    )}
    ${Object.keys(filters).length > 0 &&
    html`<button class="chip is-bare" type="button" onClick=${() => go({})}>Clear</button>`}
  </div>`;
}

/** Filters that an address may hold and no list offers. */
function others(filters) {
  const found = [];
  const add = (name, label) => found.push({ name, label, without: { ...filters, [name]: "" } });
  if (filters.root) add("root", `in ${filters.root}`);
  if (filters.object) add("object", `shows ${filters.object}`);
  if (filters.where) add("where", filters.where);
  for (const name of ["any_tag", "no_tag"]) {
    for (const value of filters[name] ?? []) {
      const label = name === "no_tag" ? `not ${value}` : value;
      found.push({ name: `${name}:${value}`, label, without: turned(filters, name, value) });
    }
  }
  if ((filters.since || filters.until) && !yearOf(filters)) {
    const label = [filters.since && `from ${day(filters.since)}`, filters.until && `before ${day(filters.until)}`];
    const without = { ...filters, since: "", until: "" };
    found.push({ name: "time", label: label.filter(Boolean).join(", "), without });
  }
  return found;
}

function Choice({ name, on, read, turn, filters, isOpen, onOpen, onTurn }) {
  const [options, setOptions] = useState(null);
  const [failed, setFailed] = useState("");
  const [sought, setSought] = useState("");
  const part = useRef(null);
  const button = useRef(null);
  const key = JSON.stringify(filters);

  useEffect(() => {
    if (!isOpen) return undefined;
    const stop = new AbortController();
    setFailed("");
    api("/api/facets", { query: filters, signal: stop.signal }).then(
      (facets) => setOptions(read(facets)),
      (problem) => problem.name !== "AbortError" && setFailed(problem.message),
    );
    return () => stop.abort();
  }, [isOpen, key]);
  useEffect(() => {
    if (!isOpen) return undefined;
    setSought("");
    const away = (event) => part.current.contains(event.target) || onOpen(false);
    const press = (event) => {
      if (event.key !== "Escape") return;
      onOpen(false);
      button.current.focus();
    };
    addEventListener("pointerdown", away);
    addEventListener("keydown", press);
    return () => {
      removeEventListener("pointerdown", away);
      removeEventListener("keydown", press);
    };
  }, [isOpen]);

  const shown = (options ?? []).filter(({ label }) => label.toLowerCase().includes(sought.toLowerCase()));
  const chosen = on.map((value) => (name === "Kind" ? kindName(value, 2) : value));
  const label = chosen.length ? chosen.slice(0, 2).join(", ") + (chosen.length > 2 ? ` +${chosen.length - 2}` : "") : name;
  return html`<div class="narrow" ref=${part}>
    <button
      class=${`chip ${on.length ? "is-on" : ""}`} type="button" ref=${button} aria-expanded=${String(isOpen)}
      aria-label=${on.length ? `${name}: ${label}` : name} onClick=${() => onOpen(!isOpen)}
    >${label}<${Icon} name="down" /></button>
    ${isOpen &&
    html`<div class="menu" role="group" aria-label=${name}>
      ${options?.length > SEARCHABLE && html`<input
        class="field" type="search" placeholder="Look for …" aria-label=${`Look for a ${name.toLowerCase()}`}
        value=${sought} onInput=${(event) => setSought(event.target.value)}
      />`}
      ${failed && html`<p class="nothing" role="alert">${failed}</p>`}
      ${options && !shown.length && !failed && html`<p class="nothing">Nothing here.</p>`}
      <ul>
        ${shown.map(
          (option) => html`<li key=${option.value} class=${option.isPart ? "is-part" : ""}>
            <button
              type="button" aria-pressed=${String(on.includes(option.value))}
              aria-label=${`${option.label}, ${plural(option.count, "file")}`} onClick=${() => onTurn(turn(option.value, option))}
            >
              <${Icon} name=${on.includes(option.value) ? "check" : "none"} /><span>${option.label}</span>
              <small>${number(option.count)}</small>
            </button>
          </li>`,
        )}
      </ul>
    </div>`}
  </div>`;
}
