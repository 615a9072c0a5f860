import { useEffect, useState, type ComponentType, type JSX } from "react";

import { Loading } from "./kit";

/**
 * A component whose code is fetched when it is first shown, with `Loading` in its place meanwhile. What cannot be
 * fetched breaks the page, as any error in drawing does.
 *
 * React's own `lazy` would do, but once it has shown a fallback it holds back for 300 ms what comes after it.
 */
export function later<P extends object>(load: () => Promise<ComponentType<P>>): ComponentType<P> {
  let loaded: ComponentType<P> | null = null;
  return function Later(props: P): JSX.Element {
    const [found, setFound] = useState<{ component: ComponentType<P> } | { error: unknown } | null>(loaded && { component: loaded });
    useEffect(() => {
      if (found) return;
      let wanted = true;
      load().then(
        (component) => {
          loaded = component;
          if (wanted) setFound({ component });
        },
        (error: unknown) => {
          if (wanted) setFound({ error });
        },
      );
      return () => {
        wanted = false;
      };
    }, [found]);
    if (found === null) return <Loading />;
    if ("error" in found) throw found.error;
    return <found.component {...props} />;
  };
}
