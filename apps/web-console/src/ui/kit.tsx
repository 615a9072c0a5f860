/** The small parts every page is made of. */

import { useEffect, useId, useRef, useState, type JSX, type ReactNode } from "react";

import { Problem } from "../api/client";
import { awaiting, RISK_TONES, statusOf, VERDICT_TONES, words, type Tone } from "../lib/status";
import { plain } from "../lib/text";
import { absoluteTime, duration, parseTime, relativeTime, shortId } from "../lib/time";
import { useNow } from "../lib/now";
import { Icon, type IconName } from "./icon";

/** Text from outside: a text node, kept from reordering what stands around it. */
export function Text({ children, className = "" }: { children: string | null | undefined; className?: string }): JSX.Element {
  return (
    <span className={`any ${className}`} dir="auto">
      {plain(children ?? "")}
    </span>
  );
}

/** `brief`: on a phone the word is only read out and shown by the icon's shape. */
export function Status({ of, big = false, brief = false }: { of: { status: string; verdict: string }; big?: boolean; brief?: boolean }): JSX.Element {
  const shown = statusOf(of);
  return (
    <span className={big ? "badge big" : "status"} data-tone={shown.tone}>
      <Icon name={shown.icon} size={big ? 16 : 15} spin={shown.icon === "running"} />
      {brief ? <span className="status-word">{shown.word}</span> : shown.word}
    </span>
  );
}

export function Badge({ tone = "grey", icon, children, title }: { tone?: Tone; icon?: IconName; children: ReactNode; title?: string }): JSX.Element {
  return (
    <span className="badge" data-tone={tone} title={title}>
      {icon && <Icon name={icon} size={13} />}
      <span className="cut">{children}</span>
    </span>
  );
}

export function Risk({ level }: { level: string | null }): JSX.Element | null {
  if (!level) return null;
  return (
    <Badge tone={RISK_TONES[level] ?? "grey"} {...(level === "high" || level === "critical" ? { icon: "warning" as const } : {})}>
      {level} risk
    </Badge>
  );
}

export function Verdict({ verdict }: { verdict: string }): JSX.Element {
  const icon = verdict === "allow" ? "check" : verdict === "deny" ? "ban" : "hand";
  return (
    <Badge tone={VERDICT_TONES[verdict] ?? "grey"} icon={icon}>
      {verdict === "need_approval" ? "needs approval" : words(verdict)}
    </Badge>
  );
}

export function Time({ at }: { at: string | null | undefined }): JSX.Element {
  const now = useNow();
  if (!at) return <span className="dim">–</span>;
  return (
    <time className="num" dateTime={at} title={absoluteTime(at)}>
      {relativeTime(at, now)}
    </time>
  );
}

/** How long it took, or has been going on. */
export function Took({ of }: { of: { status: string; verdict: string; started_at: string; duration_seconds: number | null; ended_at: string | null } }): JSX.Element {
  const now = useNow();
  const started = parseTime(of.started_at);
  if (of.duration_seconds !== null || of.ended_at !== null || started === null) return <span className="num">{duration(of.duration_seconds)}</span>;
  if (awaiting(of)) return <span className="num">waits {duration(Math.max(0, now - started) / 1000)}</span>;
  return <span className="num">{duration(Math.max(0, now - started) / 1000)}</span>;
}

export function Id({ id }: { id: string }): JSX.Element {
  return (
    <code className="dim" title={plain(id)}>
      {plain(shortId(id))}
    </code>
  );
}

/** Lines added and removed. */
export function Counts({ added, removed }: { added: number; removed: number }): JSX.Element {
  return (
    <span className="num counts">
      {added > 0 && <span className="plus">+{added.toLocaleString("en")}</span>}
      {removed > 0 && <span className="minus">−{removed.toLocaleString("en")}</span>}
    </span>
  );
}

export const SIDES = ["A", "B"] as const;

/** Which of two that are compared. */
export function Side({ index }: { index: number }): JSX.Element {
  return (
    <span className="side-letter" data-side={SIDES[index]}>
      {SIDES[index]}
    </span>
  );
}

export function Copy({ text, label, children }: { text: string; label: string; children?: ReactNode }): JSX.Element {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 1_600);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <button
      type="button"
      className={children ? "button small" : "button small plain square"}
      title={label}
      aria-label={copied ? "copied" : label}
      onClick={() => void navigator.clipboard.writeText(text).then(() => setCopied(true))}
    >
      <Icon name={copied ? "check" : "copy"} size={14} />
      {children}
    </button>
  );
}

export function Card({ title, side, children, className = "" }: { title?: ReactNode; side?: ReactNode; children: ReactNode; className?: string }): JSX.Element {
  const id = useId();
  return (
    <section className={`card ${className}`} aria-labelledby={title ? id : undefined}>
      {title && (
        <div className="card-head">
          <h2 id={id} className="grow">
            {title}
          </h2>
          {side}
        </div>
      )}
      {children}
    </section>
  );
}

export function Empty({ icon, title, children }: { icon: IconName; title: string; children?: ReactNode }): JSX.Element {
  return (
    <div className="empty">
      <Icon name={icon} size={26} />
      <strong>{title}</strong>
      {children}
    </div>
  );
}

const WIDTHS = [72, 54, 63, 40];

export function Loading({ rows = 4 }: { rows?: number }): JSX.Element {
  return (
    <div className="loading" role="status" aria-label="loading">
      {Array.from({ length: rows }, (_, index) => (
        <div key={index} className="skeleton" style={{ width: `${WIDTHS[index % WIDTHS.length] ?? 50}%` }} />
      ))}
    </div>
  );
}

/** What went wrong with one panel, and what to do; the rest of the page stays. */
export function Trouble({ error, again }: { error: Error; again: () => void }): JSX.Element {
  const problem = error instanceof Problem ? error : null;
  const session = problem?.needsSession ?? false;
  // What is not there will not be there the next time either.
  if (problem?.status === 404)
    return (
      <div className="card" role="alert">
        <Empty icon="search" title="Not found">
          <p className="any">{plain(problem.message)}</p>
          <a className="button" href="/ui/executions?view=all">
            Go to the executions
          </a>
        </Empty>
      </div>
    );
  return (
    <div className="problem" role="alert">
      <Icon name={session ? "shield" : "warning"} size={18} />
      <div className="grow">
        <strong>{session ? "This needs a session" : "This could not be loaded"}</strong>
        <p className="any">{session ? "Open the one-time address that `executor serve` prints when it starts." : plain(error.message)}</p>
        {problem?.requestId && (
          <p>
            Request <code>{problem.requestId}</code>
          </p>
        )}
      </div>
      <button type="button" className="button small" onClick={again}>
        <Icon name="retry" size={14} /> Try again
      </button>
    </div>
  );
}

export interface Answer<T> {
  readonly data: T | undefined;
  readonly error: Error | null;
  readonly refetch: () => unknown;
}

/** A panel of an answer: while it is awaited, when it failed, and when it is there. */
export function Awaited<T>({ answer, rows = 4, children }: { answer: Answer<T>; rows?: number; children: (data: T) => ReactNode }): JSX.Element {
  if (answer.data !== undefined) return <>{children(answer.data)}</>;
  if (answer.error) return <Trouble error={answer.error} again={() => void answer.refetch()} />;
  return <Loading rows={rows} />;
}

export function Dialog({ title, open, close, children }: { title: string; open: boolean; close: () => void; children: ReactNode }): JSX.Element | null {
  const box = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    if (!open) return;
    box.current?.showModal();
    // What is to be written comes first; the browser would choose the list of files above it.
    box.current?.querySelector("textarea")?.focus();
    return () => {
      // Afterwards the browser goes back to the button, which may have gone with what it was for.
      requestAnimationFrame(() => {
        if (document.activeElement === document.body) document.getElementById("main")?.focus({ preventScroll: true });
      });
    };
  }, [open]);
  if (!open) return null;
  return (
    <dialog
      ref={box}
      aria-labelledby={id}
      onClose={close}
      onMouseDown={(event) => {
        if (event.target === box.current) close();
      }}
    >
      <div className="dialog">
        <h1 id={id}>{title}</h1>
        {children}
      </div>
    </dialog>
  );
}

export function Menu({ label, icon, children, end = false, plainButton = false }: { label: string; icon?: IconName; children: (close: () => void) => ReactNode; end?: boolean; plainButton?: boolean }): JSX.Element {
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // The item that was chosen made room for others: the keyboard goes on with these.
    if (open && document.activeElement === document.body) box.current?.querySelector<HTMLElement>(".menu-list button, .menu-list input")?.focus();
  });
  useEffect(() => {
    if (!open) return;
    const outside = (event: MouseEvent): void => {
      if (!box.current?.contains(event.target as globalThis.Node)) setOpen(false);
    };
    document.addEventListener("mousedown", outside);
    return () => document.removeEventListener("mousedown", outside);
  }, [open]);
  return (
    <div
      className="menu"
      ref={box}
      onKeyDown={(event) => {
        if (event.key === "Escape" && open) {
          setOpen(false);
          event.stopPropagation();
          box.current?.querySelector("button")?.focus();
        }
        if (!open || (event.key !== "ArrowDown" && event.key !== "ArrowUp")) return;
        event.preventDefault();
        const items = [...(box.current?.querySelectorAll<HTMLElement>(".menu-list button, .menu-list input") ?? [])];
        const at = items.indexOf(document.activeElement as HTMLElement);
        items[(at + (event.key === "ArrowDown" ? 1 : -1) + items.length) % items.length]?.focus();
      }}
    >
      <button type="button" className={plainButton ? "button plain small" : "button small"} aria-expanded={open} onClick={() => setOpen(!open)}>
        {icon && <Icon name={icon} size={14} />}
        {label}
        <Icon name="down" size={12} />
      </button>
      {open && <div className={end ? "menu-list end" : "menu-list"}>{children(() => setOpen(false))}</div>}
    </div>
  );
}
