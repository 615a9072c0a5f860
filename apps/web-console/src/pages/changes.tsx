import { useMemo, useState, type JSX } from "react";
import { Diff, Hunk, type ViewType } from "react-diff-view";
import { useSearchParams } from "react-router";

import { Problem } from "../api/client";
import { useDiff } from "../api/queries";
import type { ChangedFile, Detail, Diff as Answer } from "../api/types";
import { patches, type Patch } from "../lib/patch";
import type { Tone } from "../lib/status";
import { plain } from "../lib/text";
import { plural } from "../lib/time";
import { Icon } from "../ui/icon";
import { Awaited, Badge, Card, Empty } from "../ui/kit";

// A file with more changed lines is drawn when it is asked for.
const MANY = 600;

export function Changes({ id, detail, only = false }: { id: string; detail: Detail; only?: boolean }): JSX.Element {
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
  const view: ViewType = params.get("diff") === "split" ? "split" : "unified";
  const drawn = useMemo(() => patches(diff.diff), [diff.diff]);
  const change = (next: ViewType): void =>
    setParams((known) => {
      const changed = new URLSearchParams(known);
      if (next === "split") changed.set("diff", "split");
      else changed.delete("diff");
      return changed;
    });
  if (diff.files.length === 0)
    return (
      <div className="card">
        <Empty icon="file" title="No files were changed">
          <p>The change was empty, or was recorded by a program that kept no contents.</p>
        </Empty>
      </div>
    );
  const { execution } = detail;
  const state = execution.status === "completed" ? "applied" : execution.rolled_back ? "applied, then put back" : "not in the workspace";
  const added = diff.files.reduce((sum, file) => sum + (file.lines_added ?? 0), 0);
  const removed = diff.files.reduce((sum, file) => sum + (file.lines_removed ?? 0), 0);
  return (
    <div className="stack">
      <div className="row wrap between">
        <div className="row wrap">
          <strong>{plural(diff.files.length, "file")}</strong>
          <span className="plus">+{added}</span>
          <span className="minus">−{removed}</span>
          <Badge tone={execution.status === "completed" ? "green" : "grey"}>{state}</Badge>
        </div>
        <div className="segments" role="group" aria-label="How to show it">
          {(["unified", "split"] as const).map((each) => (
            <button key={each} type="button" aria-pressed={view === each} onClick={() => change(each)}>
              {each}
            </button>
          ))}
        </div>
      </div>
      <div className={only || diff.files.length < 2 ? "stack" : "files"}>
        {!only && diff.files.length > 1 && (
          <nav className="card file-list" aria-label="Changed files">
            {diff.files.map((file) => (
              <a key={file.path} href={`#${encodeURIComponent(file.path)}`} title={plain(file.path)} onClick={(event) => {
                event.preventDefault();
                document.getElementById(`file ${file.path}`)?.scrollIntoView({ block: "start" });
              }}>
                <Icon name="file" size={13} />
                <span className="cut grow" dir="auto">{plain(file.path)}</span>
                <Counts file={file} />
              </a>
            ))}
          </nav>
        )}
        <div>
          {diff.files.map((file) => (
            <File key={file.path} file={file} drawn={drawn.get(file.path)} view={view} />
          ))}
        </div>
      </div>
    </div>
  );
}

function Counts({ file }: { file: ChangedFile }): JSX.Element {
  return (
    <span className="num">
      {file.lines_added ? <span className="plus">+{file.lines_added}</span> : null} {file.lines_removed ? <span className="minus">−{file.lines_removed}</span> : null}
    </span>
  );
}

const TONES: Readonly<Record<string, Tone>> = { create: "green", update: "blue", delete: "red" };

function File({ file, drawn: shown, view }: { file: ChangedFile; drawn: Patch | undefined; view: ViewType }): JSX.Element {
  const [asked, setAsked] = useState(false);
  const hidden = shown !== undefined && shown.lines > MANY && !asked;
  return (
    <section className="card file" id={`file ${file.path}`} aria-label={plain(file.path)}>
      <div className="file-head">
        <Badge tone={TONES[file.operation] ?? "grey"}>{file.operation}</Badge>
        <code className="grow any" dir="auto">{plain(file.path)}</code>
        <Counts file={file} />
      </div>
      {shown === undefined || shown.file.hunks.length === 0 ? (
        <p className="card-body soft">{shown?.file.isBinary ? "A binary file: its contents are not shown." : "No lines to show: an empty or binary file, or only its mode changed."}</p>
      ) : hidden ? (
        <p className="card-body">
          <button type="button" className="button" onClick={() => setAsked(true)}>
            Show {plural(shown.lines, "line")}
          </button>
        </p>
      ) : (
        <div className="diff-scroll" tabIndex={0} role="group" aria-label={`difference of ${plain(file.path)}`}>
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
