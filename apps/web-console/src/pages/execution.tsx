import { useEffect, type JSX } from "react";
import { Link, useParams, useSearchParams } from "react-router";

import { useArtifact, useArtifacts, useDetail, useEvents, useLineage, useWorkspaces } from "../api/queries";
import { artifactPath } from "../api/queries";
import type { Detail, RecordedEvent, Step } from "../api/types";
import { useKeys } from "../lib/keys";
import { useNow } from "../lib/now";
import { ended, STEP_TONES, words, type Tone } from "../lib/status";
import { looksLikeTrouble, oneLine, plain, splitLines } from "../lib/text";
import { bar, span } from "../lib/timeline";
import { absoluteTime, bytes, duration, ordinal, parseTime, plural, shortId } from "../lib/time";
import { Icon, type IconName } from "../ui/icon";
import { Awaited, Badge, Card, Copy, Empty, Id, Risk, Status, Text, Time, Took, Trouble, Verdict } from "../ui/kit";
import { useTitle } from "../ui/frame";
import { later } from "../ui/later";
import { Actions } from "./actions";
import { DroppedNote } from "./dropped";

/** So many relatives are asked for: more nobody can see at once. */
const FOCUS = 200;

const Changes = later(async () => (await import("./changes")).Changes);
const Logs = later(async () => (await import("./logs")).Logs);
const LineageTab = later(async () => (await import("./lineage")).LineageTab);

export const TABS = ["timeline", "changes", "logs", "decision", "lineage", "artifacts", "events"] as const;
type Tab = (typeof TABS)[number];

function isTab(text: string | null): text is Tab {
  return (TABS as readonly string[]).includes(text ?? "");
}

export function ExecutionPage(): JSX.Element {
  const id = useParams()["id"] ?? "";
  const answer = useDetail(id);
  // Asked for at the same time, not one after the other: parts of the page need them.
  useLineage(id, FOCUS);
  useEvents(id);
  useWorkspaces();
  useTitle(oneLine(answer.data?.execution.title) || id);
  return (
    <div className="page">
      {answer.error && !answer.data && <h1 className="any">{plain(id)}</h1>}
      <Awaited answer={answer} rows={6}>
        {(detail) => <Shown key={id} detail={detail} />}
      </Awaited>
    </div>
  );
}

function Shown({ detail }: { detail: Detail }): JSX.Element {
  const [params, setParams] = useSearchParams();
  const given = params.get("tab");
  const tab: Tab = isTab(given) ? given : "timeline";
  const id = detail.execution.execution_id;
  const open = (next: Tab): void => setParams(next === "timeline" ? {} : { tab: next });
  const step = (by: number): void => {
    const next = TABS[(TABS.indexOf(tab) + by + TABS.length) % TABS.length];
    if (next) open(next);
  };
  useKeys({ "[": () => step(-1), "]": () => step(1) });
  useEffect(() => {
    document.getElementById(`tab-${tab}`)?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [tab]);
  const counts: Partial<Record<Tab, number>> = {
    changes: detail.execution.affected_paths.length,
    timeline: detail.steps.length,
    decision: detail.decision?.rules.length ?? 0,
  };
  return (
    <>
      <Head detail={detail} />
      <Failure detail={detail} brief={tab !== "timeline"} />
      <div role="tablist" aria-label="About this execution" className="tabs">
        {TABS.map((each) => (
          <button
            key={each}
            id={`tab-${each}`}
            type="button"
            role="tab"
            aria-selected={each === tab}
            aria-controls="tab-panel"
            tabIndex={each === tab ? 0 : -1}
            className="tab"
            onClick={() => open(each)}
            onKeyDown={(event) => {
              if (event.key !== "ArrowRight" && event.key !== "ArrowLeft") return;
              event.preventDefault();
              const next = TABS[(TABS.indexOf(each) + (event.key === "ArrowRight" ? 1 : -1) + TABS.length) % TABS.length];
              if (!next) return;
              open(next);
              document.getElementById(`tab-${next}`)?.focus();
            }}
          >
            {each.charAt(0).toUpperCase() + each.slice(1)}
            {counts[each] ? <span className="num">{counts[each]}</span> : null}
          </button>
        ))}
      </div>
      <div id="tab-panel" role="tabpanel" aria-labelledby={`tab-${tab}`} tabIndex={-1}>
        {tab === "timeline" && <Timeline detail={detail} />}
        {tab === "changes" && <Changes id={id} detail={detail} />}
        {tab === "logs" && <Logs detail={detail} />}
        {tab === "decision" && <Decision detail={detail} />}
        {tab === "lineage" && <LineageTab id={id} />}
        {tab === "artifacts" && <Artifacts detail={detail} />}
        {tab === "events" && <Events id={id} />}
      </div>
    </>
  );
}

function Crumbs({ detail }: { detail: Detail }): JSX.Element {
  const { execution } = detail;
  const lineage = useLineage(execution.execution_id, FOCUS);
  const ancestors = lineage.data?.ancestors ?? [];
  const chain = `/chains/${encodeURIComponent(execution.correlation_id)}`;
  const first = ancestors[0];
  const parent = ancestors.at(-1);
  return (
    <nav className="crumbs" aria-label="Where this stands in its chain">
      <Link to={chain} data-chain={chain}>
        <Icon name="chain" size={14} /> Chain
      </Link>
      {first && first !== parent && (
        <>
          <Icon name="right" size={12} />
          <Link to={`/executions/${encodeURIComponent(first.execution_id)}`} title={plain(first.execution_id)}>
            <span className="cut" dir="auto">{oneLine(first.title, 60) || <Id id={first.execution_id} />}</span>
          </Link>
        </>
      )}
      {ancestors.length > 2 && (
        <>
          <Icon name="right" size={12} />
          <Link to={`/executions/${encodeURIComponent(execution.execution_id)}?tab=lineage`} aria-label={`${ancestors.length - 2} more in between`}>
            … {ancestors.length - 2}
          </Link>
        </>
      )}
      {parent && (
        <>
          <Icon name="right" size={12} />
          <Link to={`/executions/${encodeURIComponent(parent.execution_id)}`} title={plain(parent.execution_id)}>
            <Icon name={parent.status === "completed" ? "check" : "undo"} size={13} />
            <span className="cut" dir="auto">{oneLine(parent.title, 60) || <Id id={parent.execution_id} />}</span>
          </Link>
        </>
      )}
      <Icon name="right" size={12} />
      <span aria-current="page">
        <Id id={execution.execution_id} />
      </span>
    </nav>
  );
}

function Meta({ icon, children, title }: { icon: IconName; children: JSX.Element | string; title?: string }): JSX.Element {
  return (
    <span title={title}>
      <Icon name={icon} size={14} />
      <span className="cut">{children}</span>
    </span>
  );
}

function Head({ detail }: { detail: Detail }): JSX.Element {
  const { execution } = detail;
  const attempt = execution.attempt;
  const workspace = useWorkspaces().data?.workspaces.find((each) => each.workspace_id === execution.workspace_id);
  return (
    <header className="stack tight">
      <Crumbs detail={detail} />
      <div className="page-head">
        <div className="grow stack tight">
          <div className="row headline">
            <Status of={execution} big />
            <h1 className="any">
              <Text>{oneLine(execution.title, 300) || "Untitled"}</Text>
            </h1>
          </div>
        </div>
        <div className="row wrap">
          <Actions detail={detail} />
          <Copy text={location.href} label="Copy the link">
            Link
          </Copy>
          <Copy text={`executor show ${execution.execution_id}`} label="Copy the command that shows this">
            Command
          </Copy>
          <Copy text={JSON.stringify(detail, null, 2)} label="Copy as JSON">
            JSON
          </Copy>
        </div>
      </div>
      {detail.plan?.why && (
        <p className="soft any">
          <strong>Why:</strong> <Text>{detail.plan.why}</Text>
        </p>
      )}
      {detail.transcript && (
        <p className="soft any">
          <strong>Transcript:</strong>{" "}
          {/^https?:\/\//.test(detail.transcript) ? (
            <a className="link" href={detail.transcript} target="_blank" rel="noopener noreferrer">
              <Text>{oneLine(detail.transcript, 200)}</Text>
            </a>
          ) : (
            <Link className="link" to="?tab=artifacts">
              an artifact
            </Link>
          )}
        </p>
      )}
      <div className="meta">
        <Meta icon="clock">
          <>
            started <Time at={execution.started_at} />, <Took of={execution} />
          </>
        </Meta>
        <Meta icon="user">
          <>
            {words(execution.trigger_kind)}
            {execution.actor && (
              <>
                {" "}
                by <Text>{oneLine(execution.actor, 80)}</Text>
              </>
            )}
          </>
        </Meta>
        {attempt > 1 && (
          <Meta icon="retry">
            <>
              {ordinal(attempt)} try
              {detail.first_attempt_id && (
                <>
                  {" of "}
                  <Link className="link" to={`/executions/${encodeURIComponent(detail.first_attempt_id)}`} title={plain(detail.first_attempt_id)}>
                    <code>{plain(shortId(detail.first_attempt_id))}</code>
                  </Link>
                </>
              )}
            </>
          </Meta>
        )}
        <Meta icon="file">{plural(execution.affected_paths.length, "file")}</Meta>
        {workspace?.path && (
          <Meta icon="folder" title={`${workspace.host ?? ""}:${workspace.path}`}>
            <Text>{workspace.path.split("/").pop()}</Text>
          </Meta>
        )}
        {execution.branch && (
          <Meta icon="branch" {...(execution.base_commit ? { title: execution.base_commit } : {})}>
            <>
              <Text>{oneLine(execution.branch, 80)}</Text> {execution.base_commit && <code>{execution.base_commit.slice(0, 8)}</code>}
            </>
          </Meta>
        )}
        {execution.session && (
          <Meta icon="screen" title="session">
            <Text>{oneLine(execution.session, 80)}</Text>
          </Meta>
        )}
        {execution.run_id && (
          <Meta icon="link" title="run">
            <Link className="link" to={`/executions?view=all&run_id=${encodeURIComponent(execution.run_id)}`}>
              {oneLine(execution.run_id, 80)}
            </Link>
          </Meta>
        )}
        <span className="row">
          <Verdict verdict={execution.verdict} />
          <Risk level={execution.risk_level} />
          {detail.unresolved && <Badge tone="amber">unresolved</Badge>}
          {detail.payload_dropped_at && (
            <Badge icon="archive" title={`contents and logs were dropped ${absoluteTime(detail.payload_dropped_at)}`}>
              record only
            </Badge>
          )}
        </span>
      </div>
      <Links detail={detail} />
      {detail.approval && (
        <p className="note green">
          <Icon name="check" />
          <span className="grow">
            Approved by <Text>{detail.approval.approved_by}</Text> <Time at={detail.approval.approved_at} />
            {detail.approval.reason && (
              <>
                : <Text>{detail.approval.reason}</Text>
              </>
            )}
          </span>
        </p>
      )}
    </header>
  );
}

function Links({ detail }: { detail: Detail }): JSX.Element | null {
  const own = detail.execution.execution_id;
  const { reverted_by } = detail;
  const undone = detail.links.find((link) => link.kind === "reverts" && link.source_id === own)?.target_id;
  const others = detail.links.filter((link) => link.kind !== "reverts");
  if (reverted_by === null && undone === undefined && others.length === 0) return null;
  return (
    <>
      {reverted_by !== null && <Undo word="Reverted by" tail=": nothing of this change is left" id={reverted_by} />}
      {undone !== undefined && <Undo word="Reverts" tail="" id={undone} />}
      {others.length > 0 && (
        <ul className="row wrap">
          {others.map((link) => {
            const from = link.source_id === own;
            const other = from ? link.target_id : link.source_id;
            if (link.kind === "commit")
              return (
                <li key={other}>
                  <Badge tone="blue" icon="branch" title={plain(other)}>
                    commit <code>{plain(other).slice(0, 10)}</code>
                  </Badge>
                </li>
              );
            return (
              <li key={`${link.kind}${other}`}>
                <Badge tone="blue">
                  {from ? `Cites as ${words(link.kind)}` : `Cited as ${words(link.kind)} by`}{" "}
                  <Link className="link" to={`/executions/${encodeURIComponent(other)}`}>
                    <code>{plain(other).slice(-8)}</code>
                  </Link>
                </Badge>
              </li>
            );
          })}
        </ul>
      )}
    </>
  );
}

function Undo({ word, id, tail }: { word: string; id: string; tail: string }): JSX.Element {
  const other = useDetail(id).data?.execution;
  return (
    <p className="note amber">
      <Icon name="undo" />
      <span className="grow any">
        {word}{" "}
        <Link className="link" to={`/executions/${encodeURIComponent(id)}`}>
          {oneLine(other?.title, 120) || shortId(plain(id))}
        </Link>
        {other && (
          <>
            {" "}
            <Time at={other.started_at} />
            {other.actor && (
              <>
                {" "}
                by <Text>{oneLine(other.actor, 60)}</Text>
              </>
            )}
          </>
        )}
        {tail}
      </span>
    </p>
  );
}

/** For a failure first: which step, why in one line, the first lines of the error, and what became of the files. */
function Failure({ detail, brief }: { detail: Detail; brief: boolean }): JSX.Element | null {
  const { execution, steps } = detail;
  const failed = ended(execution) && execution.status !== "completed";
  const step = steps.find((each) => each.status === "failed");
  const log = detail.payload_dropped_at ? null : (step?.log_ref ?? null);
  const excerpt = useArtifact(execution.execution_id, failed && !brief ? log : null, 200);
  const events = useEvents(execution.execution_id);
  const lineage = useLineage(execution.execution_id, FOCUS);
  if (!failed) return null;
  const rolledBack = events.data?.events.find((event) => event.event === "rollback_end");
  const fixed = lineage.data?.descendants.find((each) => each.status === "completed" && (each.trigger_kind === "retry" || each.trigger_kind === "repair"));
  const lines = excerpt.data === undefined ? [] : firstTrouble(splitLines(excerpt.data));
  const denied = execution.verdict === "deny";
  const verdict = detail.decision?.rules.filter((rule) => rule.outcome !== "pass") ?? [];
  return (
    <section className={execution.status === "failed" ? "card failure" : "card failure amber"} aria-label="What went wrong">
      <div className="card-body stack tight">
        <p className="soft">
          {denied ? "The gate refused it" : execution.status === "cancelled" ? "Cancelled" : `Step ${words(execution.error_step ?? step?.step_name ?? "unknown")} failed`}
          {step?.duration_seconds !== null && step ? ` after ${duration(step.duration_seconds)}` : ""}
        </p>
        <p className="cause">
          <Text>{oneLine(execution.error_message, brief ? 160 : 400) || "No message was recorded."}</Text>
        </p>
        {denied && !brief &&
          verdict.slice(0, 3).map((rule) => (
            <p key={rule.rule} className="soft any">
              <code>{rule.rule}</code> {rule.evidence.slice(0, 3).map(plain).join("; ")}
            </p>
          ))}
        {lines.length > 0 && !brief && (
          <>
            <pre className="code" tabIndex={0} aria-label="First lines of the error">
              {lines.map((line) => plain(line.slice(0, 400))).join("\n")}
            </pre>
            {log && (
              <Link className="link" to={`?tab=logs&log=${encodeURIComponent(log)}`}>
                Open the whole log
              </Link>
            )}
          </>
        )}
        <div className="row wrap">
          <Restored event={rolledBack} untouched={execution.files_changed === 0 && !steps.some((each) => each.step_name === "apply")} />
          {fixed && (
            <Link to={`/executions/${encodeURIComponent(fixed.execution_id)}`}>
              <Badge tone="green" icon="check">
                Fixed by {oneLine(fixed.title, 80) || fixed.execution_id} ({words(fixed.trigger_kind)})
              </Badge>
            </Link>
          )}
        </div>
      </div>
    </section>
  );
}

function Restored({ event, untouched }: { event: RecordedEvent | undefined; untouched: boolean }): JSX.Element | null {
  if (event?.["complete"] === true) {
    const count = typeof event["files_restored"] === "number" ? event["files_restored"] : 0;
    return (
      <Badge tone="green" icon="shield">
        Workspace identical to before: {plural(count, "file")} restored and compared by hash
      </Badge>
    );
  }
  if (event)
    return (
      <Badge tone="red" icon="warning">
        The rollback is incomplete: {Array.isArray(event["incomplete"]) ? event["incomplete"].map(String).map(plain).join(", ") : "see the events"}
      </Badge>
    );
  return untouched ? (
    <Badge tone="green" icon="shield">
      Nothing was written
    </Badge>
  ) : null;
}

/** The lines around the first that looks like trouble: what somebody would scroll to. Rulers between them say nothing. */
function firstTrouble(all: readonly string[]): readonly string[] {
  const lines = all.filter((line) => !/^([-=_*~])\1{7,}\s*$/.test(line));
  const at = lines.findIndex(looksLikeTrouble);
  if (at < 0) return lines.slice(-8);
  return lines.slice(at, at + 9);
}

function Timeline({ detail }: { detail: Detail }): JSX.Element {
  const now = useNow();
  const { execution, steps } = detail;
  const all = span([execution, ...steps], now);
  // A person takes longer than the steps: what was waited before them is told, and not drawn beside them.
  const begun = parseTime(steps[0]?.started_at ?? "");
  const waited = all && begun !== null && begun - all.from > (all.to - all.from) / 2 ? begun - all.from : 0;
  const whole = waited > 0 ? span(steps, now) : all;
  if (steps.length === 0 || !whole)
    return (
      <div className="card">
        {execution.status === "pending" ? (
          <Empty icon="hand" title="Not begun">
            <p>Nothing runs before a person approves it.</p>
          </Empty>
        ) : (
          <Empty icon="clock" title="No step was begun">
            <p>The gate stopped it before the first step.</p>
            <Link className="button" to="?tab=decision">
              See the decision
            </Link>
          </Empty>
        )}
      </div>
    );
  return (
    <Card title="Steps" side={
        <span className="dim num">
          {waited > 0 ? `waited ${duration(waited / 1000)}, then ${duration((whole.to - whole.from) / 1000)}` : `${duration((whole.to - whole.from) / 1000)} in all`}
        </span>
      }>
      <ol className="steps">
        {steps.map((step, index) => (
          <StepRow key={step.id} step={step} whole={whole} now={now} dropped={Boolean(detail.payload_dropped_at)} waitedFrom={index === 0 ? (waited > 0 ? null : execution.started_at) : (steps[index - 1]?.ended_at ?? null)} />
        ))}
      </ol>
    </Card>
  );
}

const STEP_ICONS: Readonly<Record<string, IconName>> = { completed: "check", failed: "cross", running: "running", skipped: "ban" };

function StepRow({ step, whole, now, dropped, waitedFrom }: { step: Step; whole: { from: number; to: number }; now: number; dropped: boolean; waitedFrom: string | null }): JSX.Element {
  const place = bar(step, whole, now);
  const waiting = waitedFrom !== null && parseTime(waitedFrom) !== null ? bar({ started_at: waitedFrom, ended_at: step.started_at, duration_seconds: null }, whole, now) : null;
  const tone: Tone = STEP_TONES[step.status] ?? "grey";
  const started = parseTime(step.started_at);
  return (
    <li className="step">
      <span className="status" data-tone={tone}>
        <Icon name={STEP_ICONS[step.status] ?? "pending"} size={15} spin={step.status === "running"} />
        {words(step.step_name)}
        {step.metadata === '{"where": "scratch"}' && <span className="dim">in a scratch copy</span>}
        {step.status !== "completed" && <span className="dim">{words(step.status)}</span>}
      </span>
      <div className="track" title={`${plain(step.step_name)}: ${duration(step.duration_seconds)}`}>
        {waiting && waiting.width > 0.5 && <div className="bar waiting" title="waiting" style={{ left: `${waiting.left}%`, width: `${waiting.width}%` }} />}
        {place && <div className="bar" data-tone={tone} style={{ left: `min(${place.left}%, calc(100% - 3px))`, width: `${place.width}%` }} />}
      </div>
      <span className="num soft">{step.duration_seconds === null && started !== null ? duration((now - started) / 1000) : duration(step.duration_seconds)}</span>
      {step.error_message && (
        <p className="message">
          <Text>{oneLine(step.error_message, 400)}</Text>{" "}
          {step.log_ref && !dropped && (
            <Link className="link" to={`?tab=logs&log=${encodeURIComponent(step.log_ref)}`}>
              log
            </Link>
          )}
        </p>
      )}
    </li>
  );
}

const OUTCOMES: Readonly<Record<string, { tone: Tone; icon: IconName; word: string }>> = {
  pass: { tone: "green", icon: "check", word: "passes" },
  need_approval: { tone: "violet", icon: "hand", word: "asks a person" },
  deny: { tone: "red", icon: "ban", word: "denies" },
};

/** What each rule asks, for the many that have nothing to object. */
const RULES: Readonly<Record<string, string>> = {
  "protected-paths": "nothing is written where nothing may be written",
  "forbidden-paths": "no path is one the policy forbids",
  "approval-paths": "no path is one that needs a person",
  "required-checks": "has the checks the policy wants for its paths",
  limits: "is within the limits for files, lines and bytes",
  secrets: "adds nothing that looks like a secret",
  verification: "what it changes is verified by",
  drift: "when its checks change files themselves",
  risk: "its risk is not critical",
};

function Decision({ detail }: { detail: Detail }): JSX.Element {
  const { decision, plan } = detail;
  if (!decision)
    return (
      <div className="card">
        <Empty icon="shield" title="No decision is kept">
          <p>It was recorded by a program that kept none.</p>
        </Empty>
      </div>
    );
  const asked = [...decision.rules].sort((a, b) => Number(a.outcome === "pass") - Number(b.outcome === "pass"));
  return (
    <div className="stack">
      <DroppedNote detail={detail}>The decision is kept. What it was about is not:</DroppedNote>
      <Card title="Verdict" side={<Verdict verdict={decision.verdict} />}>
        <dl className="facts card-body">
          <div>
            <dt>Risk proposed</dt>
            <dd>{decision.proposed_risk}</dd>
          </div>
          <div>
            <dt>Risk in effect</dt>
            <dd>{decision.effective_risk}</dd>
          </div>
          <div>
            <dt>Policy</dt>
            <dd>
              <Text>{decision.policy_name}</Text> <code className="dim" title={decision.policy_hash}>{decision.policy_hash.slice(0, 8)}</code>
            </dd>
          </div>
          <div>
            <dt>Changeset</dt>
            <dd>
              <code title={decision.changeset_checksum}>{decision.changeset_checksum.slice(0, 12)}</code>
            </dd>
          </div>
          <div>
            <dt>Decided</dt>
            <dd>
              <Time at={decision.decided_at} />
            </dd>
          </div>
        </dl>
      </Card>
      <Card title="Rules">
        <ul>
          {asked.map((rule) => {
            const outcome = OUTCOMES[rule.outcome] ?? { tone: "grey" as const, icon: "pending" as const, word: rule.outcome };
            return (
              <li key={rule.rule} className="rule">
                <span className="status" data-tone={outcome.tone}>
                  <Icon name={outcome.icon} size={15} /> {outcome.word}
                </span>
                <code>{plain(rule.rule)}</code>
                <span className="any">
                  {rule.reason ? <Text>{rule.reason}</Text> : <span className="dim">{RULES[rule.rule] ?? ""}</span>}
                  {rule.evidence.length > 0 && (
                    <span className="soft">
                      {(rule.reason || RULES[rule.rule]) && ": "}
                      <Text>{rule.evidence.slice(0, 12).join("; ")}</Text>
                      {rule.evidence.length > 12 && ` and ${rule.evidence.length - 12} more`}
                    </span>
                  )}
                </span>
              </li>
            );
          })}
        </ul>
      </Card>
      {plan && (
        <Card title="Plan">
          <dl className="facts wide card-body">
            <div>
              <dt>Verified by</dt>
              <dd>
                {plan.verification.length === 0 && "nothing"}
                {plan.verification.map((check) => (
                  <div key={check.name}>
                    <code>{plain(check.argv.join(" "))}</code>
                  </div>
                ))}
              </dd>
            </div>
            <div>
              <dt>Health checks</dt>
              <dd>{plan.health_checks.length === 0 ? "none" : plan.health_checks.map((check) => plain(check.name)).join(", ")}</dd>
            </div>
            <div>
              <dt>Why this risk</dt>
              <dd>
                {plan.risk_reasons.length === 0 && "nothing speaks for more"}
                {plan.risk_reasons.map((reason) => (
                  <div key={reason.reason + reason.evidence}>
                    {reason.level}: <Text>{reason.reason}</Text>
                  </div>
                ))}
              </dd>
            </div>
            <div>
              <dt>Way back</dt>
              <dd>
                <Text>{plan.rollback}</Text>
              </dd>
            </div>
          </dl>
        </Card>
      )}
    </div>
  );
}

function Artifacts({ detail }: { detail: Detail }): JSX.Element {
  const id = detail.execution.execution_id;
  const answer = useArtifacts(id);
  return (
    <div className="stack">
      <DroppedNote detail={detail}>These are kept. The others are not:</DroppedNote>
      <Card title="Artifacts">
        <Awaited answer={answer}>
          {({ artifacts }) =>
            artifacts.length === 0 ? (
              <Empty icon="file" title="No artifacts here">
                <p>The folder is gone, or lies on another host. The record itself is complete.</p>
                <Link className="button" to="?tab=events">
                  See the events
                </Link>
              </Empty>
            ) : (
              <table className="table">
                <thead>
                  <tr>
                    <th>Name</th>
                    <th className="right">Size</th>
                    <th className="right">Written</th>
                  </tr>
                </thead>
                <tbody>
                  {artifacts.map((artifact) => (
                    <tr key={artifact.name} className="hover">
                      <td className="any">
                        {artifact.name.endsWith(".log") ? (
                          <Link className="link" to={`?tab=logs&log=${encodeURIComponent(artifact.name)}`}>
                            {plain(artifact.name)}
                          </Link>
                        ) : (
                          <a className="link" href={artifactPath(id, artifact.name)} target="_blank" rel="noreferrer">
                            {plain(artifact.name)}
                          </a>
                        )}
                      </td>
                      <td className="right num">{bytes(artifact.size)}</td>
                      <td className="right">
                        <Time at={artifact.modified_at} />
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            )
          }
        </Awaited>
      </Card>
    </div>
  );
}

const KNOWN = new Set(["event", "execution_id", "correlation_id", "seq", "timestamp"]);

function value(field: unknown): string {
  if (typeof field === "number") return String(Number(field.toFixed(6)));
  return plain(typeof field === "string" ? field : JSON.stringify(field)).slice(0, 300);
}

/** A hash by its beginning, a list by its first members; the tooltip and the artifact have the rest. */
function short(field: unknown): string {
  if (typeof field === "string" && /^[0-9a-f]{64}$/.test(field)) return `${field.slice(0, 12)}…`;
  if (!Array.isArray(field)) return value(field);
  const more = field.length - 3;
  return field.slice(0, 3).map(value).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

function Events({ id }: { id: string }): JSX.Element {
  const answer = useEvents(id);
  if (answer.error && !answer.data) return <Trouble error={answer.error} again={() => void answer.refetch()} />;
  return (
    <Card title="Events" side={answer.data && <span className="dim num">{plural(answer.data.events.length, "event")}</span>}>
      <Awaited answer={answer}>
        {({ events }) =>
          events.length === 0 ? (
            <Empty icon="list" title="No events are kept">
              <p>It was recorded by a program that wrote none.</p>
            </Empty>
          ) : (
            <ol>
              {events.map((event) => (
                <li key={event.seq} className="event">
                  <span className="row">
                    <span className="dim num">{event.seq}</span> <b>{words(plain(event.event))}</b>
                  </span>
                  <span className="dim">
                    <Time at={event.timestamp} />
                  </span>
                  <span className="fields mono">
                    {Object.entries(event)
                      .filter(([name, field]) => !KNOWN.has(name) && field !== null && !(Array.isArray(field) && field.length === 0))
                      .map(([name, field]) => (
                        <span key={name} className="any" title={value(field)}>
                          <span className="dim">{plain(name)}=</span>
                          {short(field)}
                        </span>
                      ))}
                  </span>
                </li>
              ))}
            </ol>
          )
        }
      </Awaited>
    </Card>
  );
}
