// All that is known of an asset, beside it: when, where, what, who says so, and what is like it.

import { html, useState } from "../ui.js";
import { withQuery } from "../state.js";
import { useFetched } from "../fetched.js";
import { Icon } from "../icons.js";
import { Name, Place } from "../notices.js";
import { length, percent, plural, size, time, when } from "../words.js";
import { Thumb } from "./plain.js";
import { Tags } from "./tagging.js";

const ALIKE = 8;
const MORE = 6;
const EVIDENCE = {
  sidecar: "as its sidecar says",
  exif: "by the clock of the camera",
  container: "as the film says",
  document: "as the document says",
  gps: "by GPS",
  name: "by its name",
  folder: "by its folder",
  mtime: "when the file was changed",
};

export function Facts({ asset, change }) {
  return html` ${asset.caption && html`<p class="caption"><${Name} text=${asset.caption} /></p>`}
    <${When} asset=${asset} />
    <${Tags} asset=${asset} change=${change} />
    <${Copies} asset=${asset} />
    <${Family} asset=${asset} />
    <${Lies} asset=${asset} />
    <${Alike} asset=${asset} />
    ${asset.kind === "image" && asset.spans.text > 0 && html`<${Legible} id=${asset.id} />`}
    <${Details} asset=${asset} />`;
}

function When({ asset }) {
  const search = asset.city ? { city: asset.city, country: asset.country } : { country: asset.country };
  const measures = [
    asset.width && asset.height && `${asset.width} × ${asset.height}`,
    asset.duration_s && length(asset.duration_s),
    asset.pages > 1 && plural(asset.pages, "page"),
    size(asset.size_bytes),
  ].filter(Boolean);
  return html`<ul class="lines">
    ${
      asset.dated_at &&
      html`<li>
        <${Icon} name="calendar" />
        <div>
          ${when(asset.dated_at)}, ${time(asset.dated_at)} <small>${EVIDENCE[asset.dated_by] ?? asset.dated_by}</small>
        </div>
      </li>`
    }
    ${
      (asset.city || asset.country) &&
      html`<li>
        <${Icon} name="place" />
        <div>
          <a href=${withQuery("/search", search)}>
            ${asset.city && html`<${Name} text=${asset.city} />${asset.country && ", "}`}
            ${asset.country && html`<${Name} text=${asset.country} />`}</a
          >
        </div>
      </li>`
    }
    <li>
      <${Icon} name=${asset.kind} />
      <div>${measures.join(" · ")}${asset.camera && html`<small><${Name} text=${asset.camera} /></small>`}</div>
    </li>
  </ul>`;
}

/** What was read in a picture. */
function Legible({ id }) {
  const { data } = useFetched(`/api/assets/${id}/spans?kind=text&limit=100`);
  if (!data?.items.length) return null;
  return html`<section>
    <h2>Text in it</h2>
    <p class="prose" dir="auto" tabindex="0">${data.items.map((one) => one.text).join("\n")}</p>
  </section>`;
}

/** Has its place before it is known, so that nothing jumps. */
function Alike({ asset }) {
  const { data, isLoading } = useFetched(`/api/search?like=${asset.id}&limit=${ALIKE}`);
  const hits = (data?.hits ?? []).filter((hit) => hit.asset_id !== asset.id);
  if (!hits.length && !isLoading) return null;
  return html`<section>
    <h2>Similar</h2>
    <ul class="alike">
      ${isLoading && Array.from({ length: ALIKE }, () => html`<li><span class="sign"></span></li>`)}
      ${hits.map(
        (hit) =>
          html`<li key=${hit.asset_id}>
            <a href=${`/asset/${hit.asset_id}`} title=${hit.title}>
              <${Thumb} asset=${{ id: hit.asset_id, kind: hit.kind }} words=${hit.title || "Untitled"}
            /></a>
          </li>`,
      )}
    </ul>
    <p><a href=${`/search?like=${asset.id}`}>All that is similar</a></p>
  </section>`;
}

function Copies({ asset }) {
  const { group, is_representative: stands, others } = asset.duplicates ?? {};
  if (!group) return null;
  return html`<section>
    <h2>Nearly the same</h2>
    <p>
      <a href=${withQuery("/duplicates", { group })}><${Icon} name="copies" /> ${plural(others.length, "other file")}</a
      >${stands ? ": this one stands for them" : ""}
    </p>
  </section>`;
}

/** What lies beside it and belongs to it, such as a sidecar; and what it belongs to itself. */
function Family({ asset }) {
  const head = asset.family && asset.family !== asset.id ? asset.family : "";
  if (!head && !asset.parts.length) return null;
  return html`<section>
    <h2>Belongs together</h2>
    <ul class="lines">
      ${head && html`<li><${Icon} name="next" /><a href=${`/asset/${head}`}>The file that it is a part of</a></li>`}
      ${asset.parts.map(
        (part) =>
          html`<li>
            <${Icon} name=${part.kind} /><a href=${`/asset/${part.id}`}><${Name} text=${part.title || part.kind} /></a>
          </li>`,
      )}
    </ul>
  </section>`;
}

/** Where it lies. What is away is still ours. */
function Lies({ asset }) {
  const [isWhole, setWhole] = useState(false);
  const places = isWhole ? asset.places : asset.places.slice(0, MORE);
  return html`<section>
    <h2>${asset.places.length > 1 ? `Lies in ${asset.places.length} places` : "Lies in"}</h2>
    <ul class="places">
      ${places.map(
        (one) =>
          html`<li>
            <${Icon} name=${one.presence === "away" ? "away" : "folder"} />
            <div><${Place} ...${one} />${one.presence !== "present" && html`<small>${one.presence}</small>`}</div>
          </li>`,
      )}
    </ul>
    ${
      places.length < asset.places.length &&
      html`<button type="button" class="button quiet" onClick=${() => setWhole(true)}>
        All ${asset.places.length}
      </button>`
    }
  </section>`;
}

function Details({ asset }) {
  const said = asset.exif.filter(([name]) => !/^table(\.\d+)?$/.test(name));
  const own = [
    ["Type", asset.mime],
    ["Author", asset.author],
    ["Language", asset.language],
    ["Category", asset.category && `${asset.category}, ${percent(asset.category_score)}`],
    [
      "Position",
      asset.latitude === null || asset.latitude === undefined
        ? ""
        : `${asset.latitude.toFixed(5)}, ${asset.longitude.toFixed(5)}`,
    ],
    ["Content", asset.id],
  ].filter(([, value]) => value);
  return html`<details class="details">
    <summary>Details</summary>
    <dl>
      ${[...own, ...said].map(
        ([name, value]) =>
          html`<div>
            <dt><${Name} text=${name} /></dt>
            <dd><${Name} text=${value} /></dd>
          </div>`,
      )}
    </dl>
  </details>`;
}
