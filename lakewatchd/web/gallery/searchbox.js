// Where words are typed, with suggestions of what they may become. By the ARIA pattern of a combobox with a list.

import { Icon } from "./icons.js";
import { filtersOf, listUrl, spanOf, turned } from "./query.js";
import { api, navigate } from "./state.js";
import { html, useEffect, useRef, useState } from "./ui.js";
import { number } from "./words.js";

const WAIT_MS = 120;
const ICONS = { tag: "tag", category: "folder", place: "place", title: "document", date: "calendar", kind: "image" };
const MEANS = { tag: "tag", category: "category", place: "place", title: "title", date: "date", kind: "kind" };

export function SearchBox({ query, isList }) {
  const like = query.get("like") ?? ""; // then the words say what is to be different
  const asked = query.get(like ? "but" : "q") ?? "";
  const [text, setText] = useState(asked);
  const [offers, setOffers] = useState([]);
  const [isOpen, setOpen] = useState(false);
  const [chosen, setChosen] = useState(-1);
  const field = useRef(null);
  const filters = isList ? filtersOf(query) : {};

  useEffect(() => setText(asked), [asked]);
  useEffect(() => {
    const typed = text.trim();
    if (!isOpen || !typed || like) {
      setOffers([]);
      return undefined;
    }
    const stop = new AbortController();
    const timer = setTimeout(() => {
      api("/api/suggest", { query: { q: typed, limit: 8 }, signal: stop.signal }).then(
        (found) => {
          setOffers(found);
          setChosen(-1);
        },
        () => {}, // suggestions are a help, not a need: what is wrong is told by the search itself
      );
    }, WAIT_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [text, isOpen]);

  const leave = () => {
    setOpen(false);
    setChosen(-1);
  };
  const search = (words) => {
    leave();
    field.current.blur();
    scrollTo(0, 0);
    const said = words.trim();
    navigate(listUrl(like ? { like, but: said } : { q: said }, filters));
  };
  const take = ({ kind, text: name }) => {
    leave();
    field.current.blur();
    scrollTo(0, 0);
    setText("");
    if (kind === "tag" && !filters.tag?.includes(name)) navigate(listUrl({}, turned(filters, "tag", name)));
    else if (kind === "category") navigate(listUrl({}, { ...filters, category: name }));
    else if (kind === "kind") navigate(listUrl({}, { ...filters, kind: [name] }));
    else if (kind === "date" && /^\d{4}$/.test(name)) navigate(listUrl({}, { ...filters, ...spanOf(name) }));
    else search(name);
  };
  const press = (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      setOpen(true);
      setChosen((at) => ((at + step + 1 + (offers.length + 1)) % (offers.length + 1)) - 1);
    } else if (event.key === "Escape") {
      if (isOpen && offers.length) leave();
      else if (text !== asked) setText(asked);
      else field.current.blur();
    } else if (event.key === "Enter" && chosen >= 0) {
      event.preventDefault();
      take(offers[chosen]);
    }
  };

  const isShown = isOpen && offers.length > 0;
  return html`<form class="search" role="search" onSubmit=${(event) => {
    event.preventDefault();
    search(text);
  }}>
    <${Icon} name="search" />
    <input
      id="search" ref=${field} type="search" name="q" value=${text} autocomplete="off" spellcheck="false"
      placeholder=${like ? "Like this, but …" : "Search: a dog on the beach, what was said, 2019 …"}
      aria-label=${like ? "Like this, but" : "Search"} maxlength="500" enterkeyhint="search"
      role="combobox" aria-autocomplete="list" aria-controls="offers" aria-expanded=${String(isShown)}
      aria-activedescendant=${chosen >= 0 ? `offer-${chosen}` : null}
      onInput=${(event) => {
        setText(event.target.value);
        setOpen(true);
      }}
      onKeyDown=${press} onBlur=${leave}
    />
    ${text
      ? html`<button class="icon-button clear" type="button" aria-label="Clear the search" onClick=${() => {
          setText("");
          if (asked) search("");
          field.current.focus();
        }}><${Icon} name="close" /></button>`
      : html`<kbd class="slash" aria-hidden="true">/</kbd>`}
    <ul class="offers" id="offers" role="listbox" aria-label="Suggestions" hidden=${!isShown}>
      ${offers.map(
        (offer, at) => html`<li
          id=${`offer-${at}`} role="option" aria-selected=${String(at === chosen)}
          onPointerDown=${(event) => event.preventDefault()} onClick=${() => take(offer)}
        >
          <${Icon} name=${ICONS[offer.kind] ?? "search"} /><span class="what">${offer.text}</span>
          <small>${MEANS[offer.kind] ?? ""}${offer.assets ? ` · ${number(offer.assets)}` : ""}</small>
        </li>`,
      )}
    </ul>
  </form>`;
}
