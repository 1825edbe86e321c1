// One asset, whole: what it looks or sounds like, what is known of it, and the way to the next one.

import { html, useCallback, useEffect, useLayoutEffect, useRef, useState } from "../ui.js";
import { close, navigate, results } from "../state.js";
import { useFetched } from "../fetched.js";
import { Icon } from "../icons.js";
import { Name, Trouble, Waiting } from "../notices.js";
import { plainly } from "../words.js";
import { Document } from "./document.js";
import { Facts } from "./facts.js";
import { Film } from "./film.js";
import { Picture } from "./picture.js";
import { Plain } from "./plain.js";
import { Recording } from "./recording.js";

const SHOWS = { image: Picture, video: Film, audio: Recording, document: Document, table: Document };
const SWIPE_PX = 70;
const WIDE = "(min-width: 900px)";

/** `t` (seconds), `page` and `span` say where in it to begin; each may be missing. */
export function Viewer({ id, t, page, span }) {
  const { data: asset, error, isLoading, reload, replace } = useFetched(`/api/assets/${id}`);
  const [isTold, setTold] = useState(() => window.matchMedia(WIDE).matches);
  const [hasBoxes, setBoxes] = useState(false);
  const beside = useBeside(id);
  const go = useCallback((url) => url && navigate(url, { replace: true }), []);
  const top = useRef(null);
  const area = useRef(null);
  useSwipes(area, (step) => go(step < 0 ? beside.back : beside.on));
  useKeys({
    ArrowLeft: () => go(beside.back),
    ArrowRight: () => go(beside.on),
    Escape: close,
    i: () => setTold((was) => !was),
    b: () => setBoxes((was) => !was),
  });
  useEffect(() => top.current.focus({ preventScroll: true }), []);
  useEffect(() => {
    if (asset) document.title = `${plainly(asset.title) || "Untitled"} · lakewatch`;
  }, [asset]);
  const Show = (asset && SHOWS[asset.kind]) || Plain;
  const at = { t: numeric(t), page: numeric(page), span: numeric(span) };
  return html`<article
    class="viewer"
    data-kind=${asset?.kind ?? ""}
    data-told=${isTold}
    aria-label=${asset?.title || "File"}
    tabindex="-1"
    ref=${top}
  >
    <header class="viewer-bar">
      <button type="button" class="icon-button" aria-label="Back" title="Back (Esc)" onClick=${close}>
        <${Icon} name="back" />
      </button>
      <h1><${Name} text=${asset?.title ?? ""} /></h1>
      ${
        asset?.kind === "image" &&
        html`<button
          type="button"
          class="button quiet"
          aria-pressed=${hasBoxes}
          title="What was seen in it (b)"
          onClick=${() => setBoxes(!hasBoxes)}
        >
          Boxes
        </button>`
      }
      ${asset && html`<${Download} id=${id} />`}
      <button
        type="button"
        class="icon-button"
        aria-pressed=${isTold}
        aria-controls="facts"
        aria-label="What is known of it"
        title="What is known of it (i)"
        onClick=${() => setTold(!isTold)}
      >
        <${Icon} name="info" />
      </button>
    </header>
    <section class="show" aria-label="Content" ref=${area}>
      ${error && html`<${Trouble} error=${error} retry=${reload} />`} ${isLoading && html`<${Waiting} />`}
      ${asset && html`<${Show} key=${id} asset=${asset} at=${at} hasBoxes=${hasBoxes} />`}
      ${beside.back && html`<${Step} icon="back" words="Previous (left arrow)" go=${() => go(beside.back)} />`}
      ${beside.on && html`<${Step} icon="next" words="Next (right arrow)" go=${() => go(beside.on)} />`}
    </section>
    <aside id="facts" class="facts" aria-label="What is known of it" hidden=${!isTold}>
      ${asset && html`<${Facts} key=${id} asset=${asset} change=${replace} />`}
    </aside>
  </article>`;
}

function Download({ id }) {
  const words = "Download the original";
  return html`<a class="icon-button" href=${`/api/assets/${id}/content`} download aria-label=${words} title=${words}>
    <${Icon} name="download" />
  </a>`;
}

function Step({ icon, words, go }) {
  return html`<button type="button" class="step is-${icon}" aria-label=${words} title=${words} onClick=${go}>
    <${Icon} name=${icon} />
  </button>`;
}

/** The addresses of what is before and after it in the list that it was opened from. */
function useBeside(id) {
  const [beside, setBeside] = useState({});
  useEffect(() => {
    let isOver = false;
    setBeside({});
    Promise.all([results.neighbour(id, -1), results.neighbour(id, 1)]).then(
      ([back, on]) => isOver || setBeside({ back, on }),
      () => {}, // the list says by itself that it cannot go on
    );
    return () => {
      isOver = true;
    };
  }, [id]);
  return beside;
}

/** `acts` by key. Not while something is typed, and no arrows while a player or a transcript has them. */
function useKeys(acts) {
  const latest = useRef(acts);
  latest.current = acts;
  useLayoutEffect(() => { // what is seen obeys: a key may come before effects do
    const pressed = (event) => {
      const act = latest.current[event.key];
      if (!act || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target.closest("input:not([type=checkbox]), textarea, select, dialog")) return;
      if (event.key.startsWith("Arrow") && event.target.closest("video, audio, iframe, [role=slider]")) return;
      event.preventDefault();
      act();
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, []);
}

/** A finger that goes sideways over `area` turns the leaf; not one that moves an enlarged picture, or a player. */
function useSwipes(area, turn) {
  const latest = useRef(turn);
  latest.current = turn;
  useEffect(() => {
    const abort = new AbortController();
    const listen = (name, act) => area.current.addEventListener(name, act, { passive: true, signal: abort.signal });
    let begin = null;
    listen("touchstart", ({ touches, target }) => {
      const isOurs = touches.length === 1 && !target.closest(".is-enlarged, video, audio, .scenes, .sheet-table");
      begin = isOurs ? [touches[0].clientX, touches[0].clientY] : null;
    });
    listen("touchend", ({ changedTouches: [{ clientX, clientY }] }) => {
      if (!begin) return;
      const [x, y] = [clientX - begin[0], clientY - begin[1]];
      begin = null;
      if (Math.abs(x) > SWIPE_PX && Math.abs(x) > 2 * Math.abs(y)) latest.current(x < 0 ? 1 : -1);
    });
    return () => abort.abort();
  }, [area]);
}

/** A number of the address, or null. */
function numeric(text) {
  const value = Number.parseFloat(text);
  return Number.isFinite(value) ? value : null;
}
