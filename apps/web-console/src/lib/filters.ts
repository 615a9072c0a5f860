/** The filters of a list, kept in the address of the page under the names the API has for them. */

export const FILTER_FIELDS = [
  "status", "verdict", "risk_level", "trigger_kind", "actor", "workspace", "path", "error_step", "commit", "run_id",
  "correlation_id", "parent_execution_id",
] as const;
export type FilterField = (typeof FILTER_FIELDS)[number];

export const CHOICES: Partial<Record<FilterField, readonly string[]>> = {
  status: [
    "completed", "failed", "rolled_back", "cancelled", "pending", "validating", "backing_up", "applying", "verifying",
    "health_checking",
  ],
  verdict: ["allow", "need_approval", "deny"],
  risk_level: ["low", "medium", "high", "critical"],
  error_step: ["capture", "validate", "backup", "apply", "verify", "health", "rollback"],
  trigger_kind: ["manual", "agent", "retry", "repair", "child", "scheduled"],
};

export const VIEWS = ["attention", "running", "approval", "all"] as const;
export type View = (typeof VIEWS)[number];

export const RUNNING = ["pending", "validating", "backing_up", "applying", "verifying", "health_checking"] as const;

export interface Filter {
  readonly field: FilterField;
  readonly value: string;
  readonly negated: boolean;
}

export interface ListState {
  readonly view: View;
  readonly q: string;
  readonly filters: readonly Filter[];
  readonly since: string;
  readonly until: string;
  readonly grouped: boolean;
}

function isView(text: string | null): text is View {
  return (VIEWS as readonly string[]).includes(text ?? "");
}

/** What the address says; what it says wrongly is left out. */
export function readState(params: URLSearchParams): ListState {
  const view = params.get("view");
  const filters: Filter[] = [];
  for (const field of FILTER_FIELDS) {
    for (const text of params.getAll(field)) {
      const negated = text.startsWith("!");
      const value = negated ? text.slice(1) : text;
      if (value && !filters.some((known) => known.field === field && known.value === value)) filters.push({ field, value, negated });
    }
  }
  return {
    view: isView(view) ? view : "attention",
    q: params.get("q") ?? "",
    filters,
    since: params.get("since") ?? "",
    until: params.get("until") ?? "",
    grouped: params.get("group") === "chain",
  };
}

/** The address of a state: the shortest one, so that equal states have equal addresses. */
export function writeState(state: ListState): URLSearchParams {
  const params = new URLSearchParams();
  if (state.view !== "attention") params.set("view", state.view);
  if (state.q) params.set("q", state.q);
  for (const field of FILTER_FIELDS) {
    for (const filter of state.filters) {
      if (filter.field === field) params.append(field, `${filter.negated ? "!" : ""}${filter.value}`);
    }
  }
  if (state.since) params.set("since", state.since);
  if (state.until) params.set("until", state.until);
  if (state.grouped) params.set("group", "chain");
  return params;
}

export function withFilter(state: ListState, added: Filter): ListState {
  const others = state.filters.filter((known) => known.field !== added.field || known.value !== added.value);
  return { ...state, filters: [...others, added] };
}

export function withoutFilter(state: ListState, gone: Filter): ListState {
  return { ...state, filters: state.filters.filter((known) => known.field !== gone.field || known.value !== gone.value) };
}

export function negated(state: ListState, turned: Filter): ListState {
  const filters = state.filters.map((known) =>
    known.field === turned.field && known.value === turned.value ? { ...known, negated: !known.negated } : known,
  );
  return { ...state, filters };
}

/** The question to the API: the saved view and the filters on top of it. */
export function listQuery(state: ListState): URLSearchParams {
  const params = new URLSearchParams();
  if (state.view === "attention") params.set("unresolved", "true");
  if (state.view === "approval") params.set("awaiting", "true");
  if (state.view === "running") {
    params.set("awaiting", "false");
    // A filter on the status says more than the view does.
    if (!state.filters.some((filter) => filter.field === "status" && !filter.negated)) {
      for (const status of RUNNING) params.append("status", status);
    }
  }
  if (state.q) params.set("q", state.q);
  for (const filter of state.filters) params.append(filter.field, `${filter.negated ? "!" : ""}${filter.value}`);
  if (state.since) params.set("since", state.since);
  if (state.until) params.set("until", state.until);
  return params;
}
