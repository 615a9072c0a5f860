import { useEffect, useMemo, useState, type JSX } from "react";
import { Diff, Hunk, type ViewType } from "react-diff-view";
import { Link, useSearchParams } from "react-router";

import { Problem } from "../api/client";
import { useDiff } from "../api/queries";
import type { ChangedFile, Detail, Diff as Answer } from "../api/types";
import { useNarrow } from "../lib/narrow";
import { patches, type Patch } from "../lib/patch";
import type { Tone } from "../lib/status";
import { plain } from "../lib/text";
import { plural, shortId } from "../lib/time";
import { Icon } from "../ui/icon";
import { Awaited, Badge, Card, Counts, Empty } from "../ui/kit";
import { Dropped } from "./dropped";
import { FileSelect, FileTree } from "./filetree";

// A file with more changed lines is drawn when it is asked for, and so is what comes after so many lines and files.
const MANY = 600;
const LINES = 4_000;
const BATCH = 100;

export function Changes(of: { id: string; detail: Detail; only?: boolean }): JSX.Element {
  if (of.detail.payload_dropped_at) return <Dropped detail={of.detail} title="The change is no longer kept" paths />;
  return <Kept {...of} />;
}

function Kept({ id, detail, only = false }: { id: string; detail: Detail; only?: boolean }): JSX.Element {
  const answer = useDiff(id);
  if (answer.error instanceof Problem && answer.error.code === "artifact_not_found")
    return (
      <div className="card">
        <Empty icon="file" title="No contents are kept">
          <p>Whoever recorded this kept only the paths:</p>
          <ul>
            {detail.execution.affected_paths.slice(0, 50).map((path) => (
              <li key={path}>
                <code className="any">{plain(path)}</code>
              </li>
            ))}
          </ul>
        </Empty>
      </div>
    );
  return (
    <Awaited answer={answer} rows={8}>
      {(diff) => <Shown diff={diff} detail={detail} only={only} />}
    </Awaited>
  );
}

function Shown({ diff, detail, only }: { diff: Answer; detail: Detail; only: boolean }): JSX.Element {
  const [params, setParams] = useSearchParams();
  // On a phone two columns of code are none.
  const narrow = useNarrow();
  const view: ViewType = params.get("diff") === "split" && !narrow ? "split" : "unified";
  const selected = params.get("file") ?? "";
  const drawn = useMemo(() => patches(diff.diff), [diff.diff]);
  const change = (name: string, value: string): void =>
    setParams(
      (known) => {
        const changed = new URLSearchParams(known);
        if (value) changed.set(name, value);
        else changed.delete(name);
        return changed;
      },
      { replace: true },
    );
  if (diff.files.length === 0)
    return (
      <div className="card">
        <Empty icon="file" title="No files were changed">
          <p>The change was empty, or was recorded by a program that kept no contents.</p>
        </Empty>
      </div>
    );
  const total = (of: "lines_added" | "lines_removed"): number => diff.files.reduce((sum, file) => sum + (file[of] ?? 0), 0);
  const several = diff.files.length > 1;
  const select = (path: string): void => change("file", path);
  return (
    <div className="stack">
      <div className="row wrap between">
        <div className="row wrap">
          <strong>{plural(diff.files.length, "file")}</strong>
          <Counts added={total("lines_added")} removed={total("lines_removed")} />
          <State detail={detail} />
        </div>
        <div className="segments wide-only" role="group" aria-label="How to show it">
          {(["unified", "split"] as const).map((each) => (
            <button key={each} type="button" aria-pressed={view === each} onClick={() => change("diff", each === "split" ? each : "")}>
              {each}
            </button>
          ))}
        </div>
      </div>
      {several && (
        <div className={only ? "" : "narrow-only"}>
          <FileSelect files={diff.files} selected={selected} select={select} />
        </div>
      )}
      <div className={only || !several ? "stack" : "files"}>
        {!only && several && <FileTree files={diff.files} selected={selected} select={select} />}
        <Files files={diff.files} drawn={drawn} view={view} selected={selected} />
      </div>
    </div>
  );
}

/** Whether the workspace has the change. */
function State({ detail }: { detail: Detail }): JSX.Element {
  const { execution, reverted_by } = detail;
  if (reverted_by !== null)
    return (
      <Link to={`/executions/${encodeURIComponent(reverted_by)}`}>
        <Badge tone="amber" icon="undo">
          reverted by {shortId(plain(reverted_by))}
        </Badge>
      </Link>
    );
  if (execution.status === "completed")
    return (
      <Badge tone="green" icon="check">
        applied
      </Badge>
    );
  return <Badge>{execution.rolled_back ? "applied, then put back" : "not in the workspace"}</Badge>;
}

/** Where the file is whose path is selected, and so many after it. */
function Files({ files, drawn, view, selected }: { files: readonly ChangedFile[]; drawn: ReadonlyMap<string, Patch>; view: ViewType; selected: string }): JSX.Element {
  const at = files.findIndex((file) => file.path === selected);
  const [range, setRange] = useState({ from: 0, to: BATCH });
  const shown = at < 0 || (at >= range.from && at < range.to) ? range : { from: at, to: at + BATCH };
  if (shown !== range) setRange(shown);
  const part = files.slice(shown.from, shown.to);
  let budget = LINES;
  const unasked = new Set<string>();
  for (const file of part) {
    const { lines } = drawn.get(file.path) ?? { lines: 0 };
    budget -= lines;
    if (lines <= MANY && (budget >= 0 || file.path === selected)) unasked.add(file.path);
  }
  const before = Math.min(BATCH, shown.from);
  const after = Math.min(BATCH, files.length - shown.to);
  useEffect(() => {
    if (selected) document.getElementById(`file ${selected}`)?.scrollIntoView({ block: "start" });
  }, [selected]);
  return (
    <div className="stack">
      {before > 0 && (
        <button type="button" className="button" onClick={() => setRange({ ...shown, from: shown.from - before })}>
          Show the {plural(before, "file")} before
        </button>
      )}
      {part.map((file) => (
        <File key={file.path} file={file} drawn={drawn.get(file.path)} view={view} unasked={unasked.has(file.path)} />
      ))}
      {after > 0 && (
        <button type="button" className="button" onClick={() => setRange({ ...shown, to: shown.to + after })}>
          Show {after.toLocaleString("en")} of {plural(files.length - shown.to, "more file")}
        </button>
      )}
    </div>
  );
}

function withoutLines(file: ChangedFile, shown: Patch | undefined): string {
  if (shown?.file.isBinary) return "A binary file: its contents are not shown.";
  if (file.old_sha256 !== null && file.old_sha256 === file.new_sha256) return "Only its mode changed.";
  return file.operation === "update" ? "It has no lines to show." : "An empty file.";
}

const TONES: Readonly<Record<string, Tone>> = { create: "green", update: "blue", delete: "red" };

function File({ file, drawn: shown, view, unasked }: { file: ChangedFile; drawn: Patch | undefined; view: ViewType; unasked: boolean }): JSX.Element {
  const [asked, setAsked] = useState(false);
  const [folded, setFolded] = useState(false);
  const path = plain(file.path);
  return (
    <section className="card file" id={`file ${file.path}`} aria-label={path}>
      <div className="file-head" data-folded={folded}>
        <button type="button" className="twist" aria-expanded={!folded} aria-label={`${folded ? "unfold" : "fold"} ${path}`} onClick={() => setFolded(!folded)}>
          <Icon name="down" size={13} />
        </button>
        <Badge tone={TONES[file.operation] ?? "grey"}>{file.operation}</Badge>
        <code className="grow any" dir="auto">{path}</code>
        <Counts added={file.lines_added ?? 0} removed={file.lines_removed ?? 0} />
      </div>
      {folded ? null : shown === undefined || shown.file.hunks.length === 0 ? (
        <p className="card-body soft">{withoutLines(file, shown)}</p>
      ) : !unasked && !asked ? (
        <p className="card-body">
          <button type="button" className="button" onClick={() => setAsked(true)}>
            Show {plural(shown.lines, "line")}
          </button>
        </p>
      ) : (
        <div className="diff-scroll" tabIndex={0} role="group" aria-label={`difference of ${path}`}>
          <Diff viewType={view} diffType={shown.file.type} hunks={shown.file.hunks}>
            {(hunks) => hunks.map((hunk) => <Hunk key={hunk.content + String(hunk.oldStart)} hunk={hunk} />)}
          </Diff>
        </div>
      )}
    </section>
  );
}

export function ChangesCard({ id, detail }: { id: string; detail: Detail }): JSX.Element {
  return (
    <Card title="The change">
      <div className="card-body">
        <Changes id={id} detail={detail} only />
      </div>
    </Card>
  );
}
