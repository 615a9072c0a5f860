/** The changed files as a tree beside the diff, or as a drop-down list where there is no room for one. */

import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState, type JSX, type KeyboardEvent } from "react";

import type { ChangedFile } from "../api/types";
import { fileRows, fileTree, matching, type FileRow } from "../lib/files";
import { plain } from "../lib/text";
import { plural } from "../lib/time";
import { Icon } from "../ui/icon";
import { Counts } from "../ui/kit";

const HEIGHT = 27;
// More folders than that begin folded.
const OPEN = 400;

interface Props {
  readonly files: readonly ChangedFile[];
  readonly selected: string;
  readonly select: (path: string) => void;
}

export function FileTree({ files, selected, select }: Props): JSX.Element {
  const [sought, setSought] = useState("");
  const found = useMemo(() => matching(files, sought), [files, sought]);
  const entries = useMemo(() => fileTree(found), [found]);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(
    () => new Set(files.length > OPEN ? fileRows(fileTree(files), new Set()).filter((row) => !row.entry.file && row.level > 0).map((row) => row.entry.path) : []),
  );
  // What is sought is shown, folded or not.
  const folded = useMemo(() => (sought ? new Set<string>() : chosen), [sought, chosen]);
  const rows = useMemo(() => fileRows(entries, folded), [entries, folded]);
  const [focused, setFocused] = useState(selected);
  const at = Math.max(0, rows.findIndex((row) => row.entry.path === focused));
  const box = useRef<HTMLDivElement>(null);
  const moved = useRef(false);
  const virtual = useVirtualizer({ count: rows.length, getScrollElement: () => box.current, estimateSize: () => HEIGHT, overscan: 10 });
  const toggle = (path: string): void =>
    setChosen((known) => {
      const next = new Set(known);
      if (!next.delete(path)) next.add(path);
      return next;
    });
  useEffect(() => {
    if (!moved.current) return;
    moved.current = false;
    virtual.scrollToIndex(at);
    requestAnimationFrame(() => box.current?.querySelector<HTMLElement>("[role=treeitem][tabindex='0']")?.focus());
  }, [at, rows, virtual]);
  const go = (index: number): void => {
    moved.current = true;
    setFocused(rows[Math.max(0, Math.min(rows.length - 1, index))]?.entry.path ?? "");
  };
  const act = (row: FileRow<ChangedFile>): void => {
    setFocused(row.entry.path);
    if (row.entry.file) select(row.entry.path);
    else toggle(row.entry.path);
  };
  const keys = (event: KeyboardEvent): void => {
    const row = rows[at];
    if (!row) return;
    const open = !row.entry.file && !folded.has(row.entry.path);
    if (event.key === "ArrowDown") go(at + 1);
    else if (event.key === "ArrowUp") go(at - 1);
    else if (event.key === "Home") go(0);
    else if (event.key === "End") go(rows.length - 1);
    else if (event.key === "ArrowRight" && !row.entry.file) {
      if (open) go(at + 1);
      else toggle(row.entry.path);
    } else if (event.key === "ArrowLeft") {
      if (open) toggle(row.entry.path);
      else if (row.parent >= 0) go(row.parent);
    } else if (event.key === "Enter" || event.key === " ") act(row);
    else return;
    event.preventDefault();
  };
  return (
    <nav className="card file-tree" aria-label="Changed files">
      <div className="search">
        <Icon name="filter" size={13} />
        <input className="input" type="search" aria-label="Filter files" placeholder="Filter files" value={sought} maxLength={1000} onChange={(event) => setSought(event.target.value)} />
      </div>
      {rows.length === 0 ? (
        <p className="dim">No file has that in its path.</p>
      ) : (
        <div ref={box} className="file-rows" role="tree" aria-label="Changed files" onKeyDown={keys} style={{ height: `min(${rows.length * HEIGHT}px, 100vh - 100px)` }}>
          <div role="presentation" style={{ height: virtual.getTotalSize(), position: "relative" }}>
            {virtual.getVirtualItems().map((item) => {
              const row = rows[item.index];
              if (!row) return null;
              const { entry } = row;
              const open = !folded.has(entry.path);
              return (
                <div
                  key={entry.path}
                  className="file-row"
                  role="treeitem"
                  aria-level={row.level + 1}
                  aria-selected={entry.path === selected}
                  aria-description={`${entry.file ? entry.file.operation : plural(entry.files, "file")}, ${entry.added} lines added, ${entry.removed} removed`}
                  {...(entry.file ? {} : { "aria-expanded": open })}
                  tabIndex={item.index === at ? 0 : -1}
                  title={plain(entry.path)}
                  onClick={() => act(row)}
                  onFocus={() => setFocused(entry.path)}
                  style={{ transform: `translateY(${item.start}px)`, paddingLeft: 8 + Math.min(row.level, 12) * 13 }}
                >
                  {entry.file ? <span className="operation" data-operation={entry.file.operation} /> : <Icon name={open ? "down" : "right"} size={12} />}
                  {!entry.file && <Icon name="folder" size={13} />}
                  <span className="cut grow" dir="auto">{plain(entry.name)}</span>
                  <Counts added={entry.added} removed={entry.removed} />
                  <span className="visually-hidden">{entry.file ? entry.file.operation : plural(entry.files, "file")}</span>
                </div>
              );
            })}
          </div>
        </div>
      )}
    </nav>
  );
}

// A list of more is no list.
const LISTED = 2_000;

export function FileSelect({ files, selected, select }: Props): JSX.Element {
  return (
    <label className="file-select">
      <span className="visually-hidden">Go to a file</span>
      <select className="input" value={files.some((file) => file.path === selected) ? selected : ""} onChange={(event) => select(event.target.value)}>
        <option value="" disabled>
          Go to a file
        </option>
        {files.slice(0, LISTED).map((file) => (
          <option key={file.path} value={file.path}>
            {plain(file.path)} (+{file.lines_added ?? 0} −{file.lines_removed ?? 0})
          </option>
        ))}
      </select>
    </label>
  );
}
