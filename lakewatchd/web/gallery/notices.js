// What is said instead of, or beside, what was asked for; and how a name from outside is shown.

import { html } from "./ui.js";
import { plainly } from "./words.js";

/** An error of the API: what is wrong, and what can be done. */
export function Trouble({ error, retry }) {
  return html`<div class="notice is-bad" role="alert">
    <p><${Name} text=${error.message} /></p>
    ${error.hint && html`<p class="hint"><${Name} text=${error.hint} /></p>`}
    ${retry && html`<button type="button" class="button" onClick=${retry}>Try again</button>`}
  </div>`;
}

export function Waiting({ what = "Loading" }) {
  return html`<p class="waiting" role="status">${what}…</p>`;
}

/** A place: the root, and the path below it. */
export function Place({ root, path }) {
  return html`<span class="path"><${Name} text=${root} />${" / "}<${Name} text=${path} /></span>`;
}

/** Words from outside, as they are: they turn nothing around, and what follows keeps its place. */
export function Name({ text }) {
  return html`<bdi class="name">${plainly(text)}</bdi>`;
}
