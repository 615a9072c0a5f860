import { useQueries } from "@tanstack/react-query";
import { useMemo, type JSX, type ReactNode } from "react";
import { Link, useSearchParams } from "react-router";

import { getJson } from "../api/client";
import { useStatistics, useWorkspaces } from "../api/queries";
import type { Statistics } from "../api/types";
import { buckets, isRange, RANGES, type Range } from "../lib/buckets";
import { RISK_TONES, statusOf, VERDICT_TONES, words, type Tone } from "../lib/status";
import { plain } from "../lib/text";
import { duration, plural } from "../lib/time";
import { servedFirst, workspaceName } from "../lib/workspaces";
import { Awaited, Card, Empty, Text } from "../ui/kit";
import { useTitle } from "../ui/frame";

type Params = Readonly<Record<string, string | readonly string[]>>;

function search(params: Params): string {
  const result = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) for (const each of typeof value === "string" ? [value] : value) result.append(name, each);
  return result.toString();
}

function listOf(params: Params): string {
  return `/executions?${search({ view: "all", ...params })}`;
}

function percent(share: number | null): string {
  return share === null ? "–" : `${(share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
}

export function StatisticsPage(): JSX.Element {
  const [params, setParams] = useSearchParams();
  const given = params.get("range");
  const range: Range = isRange(given) ? given : "week";
  const workspace = params.get("workspace");
  const workspaces = servedFirst(useWorkspaces().data?.workspaces ?? []);
  useTitle("Statistics");
  // The range begins where its first bucket does, so that the sums agree.
  const minute = Math.floor(Date.now() / 60_000);
  const parts = useMemo(() => buckets(range, minute * 60_000), [range, minute]);
  const base: Params = { since: parts[0]?.since ?? "", ...(workspace ? { workspace } : {}) };
  const answer = useStatistics(new URLSearchParams(search(base)));
  const change = (name: string, value: string): void =>
    setParams((known) => {
      const next = new URLSearchParams(known);
      if (value) next.set(name, value);
      else next.delete(name);
      return next;
    });
  return (
    <div className="page">
      <div className="page-head">
        <h1 className="grow">Statistics</h1>
        {workspaces.length > 1 && (
          <label>
            <span className="visually-hidden">Workspace</span>
            <select className="input choice" value={workspace ?? ""} onChange={(event) => change("workspace", event.target.value)}>
              <option value="">All workspaces</option>
              {workspaces.map((each) => (
                <option key={each.workspace_id} value={each.workspace_id}>
                  {workspaceName(each)}
                </option>
              ))}
            </select>
          </label>
        )}
        <div className="segments" role="group" aria-label="Range">
          {(Object.keys(RANGES) as Range[]).map((each) => (
            <button key={each} type="button" aria-pressed={each === range} onClick={() => change("range", each === "week" ? "" : each)}>
              {RANGES[each].name}
            </button>
          ))}
        </div>
      </div>
      <Awaited answer={answer} rows={6}>
        {(statistics) =>
          statistics.total === 0 ? (
            <div className="card">
              <Empty icon="chart" title={`No executions in the last ${RANGES[range].name}`}>
                <p>Choose a longer range, or apply a change:</p>
                <code>executor run --patch fix.diff --verify "pytest -q"</code>
              </Empty>
            </div>
          ) : (
            <Shown statistics={statistics} base={base} range={range} parts={parts} />
          )
        }
      </Awaited>
    </div>
  );
}

function Shown({ statistics, base, range, parts }: { statistics: Statistics; base: Params; range: Range; parts: ReturnType<typeof buckets> }): JSX.Element {
  const tile = (value: string, name: string, to: Params): JSX.Element => (
    <Link className="card tile" to={listOf({ ...base, ...to })}>
      <b>{value}</b>
      <span>{name}</span>
    </Link>
  );
  return (
    <>
      <div className="tiles">
        {tile(statistics.total.toLocaleString("en"), "executions", {})}
        {tile(percent(statistics.success_rate), "succeeded", { status: "completed" })}
        {tile(percent(statistics.rollback_rate), "rolled back", { status: "rolled_back" })}
        {tile(duration(statistics.median_duration_seconds), "median duration", {})}
        {tile(duration(statistics.p95_duration_seconds), "95 % took less", {})}
      </div>
      <OverTime base={base} range={range} parts={parts} />
      <div className="columns">
        <Measures title="Outcome" counts={statistics.by_status} total={statistics.total} to={(status) => listOf({ ...base, status })} name={(status) => statusOf({ status, verdict: "" }).word} tone={(status) => statusOf({ status, verdict: "" }).tone} />
        <Measures title="Verdict of the gate" counts={statistics.by_verdict} total={statistics.total} to={(verdict) => listOf({ ...base, verdict })} tone={(verdict) => VERDICT_TONES[verdict] ?? "grey"} />
        <Measures title="Risk" counts={statistics.by_risk_level} total={statistics.total} to={(risk_level) => listOf({ ...base, risk_level })} tone={(risk) => RISK_TONES[risk] ?? "grey"} />
        <Measures title="Failing steps" counts={statistics.failing_steps} total={Object.values(statistics.failing_steps).reduce((a, b) => a + b, 0)} to={(error_step) => listOf({ ...base, error_step, status: ["failed", "rolled_back"] })} tone={() => "red"} none="Nothing failed in this range." />
      </div>
      <Durations base={base} kinds={Object.keys(statistics.by_trigger_kind)} />
    </>
  );
}

function Measures({ title, counts, total, to, tone, name = words, none = "Nothing to show in this range." }: { title: string; counts: Readonly<Record<string, number>>; total: number; to: (key: string) => string; tone: (key: string) => Tone; name?: (key: string) => string; none?: string }): JSX.Element {
  const sorted = Object.entries(counts).filter(([, count]) => count > 0).sort(([, a], [, b]) => b - a);
  return (
    <Card title={title}>
      <div className="stack tight" style={{ padding: "10px 0" }}>
        {sorted.length === 0 && <p className="dim" style={{ padding: "4px 14px" }}>{none}</p>}
        {sorted.map(([key, count]) => (
          <Link key={key} className="measure" to={to(key)}>
            <span className="cut">
              <Text>{name(key)}</Text>
            </span>
            <span className="track">
              <span className="bar" data-tone={tone(key)} style={{ left: 0, width: `${total > 0 ? (count / total) * 100 : 0}%` }} />
            </span>
            <span className="num">{count.toLocaleString("en")}</span>
          </Link>
        ))}
      </div>
    </Card>
  );
}

const OUTCOMES: readonly (readonly [string, Tone])[] = [["completed", "green"], ["rolled_back", "amber"], ["failed", "red"], ["cancelled", "grey"]];

function OverTime({ base, range, parts }: { base: Params; range: Range; parts: ReturnType<typeof buckets> }): JSX.Element {
  const answers = useQueries({
    queries: parts.map((part) => {
      const text = search({ ...base, since: part.since, until: part.until });
      return {
        queryKey: ["statistics", text],
        queryFn: ({ signal }: { signal: AbortSignal }) => getJson<Statistics>(`/executions/statistics?${text}`, signal),
      };
    }),
  });
  const highest = Math.max(1, ...answers.map((answer) => answer.data?.total ?? 0));
  return (
    <Card
      title="Over time"
      side={
        <span className="legend">
          {OUTCOMES.map(([status, tone]) => (
            <span key={status}>
              <i className="part" data-tone={tone} />
              {words(status)}
            </span>
          ))}
        </span>
      }
    >
      <div className="chart" role="group" aria-busy={answers.some((answer) => answer.isPending)} aria-label={`Executions in the last ${RANGES[range].name}`}>
        {parts.map((part, index) => {
          const found = answers[index]?.data;
          const words_ = found
            ? `${part.label}: ${plural(found.total, "execution")}, ${percent(found.success_rate)} succeeded, ${percent(found.rollback_rate)} rolled back`
            : `${part.label}: loading`;
          return (
            <Link key={part.since} to={listOf({ ...base, since: part.since, until: part.until })} title={words_} aria-label={words_}>
              {found && found.total > 0 && parts.length <= 14 && <span className="label count-above" data-count={found.total.toLocaleString("en")} />}
              {found &&
                [...OUTCOMES].reverse().map(([status, tone]) => {
                  const count = found.by_status[status] ?? 0;
                  return count > 0 && <span key={status} className="part" data-tone={tone} style={{ height: `${(count / highest) * 72}%` }} />;
                })}
              <span className="label" aria-hidden="true">{index % 2 === 1 || parts.length <= 12 ? part.label : ""}</span>
            </Link>
          );
        })}
      </div>
    </Card>
  );
}

interface Group {
  readonly name: ReactNode;
  readonly key: string;
  readonly params: Params;
}

function Durations({ base, kinds }: { base: Params; kinds: readonly string[] }): JSX.Element {
  const workspaces = servedFirst(useWorkspaces().data?.workspaces ?? []);
  const byKind = kinds.map((trigger_kind) => ({ name: words(trigger_kind), key: trigger_kind, params: { ...base, trigger_kind } }));
  const byWorkspace = workspaces.map((each) => ({
    name: <span title={plain(each.path ?? each.workspace_id)}>{workspaceName(each)}</span>,
    key: each.workspace_id,
    params: { ...base, workspace: each.workspace_id },
  }));
  return (
    <>
      <Table title="By trigger" first="Trigger" groups={byKind} />
      {base["workspace"] === undefined && workspaces.length > 1 && <Table title="By workspace" first="Workspace" groups={byWorkspace} />}
    </>
  );
}

function Table({ title, first, groups }: { title: string; first: string; groups: readonly Group[] }): JSX.Element {
  const answers = useQueries({
    queries: groups.map((group) => {
      const text = search(group.params);
      return {
        queryKey: ["statistics", text],
        queryFn: ({ signal }: { signal: AbortSignal }) => getJson<Statistics>(`/executions/statistics?${text}`, signal),
      };
    }),
  });
  return (
    <Card title={title}>
      <table className="table measured" aria-busy={answers.some((answer) => answer.isPending)}>
        <thead>
          <tr>
            <th>{first}</th>
            <th className="right">Count</th>
            <th className="right">Succeeded</th>
            <th className="right">Median</th>
            <th className="right">95 %</th>
          </tr>
        </thead>
        <tbody>
          {groups.map((group, index) => {
            const found = answers[index]?.data;
            return (
              <tr key={group.key} className="hover">
                <td>
                  <Link className="link" to={listOf(group.params)}>
                    {group.name}
                  </Link>
                </td>
                <td className="right num">{found?.total.toLocaleString("en") ?? "…"}</td>
                <td className="right num">{found ? percent(found.success_rate) : "…"}</td>
                <td className="right num">{found ? duration(found.median_duration_seconds) : "…"}</td>
                <td className="right num">{found ? duration(found.p95_duration_seconds) : "…"}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </Card>
  );
}
