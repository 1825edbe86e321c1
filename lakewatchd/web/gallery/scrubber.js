// The years along the right edge: how far down one is, and a way to any month.

import { html, useRef, useState } from "./ui.js";

const LABEL_PX = 26; // two years closer than this show one label

/** `self`: the scroll of the grid that shows `months`. */
export function Scrubber({ months, self }) {
  const strip = useRef(null);
  const [held, setHeld] = useState(null); // share of the whole while it is dragged
  const most = Math.max(1, months.height - innerHeight * 0.5);
  const share = held ?? Math.min(1, Math.max(0, self.top / most));
  const month = months.months[months.at(share * most + 80)];
  if (months.height < innerHeight * 1.5) return null;

  const go = (to) => scrollTo({ top: to * most + self.box.offsetTop, behavior: "instant" });
  const drag = (event) => {
    const { top, height } = strip.current.getBoundingClientRect();
    const to = Math.min(1, Math.max(0, (event.clientY - top) / height));
    setHeld(to);
    go(to);
  };
  const press = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 12, PageUp: -12, Home: -1e6, End: 1e6 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const last = months.months.length - 1;
    const to = months.months[Math.min(last, Math.max(0, months.months.indexOf(month) + step))];
    scrollTo({ top: to.top + self.box.offsetTop - 60, behavior: "instant" });
  };

  const labels = [];
  let lowest = -Infinity;
  months.months.forEach(({ year, top }, index) => {
    const at = (top / most) * (innerHeight - 140);
    if (months.months[index - 1]?.year === year || at - lowest < LABEL_PX) return;
    labels.push({ year, at: top / most });
    lowest = at;
  });
  return html`<div
    class=${`scrubber ${held === null ? "" : "is-held"}`} ref=${strip} role="slider" tabindex="0" aria-label="Month"
    aria-orientation="vertical" aria-valuemin="0" aria-valuemax=${months.months.length - 1}
    aria-valuenow=${months.months.indexOf(month)} aria-valuetext=${month.name} onKeyDown=${press}
    onPointerDown=${(event) => {
      event.preventDefault();
      strip.current.setPointerCapture(event.pointerId);
      drag(event);
    }}
    onPointerMove=${(event) => held !== null && drag(event)}
    onPointerUp=${() => setHeld(null)}
    onPointerCancel=${() => setHeld(null)}
  >
    ${labels.map(({ year, at }) => html`<span class="year" style=${{ top: `${at * 100}%` }}>${year}</span>`)}
    <span class="here" style=${{ transform: `translateY(${share * 100}%)` }}><i></i><span>${month.name}</span></span>
  </div>`;
}
