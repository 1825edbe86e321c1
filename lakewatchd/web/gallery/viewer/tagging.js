// The tags of an asset, who says each, and a person's word about them: one press takes a tag away, two add one.
//
// What a person says shows at once; the daemon's answer then stands, or its refusal takes it back. Every change can be
// undone, to exactly what was said before.

import { html, useEffect, useId, useRef, useState } from "../ui.js";
import { api, say, withQuery } from "../state.js";
import { useFetched } from "../fetched.js";
import { Icon } from "../icons.js";
import { Name } from "../notices.js";
import { percent, plainly } from "../words.js";

const OFFERED = 8;
const SAYS = {
  person: "you say so",
  copy: "you say so of a copy",
  bucket: "the bucket says so",
  sidecar: "its sidecar says so",
  exif: "the file says so",
  detector: "it was seen",
  caption: "the caption says so",
  model: "it looks like it",
  text: "its text says so",
  name: "its name says so",
  folder: "its folder says so",
};

export function Tags({ asset, change }) {
  const [isAdding, setAdding] = useState(false);
  const correct = (said, shown, told) => post(asset.id, said, shown, told, change);
  const remove = ({ name }) =>
    correct({ remove: [name] }, (tags) => tags.filter((tag) => tag.name !== name), `Not ${name}, then.`);
  const add = (name) => {
    setAdding(false);
    correct(
      { add: [name] },
      (tags) => [{ name, score: 1, origin: "person" }, ...tags.filter((tag) => tag.name !== name)],
      `Tagged ${name}.`,
    );
  };
  return html`<section class="tagging">
    <h2>Tags</h2>
    <ul class="tags">
      ${asset.tags.map(
        (tag) =>
          html`<li key=${tag.name} class="tag" data-origin=${tag.origin}>
            <a href=${withQuery("/search", { tag: tag.name })} title=${why(tag)}
              ><${Name} text=${tag.name} /><span class="visually-hidden">, ${why(tag)}</span></a
            >
            <button
              type="button"
              aria-label=${`Not ${tag.name}`}
              title=${`Not ${tag.name}`}
              onClick=${() => remove(tag)}
            >
              <${Icon} name="close" />
            </button>
          </li>`,
      )}
      <li>
        ${
          isAdding
            ? html`<${Entry} add=${add} leave=${() => setAdding(false)} has=${asset.tags.map((tag) => tag.name)} />`
            : html`<button type="button" class="tag is-new" onClick=${() => setAdding(true)}>
                <${Icon} name="plus" /> Add a tag
              </button>`
        }
      </li>
    </ul>
    <${Category}
      asset=${asset}
      file=${(category) => correct({ category }, (tags) => tags, `Filed under ${category}.`)}
    />
  </section>`;
}

/** The one main group it is filed under, and the others that there are. */
function Category({ asset, file }) {
  const { data } = useFetched("/api/facets?top=1");
  const names = [...new Set([asset.category, ...(data?.categories ?? []).map(([name]) => name)])]
    .filter(Boolean)
    .sort();
  if (!names.length) return null;
  return html`<p class="category">
    <label>
      Category
      <select class="field" value=${asset.category} onChange=${(event) => file(event.target.value)}>
        ${names.map((name) => html`<option key=${name} value=${name}>${plainly(name)}</option>`)}
      </select>
    </label>
  </p>`;
}

const why = ({ origin, score }) => `${SAYS[origin] ?? origin}${score < 1 ? ` (${percent(score)})` : ""}`;

/** Shows `shown(tags)`, tells the daemon what a person `said`, then shows what the daemon made of it. */
async function post(id, said, shown, told, change) {
  let before = null;
  change((asset) => {
    before = { tags: asset.tags, category: asset.category };
    return { ...asset, tags: shown(asset.tags), category: said.category ?? asset.category };
  });
  try {
    const answer = await api(`/api/assets/${id}/tags`, { json: said });
    change((asset) => ({ ...asset, tags: answer.tags, category: answer.category }));
    say(told, { undo: () => post(id, answer.undo, () => before.tags, "As it was.", change) });
  } catch (problem) {
    change((asset) => ({ ...asset, ...before }));
    say([problem.message, problem.hint].filter(Boolean).join(" "));
  }
}

/** A field that offers tags the lake has; Enter takes what is typed or chosen, Escape leaves. */
function Entry({ add, leave, has }) {
  const [typed, setTyped] = useState("");
  const [chosen, setChosen] = useState(-1);
  const { data } = useFetched("/api/tags?limit=10000"); // without it, it can be typed without being offered
  const offered = fitting(data?.items ?? [], typed, has);
  const list = useId();
  const field = useRef(null);
  useEffect(() => field.current.focus(), []);
  const keyed = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      setChosen((was) => (was + step + offered.length + 1) % (offered.length + 1));
    } else if (event.key === "Enter") {
      const name = offered[chosen] ?? typed.trim();
      if (name) add(name);
    } else if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      leave();
    }
  };
  return html`<div class="tag-entry">
    <input
      class="field"
      ref=${field}
      value=${typed}
      maxlength="80"
      placeholder="Tag"
      aria-label="New tag"
      role="combobox"
      autocomplete="off"
      aria-expanded=${offered.length > 0}
      aria-controls=${list}
      aria-activedescendant=${offered[chosen] ? `${list}-${chosen}` : null}
      onInput=${(event) => {
        setTyped(event.target.value);
        setChosen(-1);
      }}
      onKeyDown=${keyed}
    />
    <ul id=${list} role="listbox" aria-label="Tags there are" hidden=${!offered.length}>
      ${offered.map(
        (name, number) =>
          html`<li
            id=${`${list}-${number}`}
            role="option"
            aria-selected=${number === chosen}
            onPointerDown=${(event) => event.preventDefault()}
            onClick=${() => add(name)}
          >
            <${Name} text=${name} />
          </li>`,
      )}
    </ul>
  </div>`;
}

function fitting(items, typed, has) {
  const wanted = typed.trim().toLowerCase();
  const names = items
    .map((item) => item.name)
    .filter((name) => !has.includes(name) && name.toLowerCase().includes(wanted));
  const begins = names.filter((name) => name.toLowerCase().startsWith(wanted));
  return [...new Set([...begins, ...names])].slice(0, OFFERED);
}
