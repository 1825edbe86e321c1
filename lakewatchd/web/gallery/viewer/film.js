// A film: plays where the browser can, begins at the second that was found, and shows its scenes on a bar.

import { html, useMemo } from "../ui.js";
import { useListed } from "../fetched.js";
import { Name } from "../notices.js";
import { length } from "../words.js";
import { AWAY, Unplayable } from "./plain.js";
import { isHopeless, usePlayer } from "./player.js";
import { Transcript } from "./transcript.js";

const NAMES = 4;

export function Film({ asset, at }) {
  const [player, seconds, seek, problem] = usePlayer(at.t);
  const { items: clips } = useListed(
    asset.spans.clip ? `/api/assets/${asset.id}/spans?kind=clip&limit=500` : "",
    "offset",
  );
  const cannot =
    (asset.is_away && AWAY) || problem || (isHopeless(asset.mime) && `Your browser does not play ${asset.mime}.`);
  const hasScenes = !cannot && asset.spans.clip > 0 && asset.duration_s > 0;
  return html`<div class="film">
    <div class="screen">
      ${
        cannot
          ? html`<${Unplayable} asset=${asset} why=${cannot} />`
          : html`<video
              ref=${player}
              controls
              playsinline
              preload="metadata"
              poster=${`/api/assets/${asset.id}/thumb`}
              src=${`/api/assets/${asset.id}/content`}
              aria-label=${asset.title || "Film"}
            ></video>`
      }
    </div>
    ${hasScenes && html`<${Scenes} clips=${clips} whole=${asset.duration_s} seconds=${seconds} seek=${seek} />`}
    ${asset.spans.speech > 0 && html`<${Transcript} id=${asset.id} seconds=${seconds} seek=${seek} />`}
  </div>`;
}

/** The bar of scenes: each as wide as it is long of the `whole`, a press jumps to its begin. */
function Scenes({ clips, whole, seconds, seek }) {
  const scenes = useMemo(() => clips.map((clip, number) => scene(clip, number, whole)), [clips, whole]);
  const now = scenes.findLastIndex((one) => one.start <= seconds + 0.05);
  return html`<nav class="scenes" aria-label="Scenes">
      ${scenes.map(
        (one, number) =>
          html`<button
            type="button"
            class="scene"
            aria-current=${number === now ? "true" : null}
            style=${one.place}
            title=${one.words}
            aria-label=${one.words}
            onClick=${() => seek(one.start)}
          ></button>`,
      )}
      <i class="playhead" aria-hidden="true" style=${{ left: share(seconds, whole) }}></i>
    </nav>
    <p class="scene-now">
      ${now >= 0 && html`<span class="clock">${length(scenes[now].start)}</span> <${Name} text=${scenes[now].told} />`}
    </p>`;
}

function scene(clip, number, whole) {
  const [start, end] = [clip.start_s ?? 0, Math.min(clip.end_s ?? whole, whole)];
  const seen = [...new Set((clip.objects ?? []).map((one) => one.name))].slice(0, NAMES).join(", ");
  const told = clip.text || seen || `Scene ${number + 1}`;
  const place = { left: share(start, whole), width: share(Math.max(0, end - start), whole) };
  return { start, told, place, words: `${length(start)} to ${length(end)}: ${told}` };
}

const share = (seconds, whole) => `${(100 * Math.min(seconds, whole)) / whole}%`;
