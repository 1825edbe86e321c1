// What every module of the gallery draws with: components, hooks, and `html` templates. The one place that knows the
// library behind them.

import { h } from "./vendor/preact.js";
import htm from "./vendor/htm.js";

export { Fragment, createPortal, h, render } from "./vendor/preact.js";
export {
  useCallback, useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo, useRef, useState,
} from "./vendor/hooks.js";

export const html = htm.bind(h);
