// All tags there are: how many files have each, and the way to them.

import { html, useMemo, useState } from "./ui.js";
import { withQuery } from "./state.js";
import { useFetched } from "./fetched.js";
import { Icon } from "./icons.js";
import { Name, Trouble, Waiting } from "./notices.js";
import { number, plural } from "./words.js";

const ORDERS = {
  count: (a, b) => b.assets - a.assets || a.name.localeCompare(b.name),
  name: (a, b) => a.name.localeCompare(b.name),
};

export function Tags() {
  const { data, error, isLoading, reload } = useFetched("/api/tags?limit=10000");
  const [typed, setTyped] = useState("");
  const [order, setOrder] = useState("count");
  const shown = useMemo(() => {
    const wanted = typed.trim().toLowerCase();
    return (data?.items ?? []).filter((tag) => tag.name.toLowerCase().includes(wanted)).sort(ORDERS[order]);
  }, [data, typed, order]);
  return html`<div class="page tag-list">
    <header>
      <h1>Tags</h1>
      ${
        data &&
        html`<div class="row">
          <input
            class="field"
            type="search"
            value=${typed}
            placeholder="Find a tag"
            aria-label="Find a tag"
            onInput=${(event) => setTyped(event.target.value)}
          />
          <div role="group" aria-label="Order">
            <button
              type="button"
              class="button quiet"
              aria-pressed=${order === "count"}
              onClick=${() => setOrder("count")}
            >
              Most used
            </button>
            <button
              type="button"
              class="button quiet"
              aria-pressed=${order === "name"}
              onClick=${() => setOrder("name")}
            >
              A to Z
            </button>
          </div>
        </div>`
      }
    </header>
    ${isLoading && html`<${Waiting} />`} ${error && html`<${Trouble} error=${error} retry=${reload} />`}
    ${
      data &&
      !shown.length &&
      html`<div class="empty">
        <${Icon} name="tag" />
        <h2>${typed ? "No such tag" : "No tags yet"}</h2>
        <p>${typed ? "Try a part of its name." : "They come by themselves, when files are indexed."}</p>
      </div>`
    }
    <ul>
      ${shown.map(
        (tag) =>
          html`<li key=${tag.name}>
            <a href=${withQuery("/search", { tag: tag.name })}>
              <${Name} text=${tag.name} />
              <span class="count" aria-label=${plural(tag.assets, "file")}>${number(tag.assets)}</span></a
            >
          </li>`,
      )}
    </ul>
  </div>`;
}
