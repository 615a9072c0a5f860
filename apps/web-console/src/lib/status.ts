/** What a status is called and how it looks: a word, an icon and a tone, never the tone alone. */

export type Tone = "green" | "red" | "amber" | "violet" | "blue" | "grey";
export type StatusIcon = "check" | "cross" | "undo" | "ban" | "hand" | "running" | "pending";

export interface Shown {
  readonly word: string;
  readonly icon: StatusIcon;
  readonly tone: Tone;
}

interface Outcome {
  readonly status: string;
  readonly verdict: string;
}

const SHOWN: Readonly<Record<string, Shown>> = {
  completed: { word: "completed", icon: "check", tone: "green" },
  failed: { word: "failed", icon: "cross", tone: "red" },
  rolled_back: { word: "rolled back", icon: "undo", tone: "amber" },
  cancelled: { word: "cancelled", icon: "ban", tone: "grey" },
  pending: { word: "pending", icon: "pending", tone: "blue" },
  validating: { word: "validating", icon: "running", tone: "blue" },
  backing_up: { word: "backing up", icon: "running", tone: "blue" },
  applying: { word: "applying", icon: "running", tone: "blue" },
  verifying: { word: "verifying", icon: "running", tone: "blue" },
  health_checking: { word: "health checking", icon: "running", tone: "blue" },
};

export function ended(outcome: Outcome): boolean {
  return ["completed", "failed", "rolled_back", "cancelled"].includes(outcome.status);
}

export function awaiting(outcome: Outcome): boolean {
  return outcome.status === "pending" && outcome.verdict === "need_approval";
}

export function statusOf(outcome: Outcome): Shown {
  if (awaiting(outcome)) return { word: "awaiting approval", icon: "hand", tone: "violet" };
  if (outcome.status === "failed" && outcome.verdict === "deny") return { word: "denied", icon: "ban", tone: "red" };
  return SHOWN[outcome.status] ?? { word: outcome.status.replaceAll("_", " "), icon: "pending", tone: "grey" };
}

export const STEP_TONES: Readonly<Record<string, Tone>> = { completed: "green", failed: "red", running: "blue", skipped: "grey" };
export const RISK_TONES: Readonly<Record<string, Tone>> = { low: "grey", medium: "blue", high: "amber", critical: "red" };
export const VERDICT_TONES: Readonly<Record<string, Tone>> = { allow: "green", need_approval: "violet", deny: "red" };

export function words(name: string): string {
  return name.replaceAll("_", " ");
}
