/**
 * News by one stream of events per browser. The tab that holds a lock reads the stream and tells the others;
 * when it goes, another gets the lock and reads on where the first one was.
 */

import { useSyncExternalStore } from "react";

export type State = "off" | "connecting" | "live" | "reconnecting" | "offline";

export interface LiveState {
  readonly state: State;
  /** When the stream was last seen, while it is away. */
  readonly since: number | null;
}

export interface News {
  readonly event: string;
  readonly execution_id: string;
  readonly correlation_id: string;
}

type Message = { readonly kind: "state"; readonly state: LiveState } | { readonly kind: "news"; readonly news: News } | { readonly kind: "hello" };

const GIVE_UP = 15_000;
const RETRY = 3_000;

let current: LiveState = { state: "off", since: null };
const stateListeners = new Set<() => void>();
const newsListeners = new Set<(news: News) => void>();

function changeState(next: LiveState): void {
  if (next.state === current.state && next.since === current.since) return;
  current = next;
  stateListeners.forEach((listener) => listener());
}

export function useLiveState(): LiveState {
  return useSyncExternalStore(
    (listener) => {
      stateListeners.add(listener);
      return () => stateListeners.delete(listener);
    },
    () => current,
  );
}

export function onNews(listener: (news: News) => void): () => void {
  newsListeners.add(listener);
  return () => newsListeners.delete(listener);
}

function parse(text: string): News | null {
  try {
    const value = JSON.parse(text) as Partial<News>;
    if (typeof value.event !== "string" || typeof value.execution_id !== "string") return null;
    return { event: value.event, execution_id: value.execution_id, correlation_id: value.correlation_id ?? value.execution_id };
  } catch {
    return null;
  }
}

/** The types of events; the stream names each by its own. */
const TYPES = [
  "execution_start", "gate_decided", "approval_requested", "approved", "denied", "step_start", "step_end", "file_changed",
  "command_output", "test_failed", "health_check_failed", "rollback_start", "rollback_end", "recovered", "drift",
  "health_warning", "dismissed", "undismissed", "payload_dropped", "execution_end",
];

/** Starts listening, once per page. Returns what ends it. */
export function listen(address: string): () => void {
  changeState({ state: "connecting", since: null });
  const channel = new BroadcastChannel("executor-live");
  const ending = new AbortController();
  let leading = false;
  const tell = (message: Message): void => {
    if (message.kind === "state") changeState(message.state);
    if (message.kind === "news") newsListeners.forEach((listener) => listener(message.news));
    channel.postMessage(message);
  };
  channel.onmessage = ({ data }: MessageEvent<Message>) => {
    if (data.kind === "hello") {
      if (leading) channel.postMessage({ kind: "state", state: current } satisfies Message);
    } else if (data.kind === "state") changeState(data.state);
    else newsListeners.forEach((listener) => listener(data.news));
  };
  channel.postMessage({ kind: "hello" } satisfies Message);

  const lead = (): Promise<void> =>
    new Promise((done) => {
      leading = true;
      let source: EventSource | null = null;
      let retry: ReturnType<typeof setTimeout> | undefined;
      let givenUp: ReturnType<typeof setTimeout> | undefined;
      let last = "";
      const lost = (): void => {
        const since = current.since ?? Date.now();
        if (current.state !== "offline") tell({ kind: "state", state: { state: "reconnecting", since } });
        givenUp ??= setTimeout(() => tell({ kind: "state", state: { state: "offline", since } }), GIVE_UP);
      };
      const open = (): void => {
        source = new EventSource(last ? `${address}?after=${encodeURIComponent(last)}` : address);
        source.onopen = () => {
          clearTimeout(givenUp);
          givenUp = undefined;
          tell({ kind: "state", state: { state: "live", since: null } });
        };
        source.onerror = () => {
          lost();
          // The browser itself comes back after a cut; after a refusal it does not.
          if (source?.readyState === EventSource.CLOSED) retry = setTimeout(open, RETRY);
        };
        const heard = (message: MessageEvent<string>): void => {
          if (message.lastEventId) last = message.lastEventId;
          const news = parse(message.data);
          if (news) tell({ kind: "news", news });
        };
        source.onmessage = heard;
        for (const type of TYPES) source.addEventListener(type, heard);
      };
      open();
      ending.signal.addEventListener("abort", () => {
        leading = false;
        clearTimeout(retry);
        clearTimeout(givenUp);
        source?.close();
        done();
      });
    });

  navigator.locks.request("executor-live", { signal: ending.signal }, lead).catch((cause: unknown) => {
    // The page went away before it got the lock.
    if (!(cause instanceof DOMException && cause.name === "AbortError")) throw cause;
  });
  return () => {
    ending.abort();
    channel.close();
  };
}
