/** Questions to the server, and its answers or problems. */

import type { ChangedSince } from "./types";

export class Problem extends Error {
  override readonly name = "Problem";

  constructor(
    readonly status: number,
    readonly code: string,
    readonly detail: string,
    readonly requestId: string | null,
    /** What is in the way of a revert. */
    readonly conflict: ChangedSince | null = null,
  ) {
    super(detail);
  }

  /** Whether asking again can help. */
  get passing(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }

  /** Whether the browser has no session, or one that may not do this. */
  get needsSession(): boolean {
    return this.status === 401;
  }
}

async function problemOf(response: Response): Promise<Problem> {
  const requestId = response.headers.get("x-request-id");
  let code = `http_${response.status}`;
  let conflict: ChangedSince | null = null;
  let detail = `The server answered ${response.status}.`;
  if (response.headers.get("content-type")?.includes("json")) {
    try {
      const body = (await response.json()) as { code?: unknown; detail?: unknown; conflict?: ChangedSince };
      conflict = body.conflict ?? null;
      if (typeof body.code === "string") code = body.code;
      if (typeof body.detail === "string") detail = body.detail;
    } catch {
      // A torn answer: the status says what there is to say.
    }
  }
  return new Problem(response.status, code, detail, requestId, conflict);
}

async function ask(path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...init });
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === "AbortError") throw cause;
    throw new Problem(0, "unreachable", "The server cannot be reached. Is `executor serve` running?", null);
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

export async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await ask(path, { headers: { accept: "application/json" }, signal: signal ?? null });
  return (await response.json()) as T;
}

export async function getText(path: string, signal?: AbortSignal): Promise<string> {
  const response = await ask(path, { headers: { accept: "*/*" }, signal: signal ?? null });
  return response.text();
}

/** Every call is one wish: sent twice under one key, it is done once. */
export async function post<T>(path: string, body: unknown, key: string): Promise<T> {
  const response = await ask(path, {
    method: "POST",
    headers: { accept: "application/json", "content-type": "application/json", "idempotency-key": key },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  return (text ? JSON.parse(text) : {}) as T;
}

/** The address of an execution or something of it. Ids hold any character. */
export function executionPath(id: string, rest = ""): string {
  return `/executions/${encodeURIComponent(id)}${rest}`;
}
