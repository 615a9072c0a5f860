import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type JSX } from "react";
import { Link, useNavigate } from "react-router";

import { executionPath, post, Problem } from "../api/client";
import { useEvents, useWorkspaces } from "../api/queries";
import type { Accepted, ChangedSince, Detail } from "../api/types";
import { awaiting, ended } from "../lib/status";
import { oneLine, plain } from "../lib/text";
import { plural } from "../lib/time";
import { Icon, type IconName } from "../ui/icon";
import { Dialog, Id } from "../ui/kit";

interface Action {
  readonly name: string;
  readonly path: string;
  readonly icon: IconName;
  readonly look: string;
  /** What the button of the confirmation does, in a sentence. */
  readonly asks: string;
  /** The field for words, and whether they are needed. */
  readonly words: { readonly label: string; readonly field: "reason" | "why"; readonly needed: boolean } | null;
  readonly body?: Readonly<Record<string, unknown>>;
}

const APPROVE: Action = {
  name: "Approve", path: "approve", icon: "check", look: "primary",
  asks: "The change runs at once: it is applied, verified, and put back if a check fails.",
  words: { label: "Note", field: "reason", needed: false },
};
const DENY: Action = {
  name: "Deny", path: "deny", icon: "ban", look: "danger", asks: "The change does not run. Whoever proposed it sees the reason.",
  words: { label: "Reason", field: "reason", needed: true },
};
const WITHDRAW: Action = {
  name: "Cancel", path: "cancel", icon: "close", look: "", asks: "The change is withdrawn and does not run.",
  words: { label: "Reason", field: "reason", needed: false },
};
const STOP: Action = {
  name: "Cancel", path: "cancel", icon: "close", look: "danger", asks: "The execution is stopped, and what it changed is put back.",
  words: { label: "Reason", field: "reason", needed: false },
};
const RETRY: Action = {
  name: "Retry", path: "retry", icon: "retry", look: "primary", asks: "The same change is judged, applied and verified again, as a child of this execution.",
  words: { label: "Why", field: "why", needed: false },
};
const REVERT: Action = {
  name: "Revert", path: "revert", icon: "undo", look: "", asks: "These files become as they were before, and keep what other lines changed since. It is judged and verified like any change.",
  words: { label: "Why", field: "why", needed: false },
};
const DISMISS: Action = {
  name: "Dismiss", path: "dismiss", icon: "eye", look: "", asks: "It no longer needs attention. This can be undone.",
  words: { label: "Reason", field: "reason", needed: true }, body: { undo: false },
};
const UNDISMISS: Action = {
  name: "Undo dismissal", path: "dismiss", icon: "undo", look: "", asks: "It needs attention again.", words: null, body: { undo: true },
};

/** What can be done about an execution now. */
function useActions(detail: Detail): readonly Action[] {
  const { execution } = detail;
  const events = useEvents(execution.execution_id);
  const workspaces = useWorkspaces();
  // Another server applies what belongs to another workspace; here it can only be read.
  if (!workspaces.data?.workspaces.some((each) => each.served && each.workspace_id === execution.workspace_id)) return [];
  if (awaiting(execution)) return [APPROVE, DENY, WITHDRAW];
  if (!ended(execution)) return [STOP];
  // Without the contents it can neither be applied again nor undone.
  const whole = !detail.payload_dropped_at;
  if (execution.status === "completed") return whole && detail.reverted_by === null && execution.files_changed > 0 ? [REVERT] : [];
  const last = events.data?.events.findLast((event) => event.event === "dismissed" || event.event === "undismissed");
  // Where something has made up for it, trying again is possible, and not what to do next.
  return [...(whole ? [detail.unresolved ? RETRY : { ...RETRY, look: "" }] : []), ...(detail.unresolved ? [DISMISS] : last?.event === "dismissed" ? [UNDISMISS] : [])];
}

export function Actions({ detail }: { detail: Detail }): JSX.Element {
  const [chosen, setChosen] = useState<Action | null>(null);
  const actions = useActions(detail);
  return (
    <>
      {actions.map((action) => (
        <button key={action.name} type="button" className={`button small ${action.look}`} onClick={() => setChosen(action)}>
          <Icon name={action.icon} size={14} /> {action.name}
        </button>
      ))}
      {chosen && <Confirm action={chosen} detail={detail} close={() => setChosen(null)} />}
    </>
  );
}

const SHOWN = 100;

function Confirm({ action, detail, close }: { action: Action; detail: Detail; close: () => void }): JSX.Element {
  const { execution } = detail;
  const client = useQueryClient();
  const navigate = useNavigate();
  const [words, setWords] = useState("");
  // One wish, however often the button is pressed or the answer is lost.
  const [key] = useState(() => crypto.randomUUID());
  const [already, setAlready] = useState<Accepted | null>(null);
  const mutation = useMutation({
    mutationFn: () => {
      const said = action.words && words.trim() ? { [action.words.field]: words.trim() } : {};
      return post<Accepted>(executionPath(execution.execution_id, `/${action.path}`), { ...action.body, ...said }, key);
    },
    onSuccess: (accepted) => {
      void client.invalidateQueries({ predicate: (query) => query.queryKey[0] !== "pages" });
      // Nothing ran: the reader is told so, and is not led to what looks like the answer.
      if (accepted.already_applied) {
        setAlready(accepted);
        return;
      }
      close();
      if (accepted.execution_id !== execution.execution_id) void navigate(`/executions/${encodeURIComponent(accepted.execution_id)}`);
    },
  });
  const problem = mutation.error;
  const paths = execution.affected_paths;
  return (
    <Dialog title={`${action.name}: ${oneLine(execution.title, 120) || execution.execution_id}`} open close={close}>
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          mutation.mutate();
        }}
      >
        <p className="soft">{action.asks}</p>
        {action.path !== "dismiss" && paths.length > 0 && (
          <div className="field">
            <span>{plural(paths.length, "file")}</span>
            <ul className="paths" tabIndex={0} aria-label="Files">
              {paths.slice(0, SHOWN).map((path) => (
                <li key={path}>
                  <code className="any">{plain(path)}</code>
                </li>
              ))}
              {paths.length > SHOWN && <li className="dim">and {paths.length - SHOWN} more</li>}
            </ul>
          </div>
        )}
        {action.words && (
          <label className="field">
            {action.words.label}
            {!action.words.needed && " (optional)"}
            <textarea className="input" autoFocus required={action.words.needed} maxLength={1000} value={words} onChange={(event) => setWords(event.target.value)} />
          </label>
        )}
        {already && (
          <div className="note" role="status">
            <Icon name="check" />
            <span className="grow">
              Nothing to do: the files are so already, by{" "}
              <Link className="link" to={`/executions/${encodeURIComponent(already.execution_id)}`} onClick={close}>
                <Id id={already.execution_id} />
              </Link>
            </span>
          </div>
        )}
        {problem instanceof Problem && problem.conflict ? (
          <InTheWay conflict={problem.conflict} close={close} />
        ) : problem && (
          <div className="problem" role="alert">
            <Icon name="warning" />
            <div className="grow">
              <strong>{problem instanceof Problem && problem.needsSession ? "This needs a session" : "Not done"}</strong>
              <p className="any">
                {problem instanceof Problem && problem.needsSession ? "Open the one-time address that `executor serve` prints when it starts." : plain(problem.message)}
              </p>
              {problem instanceof Problem && problem.requestId && (
                <p>
                  Request <code>{problem.requestId}</code>
                </p>
              )}
            </div>
          </div>
        )}
        <div className="dialog-end">
          <button type="button" className="button" onClick={close}>
            Go back
          </button>
          <button type="submit" className={`button ${action.look === "danger" ? "danger" : "primary"}`} disabled={mutation.isPending || already !== null}>
            <Icon name={action.icon} size={14} /> {action.path === "approve" ? "Approve and run" : action.name}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** What changed since, so that it cannot be undone; and by what, so that this can be undone before. */
function InTheWay({ conflict, close }: { conflict: ChangedSince; close: () => void }): JSX.Element {
  return (
    <div className="problem" role="alert">
      <Icon name="warning" />
      <div className="grow">
        <strong>Changed since: nothing was undone</strong>
        <ul className="paths" tabIndex={0} aria-label="Files in the way">
          {conflict.paths.slice(0, SHOWN).map(({ path, reason }) => (
            <li key={path} className="any">
              <code>{plain(path)}</code> <span className="soft">{plain(reason)}</span>
            </li>
          ))}
        </ul>
        {conflict.executions.length > 0 && (
          <>
            <p>Revert these first, in this order:</p>
            <ol className="row wrap">
              {conflict.executions.slice(0, SHOWN).map((id) => (
                <li key={id}>
                  <Link className="link" to={`/executions/${encodeURIComponent(id)}`} onClick={close}>
                    <Id id={id} />
                  </Link>
                </li>
              ))}
            </ol>
          </>
        )}
        {conflict.edited.length > 0 && (
          <p className="any">
            Edited outside Executor, to be merged by hand: <code>{conflict.edited.slice(0, 8).map(plain).join(", ")}</code>
          </p>
        )}
      </div>
    </div>
  );
}
