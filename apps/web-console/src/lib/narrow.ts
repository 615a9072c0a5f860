import { useSyncExternalStore } from "react";

// As wide as the style sheets call narrow.
const NARROW = window.matchMedia("(max-width: 820px)");

function subscribe(listener: () => void): () => void {
  NARROW.addEventListener("change", listener);
  return () => NARROW.removeEventListener("change", listener);
}

/** Whether the window is a phone's. */
export function useNarrow(): boolean {
  return useSyncExternalStore(subscribe, () => NARROW.matches);
}
