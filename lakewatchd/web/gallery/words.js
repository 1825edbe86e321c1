// Values as people say them, in the language of the browser where it knows one.

const MONTH = new Intl.DateTimeFormat(undefined, { month: "long", year: "numeric" });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
const SHORT = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const NUMBER = new Intl.NumberFormat();

export const KINDS = ["image", "video", "audio", "document", "table", "other"];
const NAMES = {
  image: ["Photo", "Photos"], video: ["Video", "Videos"], audio: ["Recording", "Recordings"],
  document: ["Document", "Documents"], table: ["Table", "Tables"], other: ["Other file", "Other files"],
};

export const kindName = (kind, count = 1) => (NAMES[kind] ?? NAMES.other)[count === 1 ? 0 : 1];

/** Wall-clock time where it was taken, as the API gives it: without a zone, so none is applied. */
export function moment(text) {
  const found = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d))?)?/.exec(text ?? "");
  if (!found) return null;
  const [year, month, day, hour = 0, minute = 0, second = 0] = found.slice(1).map((part) => Number(part ?? 0));
  const date = new Date(2000, month - 1, day, hour, minute, second);
  date.setFullYear(year); // years below 100 too
  return date;
}

const said = (format) => (text) => {
  const date = moment(text);
  return date ? format.format(date) : "";
};

/** "Saturday, 12 July 2024" */
export const when = said(DAY);
/** "12 Jul 2024" */
export const day = said(SHORT);
/** "10:15" */
export const time = said(TIME);

/** "July 2024", "March – July 2024" */
export function monthsName(year, first, last = first) {
  const date = (month) => {
    const found = new Date(2000, month - 1, 1);
    found.setFullYear(year);
    return found;
  };
  return first === last ? MONTH.format(date(first)) : MONTH.formatRange(date(first), date(last));
}

/** 75 -> "1:15", 3675 -> "1:01:15" */
export function length(seconds) {
  const all = Math.max(0, Math.floor(seconds ?? 0));
  const [hours, minutes, rest] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  const two = (value) => String(value).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** 1500000 -> "1.5 MB" */
export function size(bytes) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  const step = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  const value = bytes / 1000 ** step;
  const style = { style: "unit", unit: units[step], unitDisplay: step ? "short" : "long" };
  return new Intl.NumberFormat(undefined, { ...style, maximumFractionDigits: value < 10 && step ? 1 : 0 }).format(value);
}

export const number = (value) => NUMBER.format(value);

/** plural(2, "file") -> "2 files" */
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

/** percent(0.834) -> "83 %" */
export const percent = (share) => `${Math.round(share * 100)} %`;

/** How long one waits: "20 s", "3 min", "4 h 10 min", "6 days" */
export function waited(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60) % 60} min`;
  return `${Math.round(seconds / 86400)} days`;
}

/** `moment` in seconds since the epoch: "3 min ago" */
export function ago(moment) {
  const seconds = Date.now() / 1000 - moment;
  return seconds < 5 ? "just now" : `${waited(seconds)} ago`;
}

/** Words from outside without what would turn them around or hide them: "gpj.exe" never reads as "exe.jpg". */
export const plainly = (text) => (text ?? "").replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]+/g, "\ufffd");
