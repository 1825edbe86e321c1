// The shell: frame, navigation, which page the address names, short messages, help.
//
// The list stays mounted below an opened asset, so that closing it is where one was; all else is loaded when asked for.

import { Browse } from "./browse.js";
import { Icon } from "./icons.js";
import { SearchBox } from "./searchbox.js";
import { onAddress, onSay, theme } from "./state.js";
import { html, render, useEffect, useErrorBoundary, useLayoutEffect, useRef, useState } from "./ui.js";
import { plainly } from "./words.js";

const PAGES = {
  "/ask": { title: "Ask", icon: "ask", load: () => import("./ask.js").then((module) => module.Ask) },
  "/tags": { title: "Tags", icon: "tag", load: () => import("./tags.js").then((module) => module.Tags) },
  "/duplicates": {
    title: "Duplicates", icon: "copies", load: () => import("./duplicates.js").then((module) => module.Duplicates),
  },
  "/status": { title: "Status", icon: "pulse", load: () => import("./status.js").then((module) => module.Status) },
};
const loadViewer = () => import("./viewer/viewer.js").then((module) => module.Viewer);

const KEYS = [
  ["/", "search"],
  ["← ↑ ↓ →", "go from picture to picture"],
  ["Enter", "open it"],
  ["Esc", "back to the list"],
  ["Home", "the newest"],
  ["i", "what is known of a picture"],
  ["b", "boxes around what is seen"],
  ["+ - 0", "closer, further, whole"],
  ["?", "this help"],
];

/** What the address names: a list (with what is asked of it), an asset, or one of PAGES. */
function place() {
  const query = new URLSearchParams(location.search);
  const asset = /^\/asset\/([0-9a-f]{64})$/.exec(location.pathname)?.[1];
  const url = location.pathname + location.search;
  if (asset) return { name: "asset", id: asset, query, url };
  return { name: location.pathname in PAGES ? location.pathname : "list", query, url };
}

/** What an address says to a page, by name: whoever made the link chose these, and no others. */
const saidIn = (query) => Object.fromEntries(["t", "page", "span", "q", "group"].map((name) => [name, query.get(name) ?? undefined]));

/** A part that is loaded when it is first shown. */
function Later({ load, ...props }) {
  const [part, setPart] = useState(null);
  useEffect(() => {
    let isWanted = true;
    load().then(
      (loaded) => isWanted && setPart(() => loaded),
      () => isWanted && setPart(() => Unloaded),
    );
    return () => {
      isWanted = false;
    };
  }, [load]);
  return part ? html`<${part} ...${props} />` : null;
}

const Unloaded = () => html`<div class="empty">
  <${Icon} name="away" />
  <h1>This page could not be loaded</h1>
  <p>Is the server there? <a href="" onClick=${() => location.reload()}>Try again</a></p>
</div>`;

function ThemeButton() {
  const [choice, setChoice] = useState(theme.get());
  const [icon, name] = { auto: ["auto", "as the system has it"], light: ["sun", "light"], dark: ["moon", "dark"] }[choice];
  const turn = () => {
    const next = { auto: "light", light: "dark", dark: "auto" }[choice];
    theme.set(next);
    setChoice(next);
  };
  const label = `Colours: ${name}`;
  return html`<button class="icon-button theme" type="button" aria-label=${label} title=${label} onClick=${turn}>
    <${Icon} name=${icon} />
  </button>`;
}

function Toast() {
  const [message, setMessage] = useState(null);
  useEffect(() => onSay(setMessage), []);
  useEffect(() => {
    if (!message) return undefined;
    const timer = setTimeout(() => setMessage(null), message.undo ? 8000 : 6000);
    return () => clearTimeout(timer);
  }, [message]);
  const undo = () => {
    message.undo();
    setMessage(null);
  };
  return html`<div role="status" aria-live="polite">
    ${message &&
    html`<div class="toast">
      <span>${plainly(message.text)}</span>
      ${message.undo && html`<button class="button" type="button" onClick=${undo}>Undo</button>`}
    </div>`}
  </div>`;
}

function Help({ onClose }) {
  const dialog = useRef(null);
  useEffect(() => dialog.current.showModal(), []);
  return html`<dialog class="help" ref=${dialog} onClose=${onClose} aria-labelledby="help-title">
    <h2 id="help-title">Keys</h2>
    <dl>${KEYS.map(([key, what]) => html`<dt>${key.split(" ").map((one) => html`<kbd>${one}</kbd> `)}</dt><dd>${what}</dd>`)}</dl>
    <p>
      Search understands dates (<em>summer 2019</em>), “exact phrases”, <code>-without</code>, and what is to be seen or
      said, in your own words.
    </p>
    <form method="dialog"><button class="button primary">Close</button></form>
  </dialog>`;
}

function App() {
  const [here, setHere] = useState(place);
  const [below, setBelow] = useState(here.name === "asset" ? null : here); // what lies below an asset
  const [isHelping, setHelping] = useState(false);
  const [failure] = useErrorBoundary((error) => console.error(error));

  useEffect(
    () =>
      onAddress(() => {
        const next = place();
        setHere(next);
        if (next.name === "asset") return;
        setBelow((before) => (before?.url === next.url ? before : next));
      }),
    [],
  );
  useEffect(() => {
    document.body.classList.toggle("is-covered", here.name === "asset");
    const title = here.name === "list" ? here.query.get("q") : PAGES[here.name]?.title;
    if (here.name !== "asset") document.title = title ? `${title} · lakewatch` : "lakewatch";
  }, [here]);
  useLayoutEffect(() => { // what is seen obeys: a key may come before effects do
    const press = (event) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target.closest?.("input, textarea, select, dialog, [contenteditable]")) return;
      if (event.key === "?") setHelping(true);
      else if (event.key === "/" && here.name !== "asset") document.getElementById("search").focus();
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [here.name]);

  if (failure) return html`<${Unloaded} />`;
  const isCovered = here.name === "asset";
  const list = below?.name === "list" ? below : null;
  const page = PAGES[below?.name];
  return html`
    <div inert=${isCovered}>
      <a class="button primary skip" href="#main" target="_self">To the content</a>
      <header class="bar">
        <a class="brand" href="/" aria-label="lakewatch: everything">
          <img src="/gallery/icon.svg" alt="" width="30" height="30" /><span>lakewatch</span>
        </a>
        <${SearchBox} query=${(below ?? here).query} isList=${Boolean(list)} />
        <nav class="nav" aria-label="Pages">
          <a class="home" href="/" aria-current=${list ? "page" : null}><${Icon} name="image" /><span>All</span></a>
          ${Object.entries(PAGES).map(
            ([url, { title, icon }]) => html`
              <a href=${url} aria-current=${below?.name === url ? "page" : null} title=${title}>
                <${Icon} name=${icon} /><span>${title}</span>
              </a>
            `,
          )}
          <${ThemeButton} />
        </nav>
      </header>
      <main id="main" tabindex="-1">
        ${list && html`<${Browse} url=${list.url} query=${list.query} isCovered=${isCovered} />`}
        ${page && html`<${Later} ...${saidIn(below.query)} key=${below.name} load=${page.load} />`}
      </main>
    </div>
    ${isCovered &&
    html`<div class="stage"><${Later} ...${saidIn(here.query)} load=${loadViewer} id=${here.id} /></div>`}
    <${Toast} />
    ${isHelping && html`<${Help} onClose=${() => setHelping(false)} />`}
  `;
}

const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
