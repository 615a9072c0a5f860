import type { JSX } from "react";

// Own drawings on a grid of 16, so that no glyph of a font can be missing.
const PATHS = {
  check: "M8 1.75a6.25 6.25 0 1 0 0 12.5a6.25 6.25 0 0 0 0-12.5M5.2 8.2l2 2l3.7-4.1",
  cross: "M8 1.75a6.25 6.25 0 1 0 0 12.5a6.25 6.25 0 0 0 0-12.5M5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4",
  undo: "M3 6.5h6.2a3.6 3.6 0 0 1 0 7.2H6M3 6.5l3-3M3 6.5l3 3",
  ban: "M8 1.75a6.25 6.25 0 1 0 0 12.5a6.25 6.25 0 0 0 0-12.5M3.7 3.7l8.6 8.6",
  hand: "M8 1.75a6.25 6.25 0 1 0 0 12.5a6.25 6.25 0 0 0 0-12.5M6.2 6.3a1.8 1.8 0 1 1 2.5 1.8c-.5.2-.7.5-.7 1M8 11.2v.1",
  running: "M8 1.75a6.25 6.25 0 1 1-6.25 6.25",
  pending: "M8 1.75a6.25 6.25 0 1 0 0 12.5a6.25 6.25 0 0 0 0-12.5M8 4.8V8l2 1.4",
  list: "M5.5 4h8M5.5 8h8M5.5 12h8M2.3 4h.1M2.3 8h.1M2.3 12h.1",
  inbox: "M2 9h3.2l1 2h3.6l1-2H14M2 9l2-6h8l2 6v4H2z",
  chart: "M2.5 13.5h11M4.5 11V7.5M8 11V3.5M11.5 11V6",
  pulse: "M1.5 8.5h3l2-5l3 9l2-4h3",
  search: "M7 2.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 0 0 0-9M10.3 10.3l3.4 3.4",
  filter: "M2 3.5h12L9.6 8.6V13l-3.2-1.6V8.6z",
  plus: "M8 3v10M3 8h10",
  close: "M4 4l8 8M12 4l-8 8",
  down: "M4 6l4 4l4-4",
  right: "M6 4l4 4l-4 4",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  link: "M6.8 9.2a2.6 2.6 0 0 0 3.7 0l2.3-2.3a2.6 2.6 0 0 0-3.7-3.7l-.8.8M9.2 6.8a2.6 2.6 0 0 0-3.7 0L3.2 9.1a2.6 2.6 0 0 0 3.7 3.7l.8-.8",
  sun: "M8 5.2a2.8 2.8 0 1 0 0 5.6a2.8 2.8 0 0 0 0-5.6M8 1.5v1.2M8 13.3v1.2M1.5 8h1.2M13.3 8h1.2M3.4 3.4l.9.9M11.7 11.7l.9.9M12.6 3.4l-.9.9M4.3 11.7l-.9.9",
  moon: "M13.5 9.6A5.8 5.8 0 0 1 6.4 2.5a5.8 5.8 0 1 0 7.1 7.1",
  screen: "M2 3h12v8H2zM6 13.5h4M8 11v2.5",
  keyboard: "M1.5 4h13v8h-13zM4 6.5h.1M6.6 6.5h.1M9.3 6.5h.1M12 6.5h.1M4.5 9.5h7",
  file: "M4 1.75h5l3.2 3.2v9.3H4zM9 1.75V5h3.2",
  chain: "M4 2.2a1.6 1.6 0 1 0 0 3.2a1.6 1.6 0 0 0 0-3.2M4 10.6a1.6 1.6 0 1 0 0 3.2a1.6 1.6 0 0 0 0-3.2M12 6.4a1.6 1.6 0 1 0 0 3.2a1.6 1.6 0 0 0 0-3.2M4 5.4v5.2M5.6 3.8h1.8c1.8 0 3 1 3 3",
  retry: "M13 8a5 5 0 1 1-1.6-3.7M13.2 2v3h-3",
  warning: "M8 2.2l6.3 11.2H1.7zM8 6.6v3M8 11.4v.1",
  user: "M8 2.5a2.6 2.6 0 1 0 0 5.2a2.6 2.6 0 0 0 0-5.2M3 13.5c.5-2.6 2.4-4 5-4s4.5 1.4 5 4",
  branch: "M4.5 2.2a1.5 1.5 0 1 0 0 3a1.5 1.5 0 0 0 0-3M4.5 10.8a1.5 1.5 0 1 0 0 3a1.5 1.5 0 0 0 0-3M11.5 3.7a1.5 1.5 0 1 0 0 3a1.5 1.5 0 0 0 0-3M4.5 5.2v5.6M11.5 6.7c0 2.4-4.5 1.6-7 3",
  clock: "M8 1.75a6.25 6.25 0 1 0 0 12.5a6.25 6.25 0 0 0 0-12.5M8 4.8V8l2 1.4",
  download: "M8 2v8M4.8 7L8 10.2L11.2 7M2.5 13.5h11",
  shield: "M8 1.8l5 1.9v4c0 3.2-2.1 5.4-5 6.5c-2.9-1.1-5-3.3-5-6.5v-4z",
  more: "M3.5 8h.1M8 8h.1M12.5 8h.1",
  archive: "M2 2.8h12v3H2zM3 5.8v7.4h10V5.8M6.3 8.6h3.4",
  folder: "M1.8 3.5h4.4l1.4 1.8h6.6v7.2H1.8z",
  eye: "M1.5 8s2.3-4.3 6.5-4.3S14.5 8 14.5 8s-2.3 4.3-6.5 4.3S1.5 8 1.5 8M8 6.2a1.8 1.8 0 1 0 0 3.6a1.8 1.8 0 0 0 0-3.6",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 16, spin = false }: { name: IconName; size?: number; spin?: boolean }): JSX.Element {
  return (
    <svg className={spin ? "icon spin" : "icon"} width={size} height={size} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} fill="none" stroke="currentColor" strokeWidth={name === "more" ? 2.6 : 1.5} strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  );
}

export function Logo(): JSX.Element {
  return (
    <svg className="icon" width="26" height="26" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="8" fill="var(--accent)" />
      <g fill="none" stroke="#fff" strokeWidth="2.4" strokeLinecap="round" strokeLinejoin="round">
        <circle cx="9" cy="9" r="3" />
        <circle cx="9" cy="23" r="3" />
        <circle cx="23" cy="16" r="3" />
        <path d="M9 12v8M12 9h4c4 0 7 1 7 4" />
      </g>
    </svg>
  );
}
