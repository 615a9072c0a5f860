import type { JSX, ReactNode } from "react";
import { Link } from "react-router";

import { useDatabase, useHealth, useReadiness, useTokens, useWorkspaces } from "../api/queries";
import type { Token, Workspace } from "../api/types";
import { useLiveState } from "../lib/live";
import { useNow } from "../lib/now";
import { oneLine, plain } from "../lib/text";
import { bytes, parseTime } from "../lib/time";
import { servedFirst, workspaceName } from "../lib/workspaces";
import { Awaited, Badge, Card, Copy, Empty, Id, Text, Time } from "../ui/kit";
import { useTitle } from "../ui/frame";

const ENGINES = { sqlite: "SQLite", postgresql: "PostgreSQL" } as const;

function Check({ good, children }: { good: boolean; children: ReactNode }): JSX.Element {
  return (
    <Badge tone={good ? "green" : "red"} icon={good ? "check" : "cross"}>
      {children}
    </Badge>
  );
}

export function Health(): JSX.Element {
  const health = useHealth();
  const readiness = useReadiness();
  const workspaces = useWorkspaces();
  const database = useDatabase();
  const { state } = useLiveState();
  useTitle("Health");
  return (
    <div className="page">
      <div className="page-head">
        <h1 className="grow">Health</h1>
      </div>
      <Card title="Server">
        <div className="card-body">
          <Awaited answer={readiness}>
            {(ready) => (
              <dl className="facts wide">
                <div>
                  <dt>Ready</dt>
                  <dd>
                    <Check good={ready.ready}>{ready.ready ? "ready" : "not ready"}</Check>
                  </dd>
                </div>
                <div>
                  <dt>Version</dt>
                  <dd>{health.data?.version ?? "…"}</dd>
                </div>
                <div>
                  <dt>Database</dt>
                  <dd>
                    <Check good={ready.database}>{ready.database ? "answers" : "does not answer"}</Check>
                  </dd>
                </div>
                <div>
                  <dt>Engine</dt>
                  <dd>{database.data ? `${ENGINES[database.data.engine]} ${database.data.version}` : database.error ? "unknown" : "…"}</dd>
                </div>
                <div>
                  <dt>Size of the record</dt>
                  <dd>
                    {database.data ? bytes(database.data.bytes) : database.error ? "unknown" : "…"}
                    {database.data && database.data.log_bytes > 0 && <span className="dim"> and {bytes(database.data.log_bytes)} of log</span>}
                  </dd>
                </div>
                <div>
                  <dt>Schema</dt>
                  <dd className="row wrap">
                    <span>version {ready.schema_version ?? "unknown"}</span>
                    <Check good={ready.schema_current}>{ready.schema_current ? "current" : "executor db upgrade"}</Check>
                  </dd>
                </div>
                <div>
                  <dt>Stream of events</dt>
                  <dd>
                    <Badge tone={state === "live" ? "green" : state === "offline" ? "red" : "amber"} icon={state === "live" ? "check" : "warning"}>
                      {state}
                    </Badge>
                  </dd>
                </div>
                <div>
                  <dt>Free space</dt>
                  <dd className="row wrap">
                    <span>{ready.disk_free_bytes === null ? "unknown" : bytes(ready.disk_free_bytes)}</span>
                    <Check good={ready.disk}>{ready.disk ? "enough" : "too little"}</Check>
                  </dd>
                </div>
              </dl>
            )}
          </Awaited>
        </div>
      </Card>
      <Card title="Workspaces">
        <Awaited answer={workspaces}>
          {(answer) =>
            answer.workspaces.length === 0 ? (
              <Empty icon="folder" title="No workspace yet">
                <p>A workspace is known once something ran in it:</p>
                <code>executor run --patch fix.diff --verify "pytest -q"</code>
              </Empty>
            ) : (
              <table className="table places">
                <thead>
                  <tr>
                    <th>Workspace</th>
                    <th className="wide-only">Host</th>
                    <th>Policy</th>
                    <th className="short">Here</th>
                  </tr>
                </thead>
                <tbody>
                  {servedFirst(answer.workspaces).map((each) => (
                    <tr key={each.workspace_id} className="hover">
                      <td className="any">
                        <Link className="link" to={`/executions?view=all&workspace=${encodeURIComponent(each.workspace_id)}`}>
                          {workspaceName(each)}
                        </Link>
                        <span className="place cut dim" title={plain(each.path ?? each.workspace_id)}>
                          {plain(each.path ?? each.workspace_id)}
                        </span>
                      </td>
                      <td className="any wide-only">
                        <Text>{each.host ?? "unknown"}</Text>
                      </td>
                      <td className="any">
                        <Policy of={each} />
                      </td>
                      <td>
                        <Badge tone={each.served ? "green" : "grey"}>{each.served ? "served" : "read only"}</Badge>
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            )
          }
        </Awaited>
      </Card>
      <Tokens />
    </div>
  );
}

function Policy({ of }: { of: Workspace }): JSX.Element {
  if (of.policy === null) return <span className="dim">not known here</span>;
  if (of.policy.problem !== null)
    return (
      <span className="stack tight">
        <Badge tone="red" icon="cross">
          broken: every change is refused
        </Badge>
        <span className="soft">
          <Text>{oneLine(of.policy.problem, 400)}</Text>
        </span>
      </span>
    );
  return (
    <span className="row wrap">
      <Text>{of.policy.name === "built-in" ? "built-in" : of.policy.name?.split("/").pop()}</Text>
      {of.policy.hash && (
        <span className="row">
          <code className="dim" title={of.policy.hash}>
            {of.policy.hash.slice(0, 12)}
          </code>
          <Copy text={of.policy.hash} label="Copy the hash of the policy" />
        </span>
      )}
    </span>
  );
}

function Tokens(): JSX.Element {
  const answer = useTokens();
  const now = useNow();
  const active = answer.data?.tokens.filter((token) => token.active).length;
  return (
    <Card title="Tokens of programs" side={active !== undefined && <span className="dim num">{active} active</span>}>
      <Awaited answer={answer}>
        {({ tokens }) =>
          tokens.length === 0 ? (
            <Empty icon="shield" title="No tokens">
              <p>A program that uses the API, as a CI job does, gets one of its own:</p>
              <code>executor token create ci --scope read --scope run --days 90</code>
            </Empty>
          ) : (
            <table className="table">
              <thead>
                <tr>
                  <th>Name</th>
                  <th>May</th>
                  <th className="wide-only">Made</th>
                  <th>Until</th>
                </tr>
              </thead>
              <tbody>
                {tokens.map((token) => (
                  <tr key={token.token_id} className="hover" data-gone={!token.active}>
                    <td className="any">
                      <Link className="link" to={`/executions?view=all&actor=${encodeURIComponent(`token:${token.name}`)}`}>
                        <Text>{token.name}</Text>
                      </Link>{" "}
                      <Id id={token.token_id} />
                    </td>
                    <td>
                      <span className="row wrap">
                        {token.scopes.map((scope) => (
                          <Badge key={scope} tone={token.active && (scope === "admin" || scope === "approve") ? "amber" : "grey"}>
                            {scope}
                          </Badge>
                        ))}
                      </span>
                    </td>
                    <td className="wide-only">
                      <Time at={token.created_at} />
                    </td>
                    <td>
                      <Until token={token} now={now} />
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          )
        }
      </Awaited>
    </Card>
  );
}

const SOON = 7 * 86_400_000;

function Until({ token, now }: { token: Token; now: number }): JSX.Element {
  if (token.revoked_at !== null)
    return (
      <span className="dim">
        revoked <Time at={token.revoked_at} />
      </span>
    );
  if (token.valid_until === null) return <span>revoked by hand</span>;
  const left = (parseTime(token.valid_until) ?? now) - now;
  if (left <= 0)
    return (
      <span className="dim">
        ran out <Time at={token.valid_until} />
      </span>
    );
  return left < SOON ? (
    <Badge tone="amber" icon="clock">
      <Time at={token.valid_until} />
    </Badge>
  ) : (
    <Time at={token.valid_until} />
  );
}
