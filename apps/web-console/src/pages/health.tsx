import type { JSX, ReactNode } from "react";
import { Link } from "react-router";

import { useHealth, useReadiness, useWorkspaces } from "../api/queries";
import { useLiveState } from "../lib/live";
import { bytes } from "../lib/time";
import { Icon } from "../ui/icon";
import { Awaited, Badge, Card, Empty, Text } from "../ui/kit";
import { useTitle } from "../ui/frame";

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
              <dl className="facts">
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
              <table className="table">
                <thead>
                  <tr>
                    <th>Path</th>
                    <th>Host</th>
                    <th>Here</th>
                  </tr>
                </thead>
                <tbody>
                  {answer.workspaces.map((each) => (
                    <tr key={each.workspace_id} className="hover">
                      <td className="any">
                        <Link className="link row" to={`/executions?view=all&workspace=${encodeURIComponent(each.workspace_id)}`}>
                          <Icon name="folder" size={14} />
                          <Text>{each.path ?? each.workspace_id}</Text>
                        </Link>
                      </td>
                      <td className="any">
                        <Text>{each.host ?? "unknown"}</Text>
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
    </div>
  );
}
