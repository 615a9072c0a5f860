import { expect, it } from "vitest";

import { dropped } from "./dropped";

it("says what was dropped, how much of it, by whom, and what is kept", () => {
  const event = {
    event: "payload_dropped", artifact_count: 3, artifact_bytes: 3670, content_count: 1, content_bytes: 2006, log_count: 2, log_bytes: 313,
    keep_count: 1000, keep_days: 90, actor: "alex",
  };
  expect(dropped([{ event: "execution_end" }, event])).toEqual({
    parts: [
      { name: "3 artifacts", size: "3.7 KB" },
      { name: "the contents of 1 file", size: "2.0 KB" },
      { name: "2 logs", size: "313 B" },
    ],
    kept: "the newest 1,000 and the last 90 days",
    actor: "alex",
  });
});

it("leaves out what there was none of, and what is no number", () => {
  expect(dropped([{ event: "payload_dropped", content_count: 4, content_bytes: 1, log_count: 0, artifact_count: "many", keep_days: 1 }])).toEqual({
    parts: [{ name: "the contents of 4 files", size: "1 B" }],
    kept: "the last 1 day",
    actor: "",
  });
  expect(dropped([])).toEqual({ parts: [], kept: "", actor: "" });
});
