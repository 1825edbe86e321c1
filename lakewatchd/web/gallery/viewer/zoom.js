// Enlarging and moving a picture: wheel, pinch, drag, double click, + and -.
//
// It moves by a CSS transform on one element and touches no component: sixty times a second is no time for those.
// The invariant: some of the picture is always in the middle, and at its smallest it fits.

const MOST = 12;
const STEP = 1.25;

/** Makes what lies in `stage` movable by moving `sheet`. Returns what ends it. */
export function zoomable(stage, sheet) {
  let [scale, x, y] = [1, 0, 0];
  const fingers = new Map();
  const abort = new AbortController();
  const listen = (target, name, act, options = {}) =>
    target.addEventListener(name, act, { ...options, signal: abort.signal });

  const show = () => {
    const [wide, high] = [(sheet.offsetWidth * (scale - 1)) / 2, (sheet.offsetHeight * (scale - 1)) / 2];
    [x, y] = [Math.max(-wide, Math.min(wide, x)), Math.max(-high, Math.min(high, y))];
    sheet.style.transform = scale === 1 ? "" : `translate(${x}px, ${y}px) scale(${scale})`;
    sheet.style.setProperty("--unzoomed", String(1 / scale));
    stage.classList.toggle("is-enlarged", scale > 1);
  };
  /** Enlarge by `factor`, and keep the point of the window at `at` where it is. */
  const by = (factor, at) => {
    const bounds = stage.getBoundingClientRect();
    const [px, py] = at ? [at[0] - bounds.left - bounds.width / 2, at[1] - bounds.top - bounds.height / 2] : [0, 0];
    const wanted = Math.max(1, Math.min(MOST, scale * factor));
    [x, y] = [px - ((px - x) * wanted) / scale, py - ((py - y) * wanted) / scale];
    scale = wanted;
    show();
  };
  const span = () => {
    const [a, b] = [...fingers.values()];
    return [Math.hypot(a[0] - b[0], a[1] - b[1]), [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2]];
  };

  listen(
    stage,
    "wheel",
    (event) => {
      event.preventDefault();
      by(Math.exp(-event.deltaY / 400), [event.clientX, event.clientY]);
    },
    { passive: false },
  );
  listen(stage, "dblclick", (event) => by(scale > 1 ? 0 : 2.5, [event.clientX, event.clientY]));
  listen(stage, "pointerdown", (event) => {
    if (event.target.closest("button, a")) return;
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    if (scale > 1 || fingers.size > 1) stage.setPointerCapture(event.pointerId);
  });
  listen(stage, "pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const here = [event.clientX, event.clientY];
    if (fingers.size === 2) {
      const [was] = span();
      fingers.set(event.pointerId, here);
      const [is, middle] = span();
      by(is / Math.max(1, was), middle);
    } else {
      fingers.set(event.pointerId, here);
      if (scale === 1) return;
      [x, y] = [x + here[0] - before[0], y + here[1] - before[1]];
      show();
    }
  });
  for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
    listen(stage, name, (event) => fingers.delete(event.pointerId));
  }
  listen(window, "keydown", (event) => {
    if (event.target.closest("input, textarea, select") || event.ctrlKey || event.metaKey) return;
    if (event.key === "+" || event.key === "=") by(STEP);
    else if (event.key === "-") by(1 / STEP);
    else if (event.key === "0") by(0);
  });
  show();
  return () => abort.abort();
}
