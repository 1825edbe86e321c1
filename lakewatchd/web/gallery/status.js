// What the daemon is doing, as it happens: roots, queue, rate, what needs a person.

import { html, useCallback, useEffect, useRef, useState } from "./ui.js";
import { api, say } from "./state.js";
import { useFetched } from "./fetched.js";
import { Icon } from "./icons.js";
import { Name, Trouble, Waiting } from "./notices.js";
import { ago, number, plural, size, waited } from "./words.js";

const SAMPLES = 90;
const LEAST_SAMPLES = 8;
const SHOWN = 50;
const AGAIN_MS = 5000;
const SILENT = { message: "Nobody tells how it is.", hint: "Is it running? systemctl status lakewatchd" };
const CLASSES = [
  ["asked", "Asked for"],
  ["fresh", "New files"],
  ["changed", "Changed files"],
  ["backfill", "Older files again"],
  ["enrichment", "A second, longer look"],
];
const STATES = { ready: "waiting", later: "waiting for its turn", leased: "running" };

export function Status() {
  const { status, past, problem } = useStatus();
  const isLive = Boolean(status) && !problem;
  return html`<div class="page status">
    <header>
      <h1>Status</h1>
      ${status && html`<p class="headline" role="status">${status.headline}</p>`}
      <p class="live" data-live=${isLive}>
        ${isLive ? "live" : problem ? "not connected, trying again" : "connecting"}
      </p>
    </header>
    ${!status && !problem && html`<${Waiting} />`} ${problem && html`<${Trouble} error=${problem} />`}
    ${
      status &&
      html` <${Problems} problems=${status.problems} paused=${status.paused} />
        <${Figures} status=${status} past=${past} />
        <${Queue} lines=${status.queue} />
        <${Parked} groups=${status.parked} />
        <${Roots} roots=${status.roots} />
        <${Machine} status=${status} />`
    }
  </div>`;
}

/** The newest status, what rate and queue were lately, and why there is no news. Asks again where the line drops. */
function useStatus() {
  const [now, setNow] = useState({ status: null, past: [], problem: null });
  useEffect(() => {
    let line = null;
    let again = null;
    const heard = (said) => (was) =>
      said.error
        ? { ...was, problem: { message: said.error, hint: said.hint } }
        : { status: said, past: [...was.past, sample(said)].slice(-SAMPLES), problem: null };
    const listen = () => {
      line = new EventSource("/api/status");
      line.onmessage = ({ data }) => setNow(heard(JSON.parse(data)));
      line.onerror = () => {
        setNow((was) => ({ ...was, problem: was.problem ?? SILENT }));
        if (line.readyState === EventSource.CLOSED) again = setTimeout(listen, AGAIN_MS); // else it does so by itself
      };
    };
    listen();
    return () => {
      line.close();
      clearTimeout(again);
    };
  }, []);
  return now;
}

const waits = (status) =>
  status.queue.filter((line) => line.state !== "parked").reduce((sum, line) => sum + line.count, 0);
const sample = (status) => ({ rate: status.rate_per_s, waits: waits(status) });

function Problems({ problems, paused }) {
  const all = [...(paused ? [{ message: `Work rests: ${paused}` }] : []), ...problems];
  if (!all.length) return null;
  return html`<section aria-label="Problems">
    ${all.map(
      (one) =>
        html`<div class="notice is-bad">
          <p><${Name} text=${one.message} /></p>
          ${one.hint && html`<p class="hint"><${Name} text=${one.hint} /></p>`}
        </div>`,
    )}
  </section>`;
}

function Figures({ status, past }) {
  const files = status.roots.reduce((sum, root) => sum + root.files, 0);
  const gold = status.lake.tables.find((table) => table.name === "gold_assets")?.rows;
  const left = waits(status);
  return html`<section class="figures" aria-label="In figures">
    <${Figure}
      name="files known"
      value=${number(files)}
      more=${gold === undefined ? "" : `${number(gold)} different ones can be found`}
    />
    <${Figure}
      name="to do"
      value=${number(left)}
      more=${status.running ? `${status.running} in hand` : "nothing in hand"}
      line=${past.map((one) => one.waits)}
    />
    <${Figure}
      name="a second"
      value=${status.rate_per_s.toFixed(1)}
      more=${`${number(status.done)} done since the start`}
      line=${past.map((one) => one.rate)}
    />
    <${Figure}
      name=${left === 0 ? "" : "left"}
      value=${left === 0 ? "done" : status.eta_s === null ? "…" : waited(status.eta_s)}
      more=${status.oldest_unprocessed_s === null ? "" : `the oldest waits for ${waited(status.oldest_unprocessed_s)}`}
    />
  </section>`;
}

function Figure({ name, value, more, line }) {
  return html`<div class="card figure">
    <p><strong>${value}</strong> ${name}</p>
    <p class="quietly">${more}</p>
    ${line?.length > LEAST_SAMPLES && Math.max(...line) > 0 && html`<${Line} values=${line} />`}
  </div>`;
}

/** How a number went lately. The words beside it say all that a screen reader needs. */
function Line({ values }) {
  const most = Math.max(...values, 1e-9);
  const at = (value, number) =>
    `${((100 * number) / (SAMPLES - 1)).toFixed(1)},${(28 - (26 * value) / most).toFixed(1)}`;
  return html`<svg class="spark" viewBox="0 0 100 30" preserveAspectRatio="none" aria-hidden="true">
    <polyline points=${values.map(at).join(" ")} />
  </svg>`;
}

function Queue({ lines }) {
  const open = lines.filter((line) => line.state !== "parked");
  const most = Math.max(1, ...CLASSES.map(([name]) => sum(open, name)));
  const shown = CLASSES.filter(([name]) => sum(open, name) > 0);
  return html`<section>
    <h2>Queue</h2>
    ${!shown.length && html`<p class="quietly">Nothing waits: all that was seen is indexed.</p>`}
    <ul class="lanes">
      ${shown.map(
        ([name, words]) =>
          html`<li key=${name}>
            <span>${words}</span>
            <span class="lane" aria-hidden="true"
              ><i style=${{ width: `${(100 * sum(open, name)) / most}%` }}></i
            ></span>
            <span class="count">${number(sum(open, name))}</span>
            <small
              >${Object.entries(STATES)
                .map(([state, what]) => [sum(open, name, state), what])
                .filter(([count]) => count)
                .map(([count, what]) => `${number(count)} ${what}`)
                .join(", ")}</small
            >
          </li>`,
      )}
    </ul>
  </section>`;
}

const sum = (lines, priority, state) =>
  lines
    .filter((line) => line.priority === priority && (!state || line.state === state))
    .reduce((total, line) => total + line.count, 0);

/** Files that need a person, by reason; `groups` changes when there is news. */
function Parked({ groups }) {
  const total = groups.reduce((count, group) => count + group.count, 0);
  const { data, error, reload } = useFetched(total ? `/api/queue/parked?limit=${SHOWN}` : "");
  const known = useRef(total);
  useEffect(() => {
    // Also where it was asked for while a job was tried again, and the count is what it was before
    if (known.current !== total || (data && data.items.length !== Math.min(total, SHOWN))) reload();
    known.current = total;
  }, [groups, reload]);
  const retry = useCallback(
    async (what, told) => {
      try {
        const { count } = await api("/api/queue/retry", { json: what });
        say(count ? `${told}: ${plural(count, "job")} queued again.` : "Nothing was parked there any more.");
      } catch (problem) {
        say([problem.message, problem.hint].filter(Boolean).join(" "));
      }
      reload();
    },
    [reload],
  );
  if (!total) return null;
  return html`<section class="parked">
    <h2>Needs you <small>${plural(total, "file")}</small></h2>
    ${error && html`<${Trouble} error=${error} retry=${reload} />`}
    ${groups.map(
      (group) =>
        html`<div class="card" key=${group.reason}>
          <header>
            <h3><${Name} text=${group.reason} /> <span class="count">${number(group.count)}</span></h3>
            <button type="button" class="button" onClick=${() => retry({ reason: group.reason }, group.reason)}>
              Try ${group.count === 1 ? "it" : "all"} again
            </button>
          </header>
          ${group.hint && html`<p class="hint"><${Name} text=${group.hint} /></p>`}
          <ul>
            ${(data?.items ?? [])
              .filter((item) => item.reason === group.reason)
              .map(
                (item) =>
                  html`<li key=${item.stage + item.key}>
                    <p class="path"><${Name} text=${item.key} /></p>
                    <p class="quietly"><${Name} text=${item.message} /></p>
                    <button
                      type="button"
                      class="button quiet"
                      aria-label=${`Try again: ${item.key}`}
                      onClick=${() => retry({ path: item.key }, item.key)}
                    >
                      Try again
                    </button>
                  </li>`,
              )}
          </ul>
        </div>`,
    )}
  </section>`;
}

function Roots({ roots }) {
  return html`<section>
    <h2>Roots</h2>
    <ul class="roots">
      ${roots.map(
        (root) =>
          html`<li class="card" key=${root.name} data-state=${root.state}>
            <h3>
              <${Icon} name=${root.state === "away" ? "away" : "folder"} /> <${Name} text=${root.name} />
              <span class="state">${root.state}</span>
            </h3>
            <p class="path"><${Name} text=${root.path} /></p>
            <p>
              ${plural(root.files, "file")}${root.ignored > 0 && `, ${number(root.ignored)} ignored`}
              ${root.settling > 0 && `, ${number(root.settling)} settling`}
            </p>
            <p class="quietly">${root.watching}${root.last_scan ? `; looked through ${ago(root.last_scan)}` : ""}</p>
            ${root.scanning && html`<p class="quietly">Looking through it: ${root.scanning}</p>`}
            ${
              (root.problem || root.reason) &&
              html`<div class="notice is-bad">
                <p><${Name} text=${root.problem || root.reason} /></p>
                ${root.hint && html`<p class="hint"><${Name} text=${root.hint} /></p>`}
              </div>`
            }
          </li>`,
      )}
    </ul>
  </section>`;
}

function Model({ model }) {
  return html`<p>
    ${model.role}: <${Name} text=${model.name || "none"} />, <span class="state">${model.state}</span>
    ${model.problem && html` <small><${Name} text=${model.problem} /></small>`}
  </p>`;
}

function Machine({ status }) {
  const disk = status.lake.tables.reduce((total, table) => total + table.bytes, 0);
  return html`<section>
    <h2>Machine</h2>
    <dl class="machine">
      <div>
        <dt>Models</dt>
        <dd>
          ${status.models.map((model) => html`<${Model} key=${model.role} model=${model} />`)}
          ${!status.models.length && "none"}
        </dd>
      </div>
      <div>
        <dt>Lake</dt>
        <dd>
          <p class="path"><${Name} text=${status.lake.path} /></p>
          ${
            status.lake.away
              ? html`<p><${Name} text=${status.lake.away} /></p>`
              : html`<p>
                  ${size(disk)},
                  ${plural(
                    status.lake.tables.reduce((rows, table) => rows + table.rows, 0),
                    "row",
                  )}
                </p>`
          }
        </dd>
      </div>
      ${
        status.cache.path &&
        html`<div>
          <dt>Cache</dt>
          <dd>${size(status.cache.used_bytes)} of ${size(status.cache.limit_bytes)}</dd>
        </div>`
      }
      <div>
        <dt>Daemon</dt>
        <dd>
          ${status.version}, up
          ${waited(status.uptime_s)}${status.failed ? `, ${plural(status.failed, "try", "tries")} failed` : ""}
        </dd>
      </div>
    </dl>
  </section>`;
}
