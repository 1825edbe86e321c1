// Small drawings, on a grid of 24, in the colour of the text beside them. They say nothing to a screen reader: what they
// stand on does.

import { html } from "./ui.js";

const DRAWINGS = {
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14M16 16l4.5 4.5",
  close: "M6 6l12 12M18 6L6 18",
  back: "M15 5l-7 7 7 7",
  next: "M9 5l7 7-7 7",
  down: "M6 9.5l6 6 6-6",
  check: "M5 12.5l4.5 4.5L19 7.5",
  plus: "M12 5v14M5 12h14",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  info: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17M12 11v5M12 7.6v.3",
  tag: "M4 4h8l8 8-8 8-8-8zM8.2 8.2v.1",
  place: "M12 21s-6.5-6-6.5-11a6.5 6.5 0 0 1 13 0c0 5-6.5 11-6.5 11M12 7.8a2.3 2.3 0 1 0 0 4.6 2.3 2.3 0 0 0 0-4.6",
  calendar: "M5 6h14v14H5zM5 10h14M9 3.5V7M15 3.5V7",
  folder: "M3.5 6h6l2 2.5h9V19h-17z",
  copies: "M8.5 8.5H20V20H8.5zM4 15.5V4h11.5",
  none: "",
  play: "M8 5.5v13l10.5-6.5z",
  pulse: "M3 12h4l3-8 4.5 16 2.5-8h4",
  ask: "M4 5h16v11h-9l-5 4v-4H4z",
  like: "M12 3.5l2.3 5.9 6.2.4-4.8 4 1.6 6.1L12 16.5l-5.3 3.4 1.6-6.1-4.8-4 6.2-.4z",
  sun: "M12 7.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9M12 2v2.5M12 19.5V22M2 12h2.5M19.5 12H22M5 5l1.7 1.7M17.3 17.3L19 19M5 19l1.7-1.7M17.3 6.7L19 5",
  moon: "M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10",
  auto: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17M12 3.5v17M12 7l6 0M12 12h8.3M12 17h6",
  away: "M4 4l16 16M8 7.6A6 6 0 0 1 18 10a4 4 0 0 1 1.6 7M6.6 9.5A4.3 4.3 0 0 0 7.5 18H16",
  image: "M4 5h16v14H4zM4 16l4.5-4.5 3.5 3.5 2.5-2.5L20 17M15.5 8.6v.3",
  video: "M4 6h11v12H4zM15 10.5L20.5 7v10L15 13.5",
  audio: "M9.5 17.5V6l9-2v11.5M9.5 17.5a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0M18.5 15.5a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0",
  document: "M6 3.5h8l4.5 4.5v12.5H6zM14 3.5V8h4.5M9 12h6.5M9 15.5h6.5",
  table: "M4 5h16v14H4zM4 10h16M4 14.5h16M10 5v14",
  other: "M6 3.5h8l4.5 4.5v12.5H6zM14 3.5V8h4.5",
};

export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${DRAWINGS[name]} /></svg>`;
}

export const KindIcon = ({ kind }) => html`<${Icon} name=${kind in DRAWINGS ? kind : "other"} />`;
