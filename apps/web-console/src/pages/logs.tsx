import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState, type JSX } from "react";
import { useSearchParams } from "react-router";

import { artifactPath, useArtifact, useArtifacts } from "../api/queries";
import type { Detail } from "../api/types";
import { ended } from "../lib/status";
import { logLine, looksLikeTrouble, plain, splitLines } from "../lib/text";
import { bytes, plural } from "../lib/time";
import { Icon } from "../ui/icon";
import { Awaited, Empty } from "../ui/kit";
import { Dropped } from "./dropped";

// Of a larger file the end is loaded; the whole of it is one click away, raw.
const WHOLE = 40_000_000;
const TAIL = 10_000;
const HEIGHT = 20;

export function Logs({ detail }: { detail: Detail }): JSX.Element {
  const { execution, steps } = detail;
  const [params, setParams] = useSearchParams();
  const grows = !ended(execution);
  const artifacts = useArtifacts(execution.execution_id, grows);
  return (
    <Awaited answer={artifacts}>
      {(answer) => {
        const logs = answer.artifacts.filter((artifact) => artifact.name.endsWith(".log"));
        const failed = steps.find((step) => step.status === "failed")?.log_ref;
        const name = params.get("log") ?? logs.find((log) => log.name === failed)?.name ?? logs.at(-1)?.name;
        const chosen = logs.find((log) => log.name === name);
        if (logs.length === 0 && detail.payload_dropped_at) return <Dropped detail={detail} title="The logs are no longer kept" />;
        if (logs.length === 0)
          return (
            <div className="card">
              <Empty icon="list" title="No logs">
                <p>Logs are what checks print. None has run, or an earlier version recorded it on another host.</p>
              </Empty>
            </div>
          );
        return (
          <div className="card">
            <div className="card-head">
              <label className="row grow">
                <span className="visually-hidden">Log</span>
                <select className="input log-choice" value={name} onChange={(event) => setParams({ tab: "logs", log: event.target.value })}>
                  {!chosen && name && <option value={name}>{plain(name)}</option>}
                  {logs.map((log) => (
                    <option key={log.name} value={log.name}>
                      {plain(log.name)} ({bytes(log.size)})
                    </option>
                  ))}
                </select>
              </label>
              {name && (
                <a className="button small" href={artifactPath(execution.execution_id, name)} target="_blank" rel="noreferrer">
                  <Icon name="download" size={14} /> Raw
                </a>
              )}
            </div>
            {name && <Log key={name} id={execution.execution_id} name={name} size={chosen?.size ?? 0} grows={grows} />}
          </div>
        );
      }}
    </Awaited>
  );
}

function Log({ id, name, size, grows }: { id: string; name: string; size: number; grows: boolean }): JSX.Element {
  const cut = size > WHOLE;
  const answer = useArtifact(id, name, cut ? TAIL : undefined, grows);
  return (
    <div>
      {cut && <p className="note amber">The last {TAIL.toLocaleString("en")} lines of {bytes(size)}.</p>}
      <Awaited answer={answer} rows={8}>
        {(text) => (text === "" ? <Empty icon="list" title="The log is empty"><p>The check printed nothing.</p></Empty> : <Lines text={text} />)}
      </Awaited>
    </div>
  );
}

function Lines({ text }: { text: string }): JSX.Element {
  const lines = useMemo(() => splitLines(text), [text]);
  const [params, setParams] = useSearchParams();
  const [sought, setSought] = useState("");
  const box = useRef<HTMLDivElement>(null);
  const linked = Number(params.get("line")) || 0;
  const [at, setAt] = useState(-1);
  const [trouble, setTrouble] = useState<readonly number[] | null>(null);
  useEffect(() => {
    // After the lines are drawn: looking through a long log takes a while.
    const timer = setTimeout(() => setTrouble(indices(lines, looksLikeTrouble)), 50);
    return () => clearTimeout(timer);
  }, [lines]);
  const found = useMemo(() => {
    const words = sought.toLowerCase();
    return words ? indices(lines, (line) => line.toLowerCase().includes(words)) : [];
  }, [lines, sought]);
  const virtual = useVirtualizer({ count: lines.length, getScrollElement: () => box.current, estimateSize: () => HEIGHT, overscan: 20 });
  const started = useRef(false);
  useEffect(() => {
    if (started.current) return;
    started.current = true;
    // A link to a line opens there; otherwise the end, where the outcome stands.
    if (linked > 0) virtual.scrollToIndex(Math.min(linked, lines.length) - 1, { align: "center" });
    else virtual.scrollToIndex(lines.length - 1, { align: "end" });
  }, [virtual, linked, lines.length]);
  const go = (indexes: readonly number[], by: 1 | -1): void => {
    if (indexes.length === 0) return;
    const next = by > 0 ? (indexes.find((index) => index > at) ?? indexes[0]) : (indexes.findLast((index) => index < at) ?? indexes.at(-1));
    if (next === undefined) return;
    setAt(next);
    virtual.scrollToIndex(next, { align: "center" });
  };
  const isFound = useMemo(() => new Set(found), [found]);
  return (
    <>
      <div className="card-head">
        <form
          className="search"
          role="search"
          onSubmit={(event) => {
            event.preventDefault();
            go(found, 1);
          }}
        >
          <Icon name="search" size={14} />
          <input className="input" type="search" aria-label="Search in the log" placeholder="Search in the log" value={sought} onChange={(event) => {
            setSought(event.target.value);
            setAt(-1);
          }} />
        </form>
        {sought && (
          <span className="dim num" role="status">
            {plural(found.length, "line")}
          </span>
        )}
        <span className="grow" />
        <span className="dim num">{plural(lines.length, "line")}</span>
        <button type="button" className="button small" disabled={!trouble?.length} onClick={() => go(trouble ?? [], 1)}>
          <Icon name="warning" size={14} /> {trouble?.length === 0 ? "No errors" : "Next error"}
        </button>
      </div>
      <div ref={box} className="log" style={{ height: `min(64vh, ${Math.max(lines.length, 6) * HEIGHT + 16}px)` }} tabIndex={0} role="region" aria-label="Lines of the log">
        <div style={{ height: virtual.getTotalSize(), position: "relative" }}>
          {virtual.getVirtualItems().map((item) => {
            const line = logLine(lines[item.index] ?? "");
            const number = item.index + 1;
            return (
              <div
                key={item.key}
                className="log-line"
                data-trouble={looksLikeTrouble(lines[item.index] ?? "")}
                data-found={isFound.has(item.index)}
                data-selected={number === linked || item.index === at}
                style={{ transform: `translateY(${item.start}px)` }}
              >
                <a
                  href={`?${withLine(params, number)}`}
                  aria-label={`line ${number}`}
                  tabIndex={-1}
                  onClick={(event) => {
                    event.preventDefault();
                    setParams(new URLSearchParams(withLine(params, number)), { replace: true });
                  }}
                >
                  {number}
                </a>
                <span>
                  {line.spans.map((span, index) => (
                    <span key={index} className={span.style}>
                      {span.text}
                    </span>
                  ))}
                  {line.hidden > 0 && <i className="dim"> … {line.hidden.toLocaleString("en")} more characters</i>}
                </span>
              </div>
            );
          })}
        </div>
      </div>
    </>
  );
}

function withLine(params: URLSearchParams, line: number): string {
  const changed = new URLSearchParams(params);
  changed.set("line", String(line));
  return changed.toString();
}

function indices(lines: readonly string[], passes: (line: string) => boolean): number[] {
  const result: number[] = [];
  lines.forEach((line, index) => {
    if (passes(line)) result.push(index);
  });
  return result;
}
