// A question, and an answer that says where each claim stands: a link to the page or the second.
//
// The answer is plain text that comes as it is made; only `[n]` of a passage that there is becomes a link.

import { html, useEffect, useState } from "./ui.js";
import { Problem, navigate, withQuery } from "./state.js";
import { KindIcon } from "./icons.js";
import { Name, Trouble, Waiting } from "./notices.js";
import { length } from "./words.js";

const CHARS = 1000;
const EMPTY = { passages: [], text: "", end: null, problem: null, isBusy: false };

export function Ask({ q = "" }) {
  const [typed, setTyped] = useState(q);
  const [answer, setAnswer] = useState(EMPTY);
  useEffect(() => {
    setTyped(q);
    if (!q) return undefined;
    const abort = new AbortController();
    setAnswer({ ...EMPTY, isBusy: true });
    asked(q, abort.signal, (part) => setAnswer((was) => joined(was, part))).then(
      () => setAnswer((was) => ({ ...was, isBusy: false })),
      (problem) => abort.signal.aborted || setAnswer((was) => ({ ...was, problem, isBusy: false })),
    );
    return () => abort.abort();
  }, [q]);
  const send = (event) => {
    event.preventDefault();
    if (typed.trim()) navigate(withQuery("/ask", { q: typed.trim() }), { replace: true });
  };
  return html`<div class="page ask">
    <h1>Ask</h1>
    <form onSubmit=${send}>
      <input
        class="field"
        value=${typed}
        maxlength=${CHARS}
        placeholder="Which talks mention battery chemistry?"
        aria-label="Your question"
        onInput=${(event) => setTyped(event.target.value)}
      />
      <button class="button primary" disabled=${!typed.trim()}>Ask</button>
    </form>
    ${
      !q &&
      html`<p class="quietly">
        The answer is made of what stands in your own files, by a model on a machine of yours, and says where each claim
        comes from.
      </p>`
    }
    ${answer.problem && html`<${Trouble} error=${answer.problem} />`}
    <div class="answer" aria-live="polite" aria-busy=${answer.isBusy}>
      ${answer.isBusy && !answer.text && html`<${Waiting} what=${answer.passages.length ? "Reading" : "Looking"} />`}
      ${answer.text && html`<p class="prose" dir="auto">${cited(answer.text, answer.passages)}</p>`}
      ${(answer.end?.advice ?? []).map((words) => html`<p class="notice">${words}</p>`)}
    </div>
    ${
      answer.passages.length > 0 &&
      html`<section>
        <h2>${answer.text ? "Where it stands" : "What was found"}</h2>
        <ol class="passages">
          ${answer.passages.map((one) => html`<${Passage} key=${one.n} one=${one} />`)}
        </ol>
      </section>`
    }
  </div>`;
}

function Passage({ one }) {
  return html`<li class="card" id=${`passage-${one.n}`}>
    <a href=${address(one)}
      ><span class="n">${one.n}</span> <${KindIcon} kind=${one.kind} /> <${Name} text=${one.title || one.path} />
      <small>${place(one)}</small></a
    >
    <p class="prose" dir="auto">${one.text}</p>
  </li>`;
}

/** The text with its `[1]` and `[2, 3]` as links; a number without a passage stays text. */
function cited(text, passages) {
  const known = new Map(passages.map((one) => [one.n, one]));
  return text.split(/(\[\d{1,3}(?:\s*,\s*\d{1,3})*\])/).map((part, at) => {
    const numbers = at % 2 ? part.slice(1, -1).split(",").map(Number) : [];
    const found = numbers.map((n) => known.get(n)).filter(Boolean);
    return found.length && found.length === numbers.length
      ? found.map(
          (one) =>
            html`<a class="cite" href=${address(one)} title=${`${one.title || one.path} ${place(one)}`}>${one.n}</a>`,
        )
      : part;
  });
}

const address = (one) => withQuery(`/asset/${one.asset_id}`, { t: one.start_s, page: one.page, span: one.span });

function place(one) {
  if (one.start_s !== null && one.start_s !== undefined) return `@ ${length(one.start_s)}`;
  return one.page ? `p. ${one.page}` : "";
}

const joined = (was, part) => ({
  ...was,
  passages: part.passages ?? was.passages,
  text: was.text + (part.text ?? ""),
  end: part.done ? part : was.end,
});

/** Asks, and hands each line of the answer to `take`. Rejects with a Problem, also for one in the middle. */
async function asked(question, signal, take) {
  const body = JSON.stringify({ question });
  const headers = { "content-type": "application/json", accept: "application/x-ndjson" };
  const response = await fetch("/api/ask", { method: "POST", body, headers, signal, credentials: "same-origin" }).catch(
    (error) => {
      throw signal.aborted ? error : new Problem("The server does not answer.", "Is lakewatchd running?");
    },
  );
  if (!response.ok) {
    const said = await response.json().catch(() => null);
    throw new Problem(said?.error ?? `The server says ${response.status}.`, said?.hint ?? "", response.status);
  }
  for await (const line of lines(response.body)) {
    const part = JSON.parse(line);
    if (part.error) throw new Problem(part.error, part.hint ?? "");
    take(part);
  }
}

async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    const all = rest + (value ?? "");
    const whole = all.split("\n");
    rest = done ? "" : whole.pop();
    yield* whole.filter((line) => line.trim());
    if (done) return;
  }
}
