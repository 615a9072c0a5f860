/** Two attempts beside each other: how they came out, and where their changes differ. */

import { useMemo, useState, type JSX } from "react";
import { Link } from "react-router";

import { Problem } from "../api/client";
import { useDetail, useDiff } from "../api/queries";
import type { ChangedFile, Detail, Diff, Step } from "../api/types";
import { compare, folded, type ComparedFile, type Kind, type Pair, type PatchLine } from "../lib/compare";
import { STEP_TONES, words, type Tone } from "../lib/status";
import { oneLine, plain } from "../lib/text";
import { duration, ordinal, plural } from "../lib/time";
import { Icon } from "../ui/icon";
import { Badge, Counts as Lines, Empty, Id, Loading, Risk, Side, SIDES, Status, Text, Time, Took, Trouble } from "../ui/kit";

export function Comparison({ left, right }: { left: string; right: string }): JSX.Element {
  const details = [useDetail(left), useDetail(right)] as const;
  const diffs = [useDiff(left), useDiff(right)] as const;
  const failed = details.find((answer) => answer.error && !answer.data);
  if (failed?.error)
    return (
      <div className="card-body">
        <Trouble error={failed.error} again={() => void failed.refetch()} />
      </div>
    );
  const [one, other] = [details[0].data, details[1].data];
  if (!one || !other) return <Loading rows={6} />;
  return (
    <>
      <Outcomes details={[one, other]} />
      <Contents same={one.execution.checksum === other.execution.checksum} diffs={diffs} />
    </>
  );
}

function Outcomes({ details }: { details: readonly [Detail, Detail] }): JSX.Element {
  const row = (name: string, show: (detail: Detail) => JSX.Element | string, by: (detail: Detail) => unknown = () => null): JSX.Element => (
    <tr key={name} data-differs={by(details[0]) !== by(details[1])}>
      <th scope="row">{name}</th>
      {details.map((detail, index) => (
        <td key={index} className="any">
          {show(detail)}
        </td>
      ))}
    </tr>
  );
  const steps = [...new Set(details.flatMap((detail) => detail.steps.map((step) => step.step_name)))];
  return (
    <table className="table compared">
      <thead>
        <tr>
          <td />
          {details.map(({ execution }, index) => (
            <th key={index} scope="col">
              <span className="row">
                <Side index={index} />
                <Link className="link cut" to={`/executions/${encodeURIComponent(execution.execution_id)}`}>
                  {oneLine(execution.title, 80) || <Id id={execution.execution_id} />}
                </Link>
              </span>
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {row("Outcome", ({ execution }) => <Status of={execution} />, ({ execution }) => execution.status)}
        {row("Attempt", ({ execution }) => `${ordinal(execution.attempt)}, ${words(execution.trigger_kind)}`)}
        {row(
          "Error",
          ({ execution }) => (execution.error_message ? <Text>{oneLine(execution.error_message, 300)}</Text> : <span className="dim">none</span>),
          ({ execution }) => execution.error_message,
        )}
        {row("Risk", ({ execution }) => <Risk level={execution.risk_level} /> , ({ execution }) => execution.risk_level)}
        {row("Started", ({ execution }) => <Time at={execution.started_at} />)}
        {row("Took", ({ execution }) => <Took of={execution} />)}
        {steps.map((name) => row(`Step ${words(name)}`, ({ steps: own }) => <StepOf step={own.find((step) => step.step_name === name)} />, ({ steps: own }) => own.find((step) => step.step_name === name)?.status))}
      </tbody>
    </table>
  );
}

function StepOf({ step }: { step: Step | undefined }): JSX.Element {
  if (!step) return <span className="dim">not begun</span>;
  return (
    <span className="row wrap">
      <span className="status" data-tone={STEP_TONES[step.status] ?? "grey"}>
        <Icon name={step.status === "completed" ? "check" : step.status === "failed" ? "cross" : "pending"} size={14} />
        {words(step.status)}
      </span>
      <span className="soft num">{duration(step.duration_seconds)}</span>
    </span>
  );
}

interface Asked {
  readonly data: Diff | undefined;
  readonly error: Error | null;
  readonly refetch: () => unknown;
}

function Contents({ same, diffs }: { same: boolean; diffs: readonly [Asked, Asked] }): JSX.Element {
  const [one, other] = [diffs[0].data, diffs[1].data];
  const files = useMemo(() => (one && other ? compare(one, other) : []), [one, other]);
  if (same)
    return (
      <Empty icon="check" title="Both made the same change">
        <p>Byte for byte: what came out differently was not in the files.</p>
      </Empty>
    );
  const gone = diffs.findIndex((each) => each.error instanceof Problem && each.error.code === "artifact_not_found");
  if (gone >= 0)
    return (
      <Empty icon="file" title={`Of ${SIDES[gone] ?? ""} no contents are kept`}>
        <p>Whoever recorded it kept only the paths, so that the lines cannot be compared.</p>
      </Empty>
    );
  const failed = diffs.find((each) => each.error && !each.data);
  if (failed?.error)
    return (
      <div className="card-body">
        <Trouble error={failed.error} again={() => void failed.refetch()} />
      </div>
    );
  if (!one || !other) return <Loading rows={6} />;
  const count = (kind: Kind): number => files.filter((file) => file.kind === kind).length;
  return (
    <div className="card-body stack">
      <h3 className="row wrap">
        <span>The changes</span>
        {count("differs") > 0 && <Badge tone="amber">{plural(count("differs"), "file")} differ{count("differs") === 1 ? "s" : ""}</Badge>}
        {count("left") > 0 && <Badge>{plural(count("left"), "file")} only in A</Badge>}
        {count("right") > 0 && <Badge>{plural(count("right"), "file")} only in B</Badge>}
        {count("same") > 0 && <Badge tone="green">{plural(count("same"), "file")} the same</Badge>}
      </h3>
      {files.map((file) => (
        <FileCompared key={file.path} file={file} />
      ))}
    </div>
  );
}

const KINDS: Readonly<Record<Kind, { readonly word: string; readonly tone: Tone }>> = {
  same: { word: "the same", tone: "green" },
  differs: { word: "differs", tone: "amber" },
  left: { word: "only in A", tone: "grey" },
  right: { word: "only in B", tone: "grey" },
};
// So many rows are drawn without being asked for.
const MANY = 400;

function FileCompared({ file }: { file: ComparedFile }): JSX.Element {
  const [whole, setWhole] = useState(false);
  const stretches = useMemo(() => (whole ? [{ rows: file.pairs, hidden: 0 }] : folded(file.pairs)), [file, whole]);
  const drawn = stretches.reduce((sum, stretch) => sum + stretch.rows.length, 0);
  const [asked, setAsked] = useState(false);
  const kind = KINDS[file.kind];
  return (
    <section className="file framed" aria-label={plain(file.path)}>
      <div className="file-head">
        <Badge tone={kind.tone}>{kind.word}</Badge>
        <code className="grow any" dir="auto">{plain(file.path)}</code>
        {([file.left, file.right] as const).map((side, index) => side && <Counts key={index} index={index} file={side} />)}
      </div>
      {file.kind === "same" ? null : file.differing === 0 ? (
        <p className="card-body soft">The lines are the same, or cannot be shown: a binary file, another mode, or another file beneath.</p>
      ) : drawn > MANY && !asked ? (
        <p className="card-body">
          <button type="button" className="button" onClick={() => setAsked(true)}>
            Show {plural(drawn, "line")}
          </button>
        </p>
      ) : (
        <div className="pairs" tabIndex={0} role="group" aria-label={`where A and B differ in ${plain(file.path)}`}>
          {stretches.map((stretch, index) =>
            stretch.hidden > 0 ? (
              <button key={index} type="button" className="pairs-hidden" onClick={() => setWhole(true)}>
                {plural(stretch.hidden, "line")} in which nothing differs
              </button>
            ) : (
              stretch.rows.map((pair, at) => <PairRow key={`${index}.${at}`} pair={pair} />)
            ),
          )}
        </div>
      )}
    </section>
  );
}

function Counts({ file, index }: { file: ChangedFile; index: number }): JSX.Element {
  return (
    <span className="row num">
      <Side index={index} />
      <Lines added={file.lines_added ?? 0} removed={file.lines_removed ?? 0} />
    </span>
  );
}

function PairRow({ pair }: { pair: Pair }): JSX.Element {
  return (
    <div className="pair" data-differs={pair.differs}>
      {[pair.left, pair.right].map((line, index) => (
        <PatchSide key={index} line={line} index={index} differs={pair.differs} />
      ))}
    </div>
  );
}

const SIGN_NAMES = { "+": "insert", "-": "delete", " ": "normal" } as const;

function PatchSide({ line, index, differs }: { line: PatchLine | null; index: number; differs: boolean }): JSX.Element {
  return (
    <div className="pair-side" data-sign={line ? SIGN_NAMES[line.sign] : "none"}>
      <span className="pair-mark">{differs && line && <Side index={index} />}</span>
      <span className="pair-number num">{line?.number}</span>
      <span className="pair-sign">{line?.sign}</span>
      <code className="pair-text">{line?.text}</code>
    </div>
  );
}
