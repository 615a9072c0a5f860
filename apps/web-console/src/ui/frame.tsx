/** What stands around every page: navigation, state of the stream, theme, keys. */

import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState, type JSX } from "react";
import { isRouteErrorResponse, Link, NavLink, Outlet, useLocation, useNavigate, useRouteError } from "react-router";

import { useWaiting } from "../api/queries";
import { useKeys } from "../lib/keys";
import { onNews, useLiveState } from "../lib/live";
import { choose, THEMES, useTheme } from "../lib/theme";
import { useNow } from "../lib/now";
import { duration } from "../lib/time";
import { Icon, Logo, type IconName } from "./icon";
import { Dialog, Empty } from "./kit";

const PAGES: readonly { readonly to: string; readonly name: string; readonly icon: IconName; readonly keys: string }[] = [
  { to: "/executions", name: "Executions", icon: "list", keys: "g e" },
  { to: "/approvals", name: "Approvals", icon: "inbox", keys: "g a" },
  { to: "/statistics", name: "Statistics", icon: "chart", keys: "g s" },
  { to: "/health", name: "Health", icon: "pulse", keys: "g h" },
];

const KEYS: readonly (readonly [string, string])[] = [
  ["?", "these keys"],
  ["/", "search"],
  ["j  k", "next and previous row"],
  ["Enter", "open the row"],
  ["[  ]", "previous and next tab of an execution"],
  ["g e", "executions"],
  ["g c", "executions grouped by chain; on an execution: its chain"],
  ["g a", "approvals"],
  ["g s", "statistics"],
  ["g h", "health"],
];

/** Lists and what is open follow at once; what costs the server more, a little later. */
const SOON = 250;
const LATER = 3_000;

/** What happened elsewhere makes the answers about it out of date. */
function useNews(): void {
  const client = useQueryClient();
  const { state } = useLiveState();
  useEffect(() => {
    const ids = { soon: new Set<string>(), later: new Set<string>() };
    const timers: Record<keyof typeof ids, ReturnType<typeof setTimeout> | undefined> = { soon: undefined, later: undefined };
    // Many events in a row are one question.
    const ask = (when: keyof typeof ids, delay: number, about: (key: string, of: unknown, ids: ReadonlySet<string>) => boolean): void => {
      timers[when] ??= setTimeout(() => {
        timers[when] = undefined;
        const changed = ids[when];
        ids[when] = new Set();
        void client.invalidateQueries({ predicate: (query) => about(String(query.queryKey[0]), query.queryKey[1], changed) });
      }, delay);
    };
    const stop = onNews((news) => {
      for (const each of [ids.soon, ids.later]) each.add(news.execution_id).add(news.correlation_id);
      ask("soon", SOON, (key, of, changed) => key === "executions" || (!["pages", "chain", "diff"].includes(key) && typeof of === "string" && changed.has(of)));
      ask("later", LATER, (key, of, changed) => key === "statistics" || key === "lineage" || (key === "chain" && typeof of === "string" && changed.has(of)));
    });
    return () => {
      stop();
      clearTimeout(timers.soon);
      clearTimeout(timers.later);
    };
  }, [client]);
  useEffect(() => {
    // Something may have happened between the first answers and the beginning of the stream.
    if (state === "live") void client.invalidateQueries({ predicate: (query) => ["executions", "execution", "events"].includes(String(query.queryKey[0])) });
  }, [client, state]);
}

export function useTitle(title: string): void {
  const waiting = useWaiting();
  useEffect(() => {
    document.title = `${waiting > 0 ? `(${waiting}) ` : ""}${title} · Executor`;
  }, [title, waiting]);
}

function Live(): JSX.Element | null {
  const { state, since } = useLiveState();
  const now = useNow();
  if (state === "off") return null;
  const words = {
    connecting: "connecting",
    live: "live",
    reconnecting: "reconnecting",
    offline: `offline since ${since === null ? "" : new Date(since).toLocaleTimeString()}`,
  }[state];
  const title = since === null ? words : `${words}: no news for ${duration((now - since) / 1000)}`;
  return (
    <div className="live" data-state={state} role="status" title={title}>
      <span className="dot" />
      <span className="cut">{words}</span>
    </div>
  );
}

function ThemeSwitch(): JSX.Element {
  const theme = useTheme();
  const icons: Record<string, IconName> = { light: "sun", dark: "moon", system: "screen" };
  return (
    <div className="segments" role="radiogroup" aria-label="Colours">
      {THEMES.map((each) => (
        <button key={each} type="button" role="radio" aria-checked={theme === each} aria-label={each} title={each} onClick={() => choose(each)}>
          <Icon name={icons[each] ?? "screen"} size={14} />
        </button>
      ))}
    </div>
  );
}

export function Frame(): JSX.Element {
  const navigate = useNavigate();
  const { pathname } = useLocation();
  const waiting = useWaiting();
  const [helping, setHelping] = useState(false);
  useNews();
  useKeys({
    "?": () => setHelping(true),
    "/": () => document.querySelector<HTMLInputElement>("input[type=search]")?.focus(),
    ...Object.fromEntries(PAGES.map((page) => [page.keys, () => void navigate(page.to)])),
    "g c": () => {
      const chain = document.querySelector<HTMLAnchorElement>("a[data-chain]")?.dataset["chain"];
      void navigate(chain ?? "/executions?view=all&group=chain");
    },
  });
  const shown = useRef(pathname);
  useEffect(() => {
    if (shown.current === pathname) return;
    shown.current = pathname;
    window.scrollTo(0, 0);
    // The keyboard goes on in the new page, not at the beginning of the frame.
    document.getElementById("main")?.focus({ preventScroll: true });
  }, [pathname]);
  return (
    <div className="frame">
      <a className="skip" href="#main">
        Skip to the content
      </a>
      <header className="side">
        <Link to="/executions" className="brand" aria-label="Executor">
          <Logo />
          <span>Executor</span>
        </Link>
        <nav className="nav" aria-label="Pages">
          {PAGES.map((page) => (
            <NavLink key={page.to} to={page.to} title={`${page.name} (${page.keys})`}>
              <Icon name={page.icon} />
              <span className="name">{page.name}</span>
              {page.to === "/approvals" && waiting > 0 && <span className="count">
                  {waiting > 99 ? "99+" : waiting}
                  <span className="visually-hidden"> waiting</span>
                </span>}
            </NavLink>
          ))}
        </nav>
        <div className="side-end">
          <Live />
          <div className="row between">
            <ThemeSwitch />
            <button type="button" className="button small plain square wide" aria-label="Keys" title="Keys (?)" onClick={() => setHelping(true)}>
              <Icon name="keyboard" />
            </button>
          </div>
        </div>
      </header>
      <main id="main" className="main" tabIndex={-1}>
        <Outlet />
      </main>
      <Dialog title="Keys" open={helping} close={() => setHelping(false)}>
        <table className="table keys">
          <tbody>
            {KEYS.map(([keys, meaning]) => (
              <tr key={keys}>
                <td>
                  <span className="row">
                    {keys.split("  ").map((key) => (
                      <kbd key={key}>{key}</kbd>
                    ))}
                  </span>
                </td>
                <td>{meaning}</td>
              </tr>
            ))}
          </tbody>
        </table>
        <form method="dialog" className="dialog-end">
          <button className="button">Close</button>
        </form>
      </Dialog>
    </div>
  );
}

/** A page that is not there, or that broke. */
export function Failed(): JSX.Element {
  const error = useRouteError();
  const broke = error !== undefined && error !== null && !(isRouteErrorResponse(error) && error.status === 404);
  return (
    <div className="page">
      <div className="card">
        <h1 className="visually-hidden">Executor</h1>
        <Empty icon={broke ? "warning" : "search"} title={broke ? "This page broke" : "There is no such page"}>
          {broke && <p>{error instanceof Error ? error.message : "Something unexpected happened."}</p>}
          <div className="row">
            {broke && (
              <button type="button" className="button" onClick={() => location.reload()}>
                <Icon name="retry" size={14} /> Load again
              </button>
            )}
            <a className="button" href="/ui/executions">
              Go to the executions
            </a>
          </div>
        </Empty>
      </div>
    </div>
  );
}
