// What a film and a recording have in common: a media element that begins where it is asked to, and says where it is.

import { useCallback, useEffect, useRef, useState } from "../ui.js";

/** `[ref, seconds, seek, problem]`: the second that is played, what jumps to another, and why nothing can be played.
 *
 * A jump does not begin to play by itself: nobody wants a film to shout because a link was opened.
 */
export function usePlayer(begin) {
  const [element, setElement] = useState(null);
  const [seconds, setSeconds] = useState(begin ?? 0);
  const [problem, setProblem] = useState("");
  const wanted = useRef(begin); // a jump before it knows its length is not taken back when it does
  useEffect(() => {
    wanted.current = begin;
    if (!element) return undefined;
    const abort = new AbortController();
    const listen = (name, act) => element.addEventListener(name, act, { signal: abort.signal });
    const tell = () => setSeconds(element.currentTime);
    listen("timeupdate", tell);
    listen("seeking", tell);
    listen("error", () => setProblem(reason(element.error)), true);
    listen("loadedmetadata", () => moveTo(element, wanted.current));
    if (element.readyState > 0) moveTo(element, begin);
    return () => abort.abort();
  }, [element, begin]);
  const seek = useCallback(
    (to) => {
      wanted.current = to;
      if (element) moveTo(element, to);
    },
    [element],
  );
  return [setElement, seconds, seek, problem];
}

function moveTo(element, seconds) {
  if (seconds === undefined || seconds === null) return;
  const last = Number.isFinite(element.duration) ? Math.max(0, element.duration - 0.1) : seconds;
  element.currentTime = Math.min(Math.max(0, seconds), last);
}

function reason(error) {
  if (error?.code === MediaError.MEDIA_ERR_NETWORK) return "The original stopped coming.";
  if (error?.code === MediaError.MEDIA_ERR_DECODE) return "Your browser cannot play on from here.";
  return "Your browser cannot play this.";
}

/** Whether the browser says that it certainly cannot. Of Matroska and QuickTime it knows less than it can. */
export function isHopeless(mime) {
  const probe = document.createElement(mime.startsWith("audio/") ? "audio" : "video");
  const asked = mime === "video/quicktime" ? "video/mp4" : mime === "video/x-matroska" ? "video/webm" : mime;
  return probe.canPlayType(asked) === "";
}
