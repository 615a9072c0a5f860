import { useMemo, type JSX } from "react";
import { Link, useSearchParams } from "react-router";

import { useDetail, useNewest } from "../api/queries";
import type { Detail, Execution } from "../api/types";
import { useKeys } from "../lib/keys";
import { words } from "../lib/status";
import { oneLine, plain } from "../lib/text";
import { plural } from "../lib/time";
import { Icon } from "../ui/icon";
import { Awaited, Card, Copy, Empty, Id, Risk, Status, Text, Time } from "../ui/kit";
import { useTitle } from "../ui/frame";
import { Actions } from "./actions";
import { ChangesCard } from "./changes";

const AWAITING = new URLSearchParams({ awaiting: "true" });

export function Approvals(): JSX.Element {
  const [params, setParams] = useSearchParams();
  const answer = useNewest(AWAITING, 100);
  const waiting = answer.data?.executions ?? [];
  const selected = waiting.find((each) => each.execution_id === params.get("selected")) ?? waiting[0];
  const move = (by: number): void => {
    const at = waiting.findIndex((each) => each === selected);
    const next = waiting[Math.max(0, Math.min(waiting.length - 1, at + by))];
    if (next) setParams({ selected: next.execution_id }, { replace: true });
  };
  useKeys({ j: () => move(1), k: () => move(-1) });
  useTitle("Approvals");
  return (
    <div className="page">
      <div className="page-head">
        <h1 className="grow">Approvals</h1>
      </div>
      <Awaited answer={answer} rows={6}>
        {() =>
          selected === undefined ? (
            <div className="card">
              <Empty icon="inbox" title="Nothing waits for you">
                <p>A change that the policy wants a person to see waits here until it is approved or denied.</p>
                <Link className="button" to="/executions?view=all&verdict=need_approval">
                  See what was decided before
                </Link>
              </Empty>
            </div>
          ) : (
            <div className="inbox">
              <nav className="card" aria-label="Waiting">
                {waiting.map((each) => (
                  <Item key={each.execution_id} execution={each} selected={each === selected} />
                ))}
              </nav>
              <Selected key={selected.execution_id} id={selected.execution_id} />
            </div>
          )
        }
      </Awaited>
    </div>
  );
}

function Item({ execution, selected }: { execution: Execution; selected: boolean }): JSX.Element {
  return (
    <Link className="inbox-item" to={{ search: `?selected=${encodeURIComponent(execution.execution_id)}` }} {...(selected ? { "aria-current": "true" as const } : {})}>
      <span className="row">
        <b className="cut grow" dir="auto">{oneLine(execution.title, 120) || execution.execution_id}</b>
        <Risk level={execution.risk_level} />
      </span>
      <span className="row soft">
        <span>{words(execution.trigger_kind)}</span>
        {execution.actor && <span className="cut">by {oneLine(execution.actor, 40)}</span>}
      </span>
      <span className="row dim">
        <span>{plural(execution.affected_paths.length, "file")}</span>
        <Time at={execution.started_at} />
      </span>
    </Link>
  );
}

function Selected({ id }: { id: string }): JSX.Element {
  const answer = useDetail(id);
  return (
    <Awaited answer={answer} rows={8}>
      {(detail) => (
        <div className="stack">
          <Ask detail={detail} />
          <ChangesCard id={id} detail={detail} />
          <Earlier execution={detail.execution} />
        </div>
      )}
    </Awaited>
  );
}

function Ask({ detail }: { detail: Detail }): JSX.Element {
  const { execution, decision, plan } = detail;
  const asking = decision?.rules.filter((rule) => rule.outcome === "need_approval") ?? [];
  return (
    <section className="card" aria-label="What is asked">
      <div className="card-body stack tight">
        <div className="row wrap">
          <Status of={execution} />
          <Risk level={execution.risk_level} />
          <Id id={execution.execution_id} />
        </div>
        <h2 className="any">
          <Link className="link" to={`/executions/${encodeURIComponent(execution.execution_id)}`}>
            {oneLine(execution.title, 300) || execution.execution_id}
          </Link>
        </h2>
        {plan?.why && (
          <p className="soft any">
            <strong>Why:</strong> <Text>{plan.why}</Text>
          </p>
        )}
        <ul className="stack tight">
          {asking.map((rule) => (
            <li key={rule.rule} className="note violet">
              <Icon name="hand" />
              <span className="grow any">
                <Text>{rule.reason || rule.rule}</Text>
                {rule.evidence.length > 0 && (
                  <>
                    : <Text>{rule.evidence.slice(0, 8).map(told).join("; ")}</Text>
                  </>
                )}
              </span>
            </li>
          ))}
        </ul>
        {plan && (
          <p className="soft any">
            Verified by {plan.verification.length === 0 ? "nothing" : <code>{plan.verification.map((check) => plain(check.argv.join(" "))).join("; ")}</code>}
          </p>
        )}
        <div className="row wrap">
          <Actions detail={detail} />
          <Copy text={`executor approve ${execution.execution_id}`} label="Copy the command that approves this">
            Command
          </Copy>
        </div>
      </div>
    </section>
  );
}

/** Evidence is a path and the rule it meets; where the rule is the path, once is enough. */
function told(evidence: string): string {
  const [path, rule, more] = evidence.split(": ");
  return path !== undefined && path === rule && more === undefined ? path : evidence;
}

/** A path as a pattern that means it alone. */
export function pattern(path: string): string {
  return `/${path.replace(/[\\*?[\]]/g, "\\$&")}`;
}

function Earlier({ execution }: { execution: Execution }): JSX.Element {
  const query = useMemo(() => {
    const params = new URLSearchParams();
    for (const path of execution.affected_paths.slice(0, 20)) params.append("path", pattern(path));
    params.set("awaiting", "false");
    return params;
  }, [execution.affected_paths]);
  const answer = useNewest(query, 8);
  return (
    <Card title="Earlier changes to the same paths">
      <Awaited answer={answer}>
        {({ executions }) => {
          const earlier = executions.filter((each) => each.execution_id !== execution.execution_id);
          if (earlier.length === 0)
            return (
              <p className="card-body soft">No recorded execution touched these paths before.</p>
            );
          return (
            <ul>
              {earlier.map((each) => (
                <li key={each.execution_id}>
                  <Link className="inbox-item" to={`/executions/${encodeURIComponent(each.execution_id)}`}>
                    <span className="row">
                      <Status of={each} />
                      <b className="cut grow" dir="auto">{oneLine(each.title, 120) || each.execution_id}</b>
                      <span className="dim">
                        <Time at={each.started_at} />
                      </span>
                    </span>
                    {each.error_message && <span className="soft cut" dir="auto">{oneLine(each.error_message)}</span>}
                  </Link>
                </li>
              ))}
            </ul>
          );
        }}
      </Awaited>
    </Card>
  );
}
