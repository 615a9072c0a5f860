import type { JSX } from "react";
import { Link } from "react-router";

import { useEvents } from "../api/queries";
import type { Detail } from "../api/types";
import { dropped, type Part } from "../lib/dropped";
import { plain } from "../lib/text";
import { plural } from "../lib/time";
import { Icon } from "../ui/icon";
import { Empty, Text, Time } from "../ui/kit";

const PATHS = 50;

/** In place of what `executor gc` dropped: what that was, when, and what is left. */
export function Dropped({ detail, title, paths = false }: { detail: Detail; title: string; paths?: boolean }): JSX.Element {
  const { affected_paths: affected } = detail.execution;
  return (
    <div className="card">
      <Empty icon="archive" title={title}>
        <p>
          <Told detail={detail} />
        </p>
        <p>The record stays whole: steps, decision, events, results of tests, and its place in the lineage.</p>
        {paths && affected.length > 0 && (
          <>
            <p>It was about {plural(affected.length, "file")}:</p>
            <ul>
              {affected.slice(0, PATHS).map((path) => (
                <li key={path}>
                  <code className="any">{plain(path)}</code>
                </li>
              ))}
              {affected.length > PATHS && <li className="dim">and {(affected.length - PATHS).toLocaleString("en")} more</li>}
            </ul>
          </>
        )}
        <div className="row wrap">
          <Link className="button" to="?tab=lineage">
            See its lineage
          </Link>
          <Link className="button" to="?tab=events">
            See the events
          </Link>
        </div>
      </Empty>
    </div>
  );
}

/** Above what is left. */
export function DroppedNote({ detail, children }: { detail: Detail; children: string }): JSX.Element | null {
  if (!detail.payload_dropped_at) return null;
  return (
    <p className="note grey">
      <Icon name="archive" />
      <span className="grow any">
        {children} <Told detail={detail} />
      </span>
    </p>
  );
}

function Told({ detail }: { detail: Detail }): JSX.Element {
  const events = useEvents(detail.execution.execution_id);
  const { parts, kept, actor } = dropped(events.data?.events ?? []);
  return (
    <>
      <code>executor gc</code> dropped <Parts parts={parts} /> <Time at={detail.payload_dropped_at} />
      {kept && `, to keep ${kept}`}
      {actor && (
        <>
          ; <Text>{actor}</Text> ran it
        </>
      )}
      .
    </>
  );
}

function Parts({ parts }: { parts: readonly Part[] }): JSX.Element {
  if (parts.length === 0) return <>its files, contents and logs</>;
  return (
    <>
      {parts.map((part, index) => (
        <span key={part.name}>
          {index > 0 && (index === parts.length - 1 ? " and " : ", ")}
          {part.name} <span className="num">({part.size})</span>
        </span>
      ))}
    </>
  );
}
