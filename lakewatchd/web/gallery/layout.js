// Justified rows: pictures side by side at their own shape, each row as wide as the page.
//
// Pure arithmetic: the place of every picture is known from its width and height alone, before any of it is loaded, so
// that nothing moves when it arrives.

const WIDEST = 3; // a panorama is shown cut, or a row would hold nothing else
const TALLEST = 0.5;

/** Width over height that `item` is shown with. What has no picture stands upright or square. */
export function shape({ kind, width, height }) {
  if (width > 0 && height > 0) return Math.min(WIDEST, Math.max(TALLEST, width / height));
  return kind === "document" ? 0.75 : kind === "video" ? 16 / 9 : 1;
}

/**
 * Rows for `items`: `{top, height, boxes: [{item, left, width}]}` in CSS pixels, with `gap` between them. Rows come as
 * close to `target` in height as they can; the last may end early instead of being blown up.
 */
export function justify(items, { width, target, gap }) {
  const rows = [];
  let top = 0;
  let row = [];
  let shapes = 0;
  const put = (height, isFull = true) => {
    let left = 0;
    const boxes = row.map((item, index) => {
      const isLast = isFull && index === row.length - 1; // takes what rounding left
      const wide = isLast ? width - left : Math.round(shape(item) * height);
      const box = { item, left, width: wide };
      left += wide + gap;
      return box;
    });
    rows.push({ top, height, boxes });
    top += height + gap;
    row = [];
    shapes = 0;
  };
  for (const item of items) {
    const before = row.length ? (width - gap * (row.length - 1)) / shapes : Infinity;
    const after = (width - gap * row.length) / (shapes + shape(item));
    if (after < target && before - target < target - after) put(Math.round(before)); // fits better without it
    row.push(item);
    shapes += shape(item);
    const height = (width - gap * (row.length - 1)) / shapes;
    if (height <= target) put(Math.round(height));
  }
  if (row.length) put(target, false);
  return { rows, height: Math.max(0, top - gap) };
}

/** How high `count` items will be whose shapes are not known yet, by the mean shape of others. */
export function guess(count, mean, { width, target, gap }) {
  const perRow = Math.max(1, (width + gap) / (mean * target + gap));
  return Math.ceil(count / perRow) * (target + gap) - gap;
}
