// What is said, beside what plays: it follows, and a press on a word jumps there.
//
// Of hours of speech only the passages near the window are made of single words; the others are plain text.

import { html, useCallback, useEffect, useMemo, useRef, useState } from "../ui.js";
import { useListed, useReached } from "../fetched.js";
import { Name } from "../notices.js";
import { length } from "../words.js";

const HANDS_OFF_MS = 4000;

export function Transcript({ id, seconds, seek }) {
  const { items, error, isWhole, more } = useListed(`/api/assets/${id}/spans?kind=speech&limit=200`, "offset");
  const [follows, setFollows] = useState(true);
  const list = useRef(null);
  const touched = useRef(0);
  const passages = useMemo(() => [...items].sort((a, b) => (a.start_s ?? 0) - (b.start_s ?? 0)), [items]);
  const now = passages.findLastIndex((one) => (one.start_s ?? 0) <= seconds + 0.05);
  const end = useReached(more);
  const last = passages.at(-1)?.end_s ?? 0;
  useEffect(() => {
    if (!isWhole && seconds > last) more();
  }, [isWhole, seconds, last, more]);
  useEffect(() => {
    if (follows && Date.now() - touched.current > HANDS_OFF_MS) show(list.current, now);
  }, [now, follows]);
  const jump = useCallback(
    (event) => {
      const found = event.target.closest("[data-s]");
      if (found && !window.getSelection()?.toString()) seek(Number(found.dataset.s));
    },
    [seek],
  );
  const touch = () => {
    touched.current = Date.now();
  };
  return html`<section class="transcript" aria-label="Transcript">
    <header>
      <h2>Transcript</h2>
      <label
        ><input type="checkbox" checked=${follows} onChange=${(event) => setFollows(event.target.checked)} />
        follow</label
      >
    </header>
    ${error && html`<p class="notice is-bad" role="alert">${error.message}</p>`}
    <ol ref=${list} tabindex="0" aria-label="What is said" onClick=${jump} onWheel=${touch} onTouchMove=${touch}>
      ${passages.map(
        (one, number) => html`<${Passage} key=${one.span} passage=${one} second=${number === now ? seconds : null} />`,
      )}
      ${!isWhole && html`<li ref=${end} class="waiting">…</li>`}
    </ol>
  </section>`;
}

/** `second`: the one that is played, where that is in this passage. */
function Passage({ passage, second }) {
  const [isNear, setNear] = useState(false);
  const near = useReached(useCallback(() => setNear(true), []));
  const isNow = second !== null;
  const words = (isNear || isNow) && passage.words?.length ? passage.words : null;
  const spoken = isNow && words ? words.findLastIndex((word) => word.start_s <= second + 0.05) : -1;
  return html`<li ref=${near} class=${isNow ? "is-now" : ""} aria-current=${isNow ? "true" : undefined}>
    <button
      type="button"
      class="clock"
      data-s=${passage.start_s ?? 0}
      aria-label=${`Play from ${length(passage.start_s)}`}
    >
      ${length(passage.start_s)}
    </button>
    <p dir="auto">
      ${passage.speaker && html`<b><${Name} text=${passage.speaker} /></b>: `}
      ${
        words
          ? pieces(passage.text, words).map(({ gap, word, start }, number) => [
              gap,
              html`<span data-s=${start} class=${number === spoken ? "is-spoken" : ""}>${word}</span>`,
            ])
          : passage.text
      }
    </p>
  </li>`;
}

/** The passage as it is written, taken apart at its words: what stands before each, the word, when it is said. */
function pieces(text, words) {
  let end = 0;
  return words.map(({ text: said, start_s: start }) => {
    const word = said.trim();
    const at = text.indexOf(word, end);
    const gap = at < 0 ? " " : text.slice(end, at);
    end = at < 0 ? end : at + word.length;
    return { gap, word, start };
  });
}

/** Scroll the list, and only the list, so that the passage is in its middle. */
function show(list, number) {
  const item = list?.children[number];
  if (!item) return;
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  list.scrollTo({ top: item.offsetTop - list.offsetTop - list.clientHeight / 3, behavior: calm ? "auto" : "smooth" });
}
