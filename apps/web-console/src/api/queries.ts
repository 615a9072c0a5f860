import { keepPreviousData, useInfiniteQuery, useQuery, type UseInfiniteQueryResult, type UseQueryResult, type InfiniteData } from "@tanstack/react-query";

import { useLiveState } from "../lib/live";
import { ended } from "../lib/status";
import { executionPath, getJson, getText } from "./client";
import type { Artifact, Chain, Database, Detail, Diff, Execution, ExecutionPage, Lineage, Readiness, RecordedEvent, Statistics, Token, Workspace } from "./types";

export const PAGE = 50;

/** How often to ask while the stream of events is away; with it, answers are asked for when something happened. */
function useInterval(milliseconds: number): number | false {
  return useLiveState().state === "live" ? false : milliseconds;
}

export function useExecutions(query: URLSearchParams): UseInfiniteQueryResult<InfiniteData<ExecutionPage>> {
  const text = query.toString();
  return useInfiniteQuery({
    // Pages that are shown stay as they are: rows do not jump under the reader's hand.
    queryKey: ["pages", text],
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) => {
      const params = rowsOf(new URLSearchParams(text));
      params.set("limit", String(PAGE));
      if (pageParam) params.set("cursor", pageParam);
      return getJson<ExecutionPage>(`/executions?${params.toString()}`, signal);
    },
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    staleTime: Infinity,
    refetchOnMount: "always",
  });
}

/** With what the rows of the list show beside the record. */
function rowsOf(params: URLSearchParams): URLSearchParams {
  for (const each of ["steps", "lines", "attempts"]) params.append("include", each);
  return params;
}

/** The newest page, asked for again and again: what is new, and how the rows that are shown went on. */
export function useNewest(query: URLSearchParams, limit = PAGE, rows = false): UseQueryResult<ExecutionPage> {
  const params = new URLSearchParams(query);
  if (rows) rowsOf(params);
  params.set("limit", String(limit));
  const text = params.toString();
  const refetchInterval = useInterval(4_000);
  return useQuery({
    queryKey: ["executions", text],
    queryFn: ({ signal }) => getJson<ExecutionPage>(`/executions?${text}`, signal),
    refetchInterval,
  });
}

export function useDetail(id: string): UseQueryResult<Detail> {
  const interval = useInterval(2_000);
  return useQuery({
    queryKey: ["execution", id],
    queryFn: ({ signal }) => getJson<Detail>(executionPath(id), signal),
    refetchInterval: (query) => (query.state.data && ended(query.state.data.execution) ? false : interval),
  });
}

/**
 * The surroundings of one execution: two generations, and where these are few, twenty. A node of a huge family so
 * costs the server no walk through all of it.
 */
async function surroundings(id: string, limit: number, signal: AbortSignal): Promise<Lineage> {
  const ask = (depth: number): Promise<Lineage> => getJson<Lineage>(executionPath(id, `/lineage?depth=${depth}&limit=${limit}`), signal);
  const near = await ask(2);
  const { ancestors, descendants } = near.truncated;
  return (ancestors || descendants) && near.descendants.length < limit ? ask(20) : near;
}

export function useLineage(id: string, limit: number): UseQueryResult<Lineage> {
  return useQuery({
    queryKey: ["lineage", id, limit],
    queryFn: ({ signal }) => surroundings(id, limit, signal),
  });
}

export interface Count {
  readonly count: number;
  /** There may be more than `count`. */
  readonly atLeast: boolean;
}

/** How many children an execution has, by the server's count. */
export function useChildCount(id: string, asked: boolean): UseQueryResult<Count> {
  return useQuery({
    queryKey: ["children", id],
    enabled: asked,
    staleTime: 60_000,
    queryFn: async ({ signal }) => {
      const page = await getJson<ExecutionPage>(`/executions?${new URLSearchParams({ parent_execution_id: id, limit: "1" }).toString()}`, signal);
      return { count: page.total ?? page.total_at_least ?? 0, atLeast: page.total === null };
    },
  });
}

export function useEvents(id: string): UseQueryResult<{ events: RecordedEvent[] }> {
  return useQuery({
    queryKey: ["events", id],
    queryFn: ({ signal }) => getJson<{ events: RecordedEvent[] }>(executionPath(id, "/events?tail=1000"), signal),
  });
}

// A log grows without an event: it is asked for again so often while its execution runs.
const GROWS = 1_000;

export function useArtifacts(id: string, grows = false): UseQueryResult<{ artifacts: Artifact[] }> {
  return useQuery({
    queryKey: ["artifacts", id],
    queryFn: ({ signal }) => getJson<{ artifacts: Artifact[] }>(executionPath(id, "/artifacts"), signal),
    refetchInterval: grows ? GROWS : false,
  });
}

/** The names of artifacts have folders; each part is escaped on its own. */
export function artifactPath(id: string, name: string): string {
  return executionPath(id, `/artifacts/${name.split("/").map(encodeURIComponent).join("/")}`);
}

export function useArtifact(id: string, name: string | null, tail?: number, grows = false): UseQueryResult<string> {
  return useQuery({
    refetchInterval: grows ? GROWS : false,
    queryKey: ["artifact", id, name, tail],
    enabled: name !== null,
    queryFn: ({ signal }) => getText(artifactPath(id, name ?? "") + (tail ? `?tail=${tail}` : ""), signal),
  });
}

export function useDiff(id: string): UseQueryResult<Diff> {
  return useQuery({
    queryKey: ["diff", id],
    queryFn: ({ signal }) => getJson<Diff>(executionPath(id, "/diff"), signal),
    staleTime: Infinity,
  });
}

export function useChain(correlation: string): UseInfiniteQueryResult<InfiniteData<Chain>> {
  return useInfiniteQuery({
    queryKey: ["chain", correlation],
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) =>
      getJson<Chain>(
        `/executions/correlation/${encodeURIComponent(correlation)}?limit=500${pageParam ? `&cursor=${encodeURIComponent(pageParam)}` : ""}`,
        signal,
      ),
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });
}

export function useStatistics(query: URLSearchParams): UseQueryResult<Statistics> {
  const text = query.toString();
  return useQuery({
    queryKey: ["statistics", text],
    queryFn: ({ signal }) => getJson<Statistics>(`/executions/statistics?${text}`, signal),
    placeholderData: keepPreviousData,
  });
}

export function useWorkspaces(): UseQueryResult<{ workspaces: Workspace[] }> {
  return useQuery({
    queryKey: ["workspaces"],
    queryFn: ({ signal }) => getJson<{ workspaces: Workspace[] }>("/workspaces", signal),
    staleTime: 60_000,
  });
}

export function useHealth(): UseQueryResult<{ version: string }> {
  return useQuery({ queryKey: ["healthz"], queryFn: ({ signal }) => getJson<{ version: string }>("/healthz", signal), refetchInterval: 10_000 });
}

/** A server that is not ready says so with 503; its answer is what the page is about. */
export function useReadiness(): UseQueryResult<Readiness> {
  return useQuery({
    queryKey: ["readyz"],
    queryFn: async ({ signal }) => (await fetch("/readyz", { signal, headers: { accept: "application/json" } })).json() as Promise<Readiness>,
    refetchInterval: 10_000,
  });
}

export function useDatabase(): UseQueryResult<Database> {
  return useQuery({ queryKey: ["database"], queryFn: ({ signal }) => getJson<Database>("/database", signal), refetchInterval: 60_000 });
}

export function useTokens(): UseQueryResult<{ tokens: Token[] }> {
  return useQuery({ queryKey: ["tokens"], queryFn: ({ signal }) => getJson<{ tokens: Token[] }>("/tokens", signal) });
}

/** How many wait for a person: the badge in the navigation and in the title of the tab. */
export function useWaiting(): number {
  const page = useNewest(new URLSearchParams({ awaiting: "true" }), 100);
  return page.data?.total ?? page.data?.executions.length ?? 0;
}

export type { Execution };
