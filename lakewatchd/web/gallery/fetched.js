// What a component shows of the server: asked for when it appears, dropped when it goes.

import { useCallback, useEffect, useState } from "./ui.js";
import { api } from "./state.js";

/** The answer to `GET path`: `{data, error, isLoading, reload, replace}`. An empty path asks nothing.
 *
 * What was known of the last path is not shown for the next. `replace(change)` shows `change(data)` until there is
 * another answer.
 */
export function useFetched(path) {
  const [state, setState] = useState({ path, data: null, error: null });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (!path) return undefined;
    const abort = new AbortController();
    api(path, { signal: abort.signal }).then(
      (data) => setState({ path, data, error: null }),
      (error) => abort.signal.aborted || setState({ path, data: null, error }),
    );
    return () => abort.abort();
  }, [path, turn]);
  const reload = useCallback(() => setTurn((was) => was + 1), []);
  const replace = useCallback((change) => setState((was) => (was.data ? { ...was, data: change(was.data) } : was)), []);
  const { data, error } = state.path === path ? state : { data: null, error: null };
  return { data, error, isLoading: Boolean(path) && !data && !error, reload, replace };
}

/** A list that comes in parts, `{items, next}` each: `{items, error, isWhole, more, retry}`. The first comes by itself,
 * `more` asks for the next. `key` is the parameter that says from where on: what the part before said is `next`. */
export function useListed(path, key = "cursor") {
  const [asked, setAsked] = useState({ path, from: "", turn: 0 });
  const [state, setState] = useState(nothing(path));
  const from = asked.path === path ? asked.from : "";
  const known = state.path === path ? state : nothing(path);
  useEffect(() => {
    if (!path) return undefined;
    const abort = new AbortController();
    const rest = from === "" ? "" : `${path.includes("?") ? "&" : "?"}${key}=${encodeURIComponent(from)}`;
    api(path + rest, { signal: abort.signal }).then(
      (part) =>
        setState((was) => {
          const before = from !== "" && was.path === path ? was.items : [];
          return { path, items: [...before, ...part.items], next: part.next ?? null, error: null };
        }),
      (error) => abort.signal.aborted || setState((was) => ({ ...(was.path === path ? was : nothing(path)), error })),
    );
    return () => abort.abort();
  }, [path, key, from, asked.turn]);
  const more = useCallback(() => {
    if (known.next !== undefined && known.next !== null) setAsked({ path, from: known.next, turn: 0 });
  }, [path, known.next]);
  const retry = useCallback(() => setAsked((was) => ({ ...was, turn: was.turn + 1 })), []);
  return { items: known.items, error: known.error, isWhole: known.next === null, more, retry };
}

const nothing = (path) => ({ path, items: [], next: undefined, error: null });

/** A ref: `reached` is called when its element comes near the window. */
export function useReached(reached) {
  const [element, setElement] = useState(null);
  useEffect(() => {
    if (!element) return undefined;
    const near = (seen) => seen.some((one) => one.isIntersecting) && reached();
    const observer = new IntersectionObserver(near, { rootMargin: "600px" });
    observer.observe(element);
    return () => observer.disconnect();
  }, [element, reached]);
  return setElement;
}
