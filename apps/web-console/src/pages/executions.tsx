import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState, type JSX } from "react";
import { Link, useNavigate, useSearchParams } from "react-router";

import { PAGE, useExecutions, useNewest, useWorkspaces } from "../api/queries";
import type { ListedExecution, Workspace } from "../api/types";
import { CHOICES, FILTER_FIELDS, listQuery, negated, readState, VIEWS, withFilter, withoutFilter, writeState, type Filter, type FilterField, type ListState, type View } from "../lib/filters";
import { useKeys } from "../lib/keys";
import { awaiting, STEP_TONES, words } from "../lib/status";
import { cause, oneLine, plain } from "../lib/text";
import { duration, ordinal, plural, shortId } from "../lib/time";
import { isScratch, workspaceName } from "../lib/workspaces";
import { Icon } from "../ui/icon";
import { Awaited, Counts, Empty, Id, Menu, Risk, Status, Text, Time, Took, Trouble, Verdict } from "../ui/kit";
import { useTitle } from "../ui/frame";

const VIEW_NAMES: Record<View, string> = { attention: "Needs attention", running: "Running", approval: "Awaiting approval", all: "All" };

const FIELD_NAMES: Record<FilterField, string> = {
  status: "status", verdict: "verdict", risk_level: "risk", trigger_kind: "trigger", actor: "actor", workspace: "workspace",
  path: "path", error_step: "failed step", commit: "commit", run_id: "run", correlation_id: "chain", parent_execution_id: "parent",
};

export function Executions(): JSX.Element {
  const [params, setParams] = useSearchParams();
  const state = useMemo(() => readState(params), [params]);
  const query = useMemo(() => listQuery(state), [state]);
  const change = (next: ListState): void => setParams(writeState(next));
  useTitle(VIEW_NAMES[state.view]);
  const views = useRef<HTMLElement>(null);
  useEffect(() => {
    const bar = views.current;
    if (!bar) return;
    // Again when the counts arrive: the views grow, and the chosen one leaves a narrow window.
    const look = (): void => bar.querySelector("[aria-current=page]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
    const watch = new ResizeObserver(look);
    for (const each of bar.children) watch.observe(each);
    return () => watch.disconnect();
  }, [state.view]);
  return (
    <div className="page">
      <div className="page-head">
        <h1 className="grow">Executions</h1>
        <Search key={state.q} value={state.q} search={(q) => change({ ...state, q })} />
      </div>
      <div className="stack tight">
        <nav className="tabs" aria-label="Saved views" ref={views}>
          {VIEWS.map((view) => (
            <Link
              key={view}
              className="tab"
              aria-current={state.view === view ? "page" : undefined}
              to={{ search: writeState({ ...state, view }).toString() }}
            >
              {VIEW_NAMES[view]}
              <ViewCount state={state} view={view} />
            </Link>
          ))}
        </nav>
        <Filters state={state} change={change} />
      </div>
      <List key={query.toString()} state={state} query={query} clear={() => change({ ...state, q: "", filters: [], since: "", until: "" })} />
    </div>
  );
}

function ViewCount({ state, view }: { state: ListState; view: View }): JSX.Element | null {
  const page = useNewest(useMemo(() => listQuery({ ...state, view }), [state, view]), 1);
  const total = page.data?.total ?? page.data?.total_at_least;
  if (total === undefined || total === null) return null;
  return <span className="num">{total.toLocaleString("en")}{page.data?.total === null ? "+" : ""}</span>;
}

function Search({ value, search }: { value: string; search: (text: string) => void }): JSX.Element {
  const [text, setText] = useState(value);
  return (
    <form
      className="search"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        search(text.trim());
      }}
    >
      <Icon name="search" size={14} />
      <input
        className="input"
        type="search"
        placeholder="Id, title, path or error"
        aria-label="Search id, title, path or error"
        value={text}
        maxLength={1000}
        onChange={(event) => {
          setText(event.target.value);
          if (event.target.value === "" && value) search("");
        }}
        onKeyDown={(event) => {
          if (event.key === "Escape") event.currentTarget.blur();
        }}
      />
      {!text && <kbd aria-hidden="true">/</kbd>}
    </form>
  );
}

function nameOf(workspaces: readonly Workspace[], id: string | null): string | null {
  const known = workspaces.find((each) => each.workspace_id === id);
  return isScratch(known) ? "a scratch copy" : known ? workspaceName(known) : id;
}

/** Where there is only one, rows do not repeat its name. */
function shownName(workspaces: readonly Workspace[], id: string | null): string | null {
  const known = workspaces.find((each) => each.workspace_id === id);
  return isScratch(known) || workspaces.filter((each) => !isScratch(each)).length > 1 ? nameOf(workspaces, id) : null;
}

function Filters({ state, change }: { state: ListState; change: (state: ListState) => void }): JSX.Element {
  const any = state.filters.length > 0 || state.q !== "" || state.since !== "" || state.until !== "";
  const workspaces = useWorkspaces().data?.workspaces ?? [];
  const label = (filter: Filter): string => {
    if (filter.field === "workspace") return nameOf(workspaces, filter.value) ?? filter.value;
    return words(filter.value);
  };
  return (
    <div className="chips">
      {state.filters.map((filter) => (
        <span key={`${filter.field}=${filter.value}`} className="chip" data-negated={filter.negated}>
          <button type="button" title={filter.negated ? "turn into “is”" : "turn into “is not”"} onClick={() => change(negated(state, filter))}>
            {FIELD_NAMES[filter.field]} <i>{filter.negated ? "is not" : "is"}</i> <b dir="auto">{oneLine(label(filter), 60)}</b>
          </button>
          <button type="button" aria-label={`remove ${FIELD_NAMES[filter.field]} ${oneLine(filter.value, 60)}`} onClick={() => change(withoutFilter(state, filter))}>
            <Icon name="close" size={12} />
          </button>
        </span>
      ))}
      {state.since && <When name="since" text={state.since} clear={() => change({ ...state, since: "" })} />}
      {state.until && <When name="until" text={state.until} clear={() => change({ ...state, until: "" })} />}
      <AddFilter state={state} change={change} />
      <button type="button" className="button small plain" aria-pressed={state.grouped} onClick={() => change({ ...state, grouped: !state.grouped })}>
        <Icon name="chain" size={14} /> Group by chain
      </button>
      {any && (
        <button type="button" className="button small plain" onClick={() => change({ ...state, q: "", filters: [], since: "", until: "" })}>
          Clear
        </button>
      )}
    </div>
  );
}

function When({ name, text, clear }: { name: string; text: string; clear: () => void }): JSX.Element {
  return (
    <span className="chip">
      <button type="button" onClick={clear} title={text} aria-label={`remove ${name} ${text}`}>
        {name} <b>{text.slice(0, 16).replace("T", " ")}</b> <Icon name="close" size={12} />
      </button>
    </span>
  );
}

const AGES: readonly (readonly [string, number])[] = [["last hour", 1], ["last 24 hours", 24], ["last 7 days", 168], ["last 30 days", 720]];

function AddFilter({ state, change }: { state: ListState; change: (state: ListState) => void }): JSX.Element {
  const [field, setField] = useState<FilterField | "since" | null>(null);
  const [text, setText] = useState("");
  const workspaces = useWorkspaces().data?.workspaces ?? [];
  const choices: readonly (readonly [string, string])[] =
    field === "workspace"
      ? workspaces.map((workspace) => [workspace.workspace_id, workspace.path ?? workspace.workspace_id])
      : field && field !== "since"
        ? (CHOICES[field] ?? []).map((value) => [value, words(value)])
        : [];
  return (
    <Menu label="Filter" icon="filter" plainButton>
      {(close) => {
        const add = (value: string): void => {
          if (field && field !== "since") change(withFilter(state, { field, value, negated: false }));
          setField(null);
          setText("");
          close();
        };
        if (field === null)
          return (
            <>
              {FILTER_FIELDS.map((each) => (
                <button key={each} type="button" onClick={() => setField(each)}>
                  {FIELD_NAMES[each]}
                </button>
              ))}
              <button type="button" onClick={() => setField("since")}>
                started
              </button>
            </>
          );
        const back = (
          <button type="button" className="dim" onClick={() => setField(null)}>
            ← {field === "since" ? "started" : FIELD_NAMES[field]}
          </button>
        );
        if (field === "since")
          return (
            <>
              {back}
              {AGES.map(([name, hours]) => (
                <button
                  key={name}
                  type="button"
                  onClick={() => {
                    change({ ...state, since: new Date(Date.now() - hours * 3_600_000).toISOString(), until: "" });
                    setField(null);
                    close();
                  }}
                >
                  {name}
                </button>
              ))}
            </>
          );
        if (choices.length > 0)
          return (
            <>
              {back}
              {choices.map(([value, name]) => (
                <button key={value} type="button" onClick={() => add(value)}>
                  {name}
                </button>
              ))}
            </>
          );
        return (
          <form
            className="stack tight"
            onSubmit={(event) => {
              event.preventDefault();
              if (text.trim()) add(text.trim());
            }}
          >
            {back}
            <input className="input" autoFocus aria-label={FIELD_NAMES[field]} placeholder={field === "path" ? "src/** or *.py" : FIELD_NAMES[field]} value={text} maxLength={1000} onChange={(event) => setText(event.target.value)} />
          </form>
        );
      }}
    </Menu>
  );
}

function List({ state, query, clear }: { state: ListState; query: URLSearchParams; clear: () => void }): JSX.Element {
  const pages = useExecutions(query);
  const newest = useNewest(query, PAGE, true);
  const client = useQueryClient();
  const loaded = useMemo(() => pages.data?.pages.flatMap((page) => page.executions) ?? [], [pages.data]);
  const known = useMemo(() => new Set(loaded.map((execution) => execution.execution_id)), [loaded]);
  const latest = useMemo(() => new Map(newest.data?.executions.map((execution) => [execution.execution_id, execution])), [newest.data]);
  // What is shown goes on in its place; what is new waits above until it is asked for.
  const first = loaded[0]?.started_at ?? "";
  const fresh = (newest.data?.executions ?? []).filter((execution) => !known.has(execution.execution_id) && execution.started_at >= first);
  const shown = loaded.map((execution) => latest.get(execution.execution_id) ?? execution);
  const show = (): void => {
    void client.resetQueries({ queryKey: ["pages", query.toString()] });
    window.scrollTo(0, 0);
  };
  return (
    <>
      {pages.data && fresh.length > 0 && (
        <div className="note" role="status">
          <Icon name="plus" size={14} />
          <span className="grow">{fresh.length >= 50 ? "50 or more" : fresh.length} new</span>
          <button type="button" className="button small" onClick={show}>
            Show
          </button>
        </div>
      )}
      <section className="card" aria-label={VIEW_NAMES[state.view]}>
        <Awaited answer={pages} rows={8}>
          {() => (shown.length === 0 ? <Nothing state={state} clear={clear} /> : <Rows executions={shown} grouped={state.grouped} />)}
        </Awaited>
        {pages.isFetchNextPageError && <Trouble error={pages.error} again={() => void pages.fetchNextPage()} />}
        {shown.length > 0 && (
          <div className="more">
            <span className="num">{plural(shown.length, "execution")} shown</span>
            {pages.hasNextPage && (
              <button type="button" className="button small" disabled={pages.isFetchingNextPage} onClick={() => void pages.fetchNextPage()}>
                {pages.isFetchingNextPage ? "Loading…" : "Show more"}
              </button>
            )}
          </div>
        )}
      </section>
    </>
  );
}

function Nothing({ state, clear }: { state: ListState; clear: () => void }): JSX.Element {
  if (state.q || state.filters.length > 0 || state.since || state.until)
    return (
      <Empty icon="search" title="Nothing matches">
        <p>No execution of this view passes all the filters.</p>
        <button type="button" className="button" onClick={clear}>
          Clear the filters
        </button>
      </Empty>
    );
  const all = { search: writeState({ ...state, view: "all" }).toString() };
  switch (state.view) {
    case "attention":
      return (
        <Empty icon="check" title="Nothing needs attention">
          <p>Every failure was made up for or dismissed, and nobody is waited for.</p>
          <Link className="button" to={all}>
            Show all executions
          </Link>
        </Empty>
      );
    case "running":
      return (
        <Empty icon="running" title="Nothing runs now">
          <p>Start something in the workspace:</p>
          <code>executor run --patch fix.diff --verify "pytest -q"</code>
        </Empty>
      );
    case "approval":
      return (
        <Empty icon="inbox" title="Nothing waits for approval">
          <p>A change the policy wants a person to see appears here.</p>
          <Link className="button" to={all}>
            Show all executions
          </Link>
        </Empty>
      );
    case "all":
      return (
        <Empty icon="list" title="No executions yet">
          <p>Apply a first change in the workspace:</p>
          <code>executor run --patch fix.diff --verify "pytest -q"</code>
        </Empty>
      );
  }
}

function Rows({ executions, grouped }: { executions: readonly ListedExecution[]; grouped: boolean }): JSX.Element {
  const navigate = useNavigate();
  const [selected, setSelected] = useState<string | null>(null);
  const box = useRef<HTMLDivElement>(null);
  const workspaces = useWorkspaces().data?.workspaces ?? [];
  const groups = useMemo(() => {
    if (!grouped) return [{ chain: "", members: executions }];
    const chains = new Map<string, ListedExecution[]>();
    for (const execution of executions) chains.set(execution.correlation_id, [...(chains.get(execution.correlation_id) ?? []), execution]);
    return [...chains].map(([chain, members]) => ({ chain, members }));
  }, [executions, grouped]);
  const order = groups.flatMap((group) => group.members);
  const move = (by: number): void => {
    const at = order.findIndex((execution) => execution.execution_id === selected);
    const next = order[Math.max(0, Math.min(order.length - 1, at + by))];
    if (next) setSelected(next.execution_id);
  };
  useKeys({
    j: () => move(1),
    k: () => move(selected === null ? 1 : -1),
    Enter: () => {
      if (selected) void navigate(`/executions/${encodeURIComponent(selected)}`);
    },
  });
  useEffect(() => {
    box.current?.querySelector("[data-selected=true]")?.scrollIntoView({ block: "nearest" });
  }, [selected]);
  return (
    <div ref={box}>
      <div className="item head" aria-hidden="true">
        <span>Status</span>
        <span>Execution</span>
        <span>Caused by</span>
        <span>Verdict, risk</span>
        <span>Changed</span>
        <span>Started</span>
      </div>
      {groups.map((group) => (
        <div key={group.chain}>
          {grouped && (
            <div className="group">
              <Icon name="chain" size={14} />
              <Link className="link cut" dir="auto" to={`/chains/${encodeURIComponent(group.chain)}`} title={plain(group.chain)}>
                {chainName(group.chain, group.members)}
              </Link>
              {group.chain.startsWith("exec_") && <Id id={group.chain} />}
              <span className="num nowrap">{plural(group.members.length, "execution")}</span>
            </div>
          )}
          <ul className="list">
            {group.members.map((execution) => (
              <li key={execution.execution_id}>
                <Row
                  execution={execution}
                  selected={execution.execution_id === selected}
                  workspace={shownName(workspaces, execution.workspace_id)}
                />
              </li>
            ))}
          </ul>
        </div>
      ))}
    </div>
  );
}

/** A chain that somebody named keeps its name; of another one, what it began with says more than its id. */
function chainName(chain: string, members: readonly ListedExecution[]): string {
  const first = members.find((each) => each.execution_id === chain) ?? members.at(-1);
  return (chain.startsWith("exec_") && oneLine(first?.title, 100)) || oneLine(chain, 100);
}

/** How the time went: a part for each step, as long as it took, and what failed in red. */
function MiniSteps({ steps }: { steps: NonNullable<ListedExecution["steps"]> }): JSX.Element | null {
  if (steps.length === 0) return null;
  const whole = steps.reduce((sum, step) => sum + Math.max(0, step.duration_seconds ?? 0), 0);
  const said = steps.map((step) => `${words(step.step_name)} ${words(step.status)} ${duration(step.duration_seconds)}`).join(", ");
  return (
    <span className="mini" role="img" aria-label={`steps: ${said}`} title={said}>
      {steps.map((step, index) => (
        <i key={index} data-tone={STEP_TONES[step.status] ?? "grey"} style={{ flexGrow: whole > 0 ? (Math.max(0, step.duration_seconds ?? 0) / whole) * 100 : 1 }} />
      ))}
    </span>
  );
}

/** What is ordinary stays quiet. */
function RiskWord({ level }: { level: string | null }): JSX.Element | null {
  if (level === "high" || level === "critical") return <Risk level={level} />;
  return level ? <span className="dim">{level} risk</span> : null;
}

/** No link of its own: the whole row is one. */
function Tries({ attempt, first }: { attempt: number; first: string | null | undefined }): JSX.Element {
  return (
    <span className="tries num" title={first ? `attempt ${attempt}; the first one is ${plain(first)}` : undefined}>
      {ordinal(attempt)} try
      {first && (
        <>
          {" of "}
          <code>{plain(shortId(first))}</code>
        </>
      )}
    </span>
  );
}

function Row({ execution, selected, workspace }: { execution: ListedExecution; selected: boolean; workspace: string | null }): JSX.Element {
  const attempt = execution.attempt;
  const error = cause(oneLine(execution.error_message));
  return (
    <Link className="item" data-selected={selected} to={`/executions/${encodeURIComponent(execution.execution_id)}`}>
      <Status of={execution} />
      <span className="grow">
        <span className="title">
          <b className="cut" dir="auto">{oneLine(execution.title) || <span className="dim">untitled</span>}</b>
          <Id id={execution.execution_id} />
          {attempt > 1 && <Tries attempt={attempt} first={execution.first_attempt_id} />}
        </span>
        {error && (
          <span className="sub" title={oneLine(execution.error_message, 1000)}>
            <span className="error cut" dir="auto">
              {execution.error_step ? `${words(execution.error_step)}: ` : ""}
              {error}
            </span>
          </span>
        )}
      </span>
      <span className="sub caused">
        <span className="row">
          <span>{words(execution.trigger_kind)}</span>
          {workspace && (
            <span className="cut dim">
              in <Text>{workspace}</Text>
            </span>
          )}
        </span>
        {execution.actor && (
          <span className="cut dim" title={oneLine(execution.actor, 200)}>
            by {oneLine(execution.actor, 60)}
          </span>
        )}
      </span>
      <span className="sub judged">
        {execution.verdict === "allow" ? <span>allowed</span> : <Verdict verdict={execution.verdict} />}
        <RiskWord level={execution.risk_level} />
      </span>
      <span className="sub num changed">
        <span>{plural(execution.files_changed || execution.affected_paths.length, "file")}</span>
        <Counts added={execution.lines_added ?? 0} removed={execution.lines_removed ?? 0} />
      </span>
      <span className="sub when">
        <span className="row between">
          <Time at={execution.started_at} />
          {!awaiting(execution) && (
            <span className="dim">
              <Took of={execution} />
            </span>
          )}
        </span>
        <MiniSteps steps={execution.steps ?? []} />
      </span>
    </Link>
  );
}
