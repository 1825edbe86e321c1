// The first rows of each table of a file, out of the passages that the lake keeps of it.

import { html, useMemo } from "../ui.js";
import { Name } from "../notices.js";
import { number, plural } from "../words.js";

const COLUMNS = 60;

export function Tables({ asset, passages }) {
  const tables = useMemo(() => read(asset.exif, passages), [asset.exif, passages]);
  return tables.map(
    (table) =>
      html`<section class="sheet-table" tabindex="0" aria-label=${table.name || asset.title || "Table"}>
        ${table.name && html`<h2><${Name} text=${table.name} /></h2>`}
        <p class="quietly">${measures(table)}</p>
        <table>
          <thead>
            <tr>
              ${shown(table).map(
                ([name, type]) => html`<th scope="col"><${Name} text=${name} /> <small>${type}</small></th>`,
              )}
            </tr>
          </thead>
          <tbody>
            ${table.sample.map(
              (row) =>
                html`<tr>
                  ${shown(table).map(([name]) => html`<td><${Name} text=${row.get(name) ?? ""} /></td>`)}
                </tr>`,
            )}
          </tbody>
        </table>
      </section>`,
  );
}

const shown = (table) => table.columns.slice(0, COLUMNS);

/** "about 1,200 rows, 3 columns; the first 6 here" */
function measures({ rows, is_whole: isWhole = true, columns, left_out: leftOut = 0, sample }) {
  const counted = [rows === undefined ? "" : plural(rows, "row"), plural(columns.length + leftOut, "column")];
  const here = sample.length ? `; the first ${number(sample.length)} here` : "";
  return `${isWhole ? "" : "about "}${counted.filter(Boolean).join(", ")}${here}`;
}

/** The shapes among what the file says of itself, each with the rows that were kept as text under it. */
function read(exif, passages) {
  const shapes = exif
    .filter(([name]) => /^table(\.\d+)?$/.test(name))
    .map(([, words]) => shape(words))
    .filter(Boolean);
  const lines = joined(passages).split("\n");
  let at = -1;
  const samples = shapes.map(() => []);
  for (const line of lines) {
    const isSummary = /^Table(?: .*)?: .*\d columns?\. /.test(line);
    if (isSummary) at += 1;
    const cells = !isSummary && samples[at] && row(line, shapes[at].columns);
    if (cells?.size) samples[at].push(cells);
  }
  return shapes.map((one, number) => ({ ...one, sample: samples[number] }));
}

function shape(words) {
  try {
    const found = JSON.parse(words);
    return Array.isArray(found.columns) ? found : null;
  } catch {
    return null;
  }
}

function joined(passages) {
  let [text, end] = ["", 0];
  for (const one of passages) {
    text += [...one.text].slice(Math.max(0, end - (one.start ?? end))).join("");
    text += "\n".repeat(one.end > end ? 1 : 0);
    end = Math.max(end, one.end ?? end);
  }
  return text;
}

/** `date: 2024-07-12; amount: 12.50` as cells by column. Names and cells may hold `; ` and `: `: known names tell. */
function row(line, columns) {
  const cells = new Map();
  let rest = line;
  for (let at = 0; at < columns.length; at += 1) {
    const [name] = columns[at];
    if (!rest.startsWith(`${name}: `)) continue;
    rest = rest.slice(name.length + 2);
    const ends = columns
      .slice(at + 1)
      .map(([next]) => rest.indexOf(`; ${next}: `))
      .filter((found) => found >= 0);
    const end = ends.length ? Math.min(...ends) : rest.length;
    cells.set(name, rest.slice(0, end));
    rest = rest.slice(end + 2);
  }
  return cells;
}
