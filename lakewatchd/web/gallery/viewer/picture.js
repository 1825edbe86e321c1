// A picture: fits, can be enlarged and moved, and shows on demand what was seen in it.

import { html, useEffect, useRef, useState } from "../ui.js";
import { navigate } from "../state.js";
import { useFetched } from "../fetched.js";
import { Name } from "../notices.js";
import { percent } from "../words.js";
import { zoomable } from "./zoom.js";

const SHOWN = new Set([
  "image/jpeg",
  "image/png",
  "image/gif",
  "image/webp",
  "image/avif",
  "image/svg+xml",
  "image/bmp",
]);
const LEAST_SCORE = 0.25;

export function Picture({ asset, hasBoxes }) {
  const stage = useRef(null);
  const sheet = useRef(null);
  const [shown, setShown] = useState(SHOWN.has(asset.mime) && !asset.is_away ? "content" : "thumb");
  useEffect(() => zoomable(stage.current, sheet.current), []);
  const source = `/api/assets/${asset.id}/${shown}`;
  const fails = () => setShown(shown === "content" ? "thumb" : "");
  const shape = asset.width && asset.height ? asset.width / asset.height : null;
  const words = asset.caption || asset.title || "Picture";
  return html`<figure class="picture" ref=${stage}>
    <div class="sheet ${shape ? "" : "is-shapeless"}" ref=${sheet} style=${shape ? { "--shape": String(shape) } : {}}>
      ${shown && html`<img src=${source} alt=${words} draggable="false" onError=${fails} />`}
      ${hasBoxes && html`<${Boxes} id=${asset.id} />`}
    </div>
    ${shown !== "content" && html`<figcaption class="notice">${why(asset, shown)}</figcaption>`}
  </figure>`;
}

function why(asset, shown) {
  const what = shown ? "This is its preview." : "There is no preview of it.";
  if (asset.is_away) return `The original is away just now. ${what}`;
  if (SHOWN.has(asset.mime)) return `The original cannot be shown. ${what}`;
  return `Browsers do not show ${asset.mime || "this format"}. ${what}`;
}

/** What the detector saw, as boxes that lead to more of the same. */
function Boxes({ id }) {
  const { data } = useFetched(`/api/assets/${id}/spans?kind=image&limit=1`);
  if (!data) return null;
  const seen = (data.items[0]?.objects ?? [])
    .filter((one) => one.score >= LEAST_SCORE)
    .sort((a, b) => area(b) - area(a));
  if (!seen.length) return html`<p class="nothing-seen" role="status">Nothing was recognised in this picture</p>`;
  return html`<div class="boxes" role="group" aria-label="What was seen">
    ${seen.map(
      (one) =>
        html`<button
          type="button"
          class="box"
          style=${place(one.box)}
          title=${`More pictures with: ${one.name}`}
          aria-label=${`${one.name}, ${percent(one.score)}: more pictures like this`}
          onClick=${() => navigate(`/search?object=${encodeURIComponent(one.name)}`)}
        >
          <span><${Name} text=${one.name} /> ${percent(one.score)}</span>
        </button>`,
    )}
  </div>`;
}

const area = ({ box: [left, top, right, bottom] }) => (right - left) * (bottom - top);
const share = (value) => `${Math.max(0, Math.min(1, value)) * 100}%`;
const place = ([left, top, right, bottom]) => ({
  left: share(left),
  top: share(top),
  width: share(right - left),
  height: share(bottom - top),
});
