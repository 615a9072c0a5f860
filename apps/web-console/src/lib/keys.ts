import { useEffect, useRef } from "react";

/** Whether typing there writes text, so that letters are no commands. */
function writes(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName));
}

/** Whether Enter does something there by itself. */
function activates(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest("a[href], button, summary, [role=treeitem]") !== null;
}

export type Bindings = Readonly<Record<string, (event: KeyboardEvent) => void>>;

/** Keys as commands: "j", "/", "?", or two in a row: "g e". They rest while a dialog is open. */
export function useKeys(bindings: Bindings): void {
  const known = useRef(bindings);
  useEffect(() => {
    known.current = bindings;
  });
  useEffect(() => {
    let first = "";
    let timer: ReturnType<typeof setTimeout> | undefined;
    const pressed = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || event.key === "Shift") return;
      if (writes(event.target) || document.querySelector("dialog[open]")) return;
      if (event.key === "Enter" && activates(event.target)) return;
      const both = first ? `${first} ${event.key}` : event.key;
      const action = known.current[both] ?? (first ? undefined : known.current[event.key]);
      clearTimeout(timer);
      first = "";
      if (action) {
        event.preventDefault();
        action(event);
      } else if (Object.keys(known.current).some((keys) => keys.startsWith(`${event.key} `))) {
        first = event.key;
        timer = setTimeout(() => (first = ""), 1_200);
      }
    };
    document.addEventListener("keydown", pressed);
    return () => {
      document.removeEventListener("keydown", pressed);
      clearTimeout(timer);
    };
  }, []);
}
