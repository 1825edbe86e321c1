// What the pages share: requests, the address, the list that is being browsed, short messages.
//
// The address bar is the one truth about what is shown: pages are drawn from it and change it by `navigate`.

/** An answer that is no success: `message` says what, `hint` what helps, `status` is HTTP's, 0 without an answer. */
export class Problem extends Error {
  constructor(message, hint = "", status = 0) {
    super(message);
    this.hint = hint;
    this.status = status;
  }
}

/**
 * Asks `/api/…`. `query` becomes the query string (lists repeat their name, empty values are left out); `json` is sent
 * as the body, `form` as multipart. Resolves to what the JSON says; rejects with a `Problem`, or with the AbortError of
 * `signal`.
 */
export async function api(path, { query = {}, json, form, method, signal } = {}) {
  const options = { method: method ?? (json || form ? "POST" : "GET"), signal, credentials: "same-origin" };
  if (json) {
    options.headers = { "content-type": "application/json" };
    options.body = JSON.stringify(json);
  } else if (form) {
    options.body = form;
  }
  let response;
  try {
    response = await fetch(withQuery(path, query), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server does not answer.", "Is lakewatchd running? Try `systemctl status lakewatchd`.");
  }
  if (response.status === 401) {
    location.assign(withQuery("/login", { next: location.pathname + location.search }));
    throw new Problem("Please log in.", "", 401);
  }
  const said = await response.json().catch((error) => {
    if (error.name === "AbortError") throw error; // nobody waits for it: nothing was said
    return null;
  });
  if (response.ok) return said;
  throw new Problem(said?.error ?? `The server says ${response.status}.`, said?.hint ?? "", response.status);
}

/** `path` with those of `query` that say something. */
export function withQuery(path, query) {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).filter((one) => one !== "" && one != null).map((one) => [name, one]),
  );
  return pairs.length ? `${path}?${new URLSearchParams(pairs)}` : path;
}

/** Where the picture of an asset is, small. */
export const thumb = (id) => `/api/assets/${id}/thumb`;

// --- the address -------------------------------------------------------------------------------------------

const listeners = new Set();
const isAsset = (url) => url.startsWith("/asset/");
const tell = () => {
  for (const listener of listeners) listener();
};

/** Shows what `url` names. `replace`: the page that is left is not one to come back to. */
export function navigate(url, { replace = false } = {}) {
  const depth = history.state?.depth ?? 0; // assets on top of a list: as many steps back to it
  if (replace) {
    history.replaceState({ depth: isAsset(url) ? depth : 0 }, "", url);
  } else {
    history.pushState({ depth: isAsset(url) ? depth + 1 : 0 }, "", url);
  }
  tell();
}

/** Calls `listener` whenever the address changed; the answer ends that. */
export function onAddress(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Leaves an asset: back to the page it was opened from, or to everything where a link led straight to it. */
export function close() {
  const depth = history.state?.depth ?? 0;
  if (depth) {
    history.go(-depth);
  } else {
    navigate("/", { replace: true });
  }
}

addEventListener("popstate", tell);

// A click on a link of ours changes the page without loading it anew; with a modifier it stays the browser's.
addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  if (link.origin !== location.origin || link.target || link.hasAttribute("download")) return;
  if (link.pathname.startsWith("/api/") || link.pathname.startsWith("/gallery/")) return;
  event.preventDefault();
  navigate(link.pathname + link.search);
});

// --- the list that is being browsed ------------------------------------------------------------------------

/**
 * The grid or the hits that an asset was opened from: they say who is beside whom. Without one nobody is.
 */
export const results = {
  list: null,

  /** Resolves to the address of the asset `step` (1 or -1) further, or to null at an end. */
  async neighbour(id, step) {
    return (await this.list?.neighbour(id, step)) ?? null;
  },
};

export const theme = window.lakewatchdTheme;

// --- short messages ----------------------------------------------------------------------------------------

let speaker = null;

/** Shows `text` for some seconds; `undo`, a function, gets a button. Read aloud by screen readers. */
export function say(text, { undo = null } = {}) {
  speaker?.({ text, undo });
}

/** Who shows messages: the shell. */
export function onSay(listener) {
  speaker = listener;
}
