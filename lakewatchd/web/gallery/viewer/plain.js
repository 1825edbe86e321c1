// What can be shown of anything: its preview or a sign of its kind, and a way to have the original.

import { html, useState } from "../ui.js";
import { KindIcon } from "../icons.js";
import { Name } from "../notices.js";
import { plainly, size } from "../words.js";

export const AWAY = "The original is away just now: its disk or bucket does not answer.";

/** Its picture; where there is none, a sign of its kind with the `words` that the picture would have stood for. */
export function Thumb({ asset, words = "" }) {
  const [isMissing, setMissing] = useState(false);
  if (isMissing) {
    return html`<span class="sign"
      ><${KindIcon} kind=${asset.kind} />${words && html`<${Name} text=${words} />`}</span
    >`;
  }
  const source = `/api/assets/${asset.id}/thumb`;
  return html`<img
    class="thumb"
    src=${source}
    alt=${plainly(words)}
    loading="lazy"
    onError=${() => setMissing(true)}
  />`;
}

/** Why it does not play here, kindly, and what to do. */
export function Unplayable({ asset, why }) {
  return html`<div class="unplayable">
    <${Thumb} asset=${asset} />
    <p role="status">${why}</p>
    ${
      !asset.is_away &&
      html`<p>
        <a class="button" href=${`/api/assets/${asset.id}/content`} download>Download it</a>
        ${` (${size(asset.size_bytes)})`} and open it in a player of yours.
      </p>`
    }
  </div>`;
}

export function Plain({ asset }) {
  return html`<div class="plain">
    <${Thumb} asset=${asset} />
    <p class="big"><${Name} text=${asset.title} /></p>
    <p>${asset.mime}, ${size(asset.size_bytes)}</p>
    <p><a class="button" href=${`/api/assets/${asset.id}/content`} download>Download</a></p>
  </div>`;
}
