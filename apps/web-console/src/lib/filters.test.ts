import { describe, expect, it } from "vitest";

import { FILTER_FIELDS, listQuery, negated, readState, withFilter, withoutFilter, writeState, type ListState } from "./filters";

const read = (text: string): ListState => readState(new URLSearchParams(text));

describe("the address of a list", () => {
  it("starts with what needs attention", () => {
    expect(read("")).toEqual({ view: "attention", q: "", filters: [], since: "", until: "", grouped: false });
    expect(listQuery(read("")).toString()).toBe("unresolved=true");
  });

  it.each([
    "",
    "view=all",
    "view=all&q=a+b%2Fc%26d&status=failed&status=%21completed&path=src%2F**&since=2026-01-01&group=chain",
    "correlation_id=a%2Fb%25c",
    "q=%E2%80%AEtxt&actor=%21ci%3Anightly",
  ])("goes there and back: %s", (text) => {
    expect(writeState(read(text)).toString()).toBe(text);
  });

  it("leaves out what it does not know", () => {
    expect(writeState(read("view=nonsense&status=&status=!&colour=red&status=failed&status=!failed")).toString()).toBe("status=failed");
  });

  it("adds, turns and removes filters", () => {
    let state = read("view=all");
    state = withFilter(state, { field: "status", value: "failed", negated: false });
    state = withFilter(state, { field: "actor", value: "ann", negated: false });
    expect(listQuery(state).toString()).toBe("status=failed&actor=ann");
    state = negated(state, { field: "actor", value: "ann", negated: false });
    expect(listQuery(state).toString()).toBe("status=failed&actor=%21ann");
    state = withoutFilter(state, { field: "status", value: "failed", negated: false });
    expect(writeState(state).toString()).toBe("view=all&actor=%21ann");
  });

  it("asks for what runs, unless a filter says which status", () => {
    expect(listQuery(read("view=running")).getAll("status")).toContain("verifying");
    expect(listQuery(read("view=running&status=applying")).getAll("status")).toEqual(["applying"]);
    expect(listQuery(read("view=running&status=!applying")).getAll("status")).toContain("!applying");
  });

  it("keeps any text of any field", () => {
    for (const field of FILTER_FIELDS) {
      for (const value of ["a&b=c", "!!x", "ü/%2F", "💥", " "]) {
        const params = new URLSearchParams({ [field]: value });
        expect(writeState(readState(params)).getAll(field)).toEqual([value]);
      }
    }
  });
});
