// A recording: its cover, a player, and what is said, following.

import { html } from "../ui.js";
import { Name } from "../notices.js";
import { Transcript } from "./transcript.js";
import { AWAY, Thumb, Unplayable } from "./plain.js";
import { isHopeless, usePlayer } from "./player.js";

export function Recording({ asset, at }) {
  const [player, seconds, seek, problem] = usePlayer(at.t);
  const cannot =
    (asset.is_away && AWAY) || problem || (isHopeless(asset.mime) && `Your browser does not play ${asset.mime}.`);
  return html`<div class="recording">
    <div class="cover">
      <${Thumb} asset=${asset} />
      <div>
        <p class="big"><${Name} text=${asset.title} /></p>
        ${asset.author && html`<p><${Name} text=${asset.author} /></p>`}
      </div>
    </div>
    ${
      cannot
        ? html`<${Unplayable} asset=${asset} why=${cannot} />`
        : html`<audio
            ref=${player}
            controls
            preload="metadata"
            src=${`/api/assets/${asset.id}/content`}
            aria-label=${asset.title || "Recording"}
          ></audio>`
    }
    ${
      asset.spans.speech > 0
        ? html`<${Transcript} id=${asset.id} seconds=${seconds} seek=${seek} />`
        : html`<p class="quietly">No words were heard in it.</p>`
    }
  </div>`;
}
