// The pages of the workspace that workspace.py makes, by a name for each.

export async function pages(request, origin) {
  const ask = async (path) => (await request.get(origin + path)).json();
  const [failed] = (await ask("/executions?status=rolled_back&trigger_kind=retry&limit=1")).executions;
  const [repaired] = (await ask("/executions?trigger_kind=repair&limit=1")).executions;
  const [several] = (await ask("/executions?q=package%20of%20their%20own&limit=1")).executions;
  const [old] = (await ask("/executions?q=Round%20to%20whole%20euros&limit=1")).executions;
  const dropped = `/ui/executions/${encodeURIComponent(old.execution_id)}`;
  const id = encodeURIComponent(failed.execution_id);
  return {
    failed,
    repaired,
    several,
    paths: {
      attention: "/ui/executions",
      all: "/ui/executions?view=all",
      chains: "/ui/executions?view=all&group=chain&status=!cancelled&risk_level=low",
      nothing: "/ui/executions?view=all&q=nothing-like-this",
      running: "/ui/executions?view=running",
      execution: `/ui/executions/${id}`,
      changes: `/ui/executions/${id}?tab=changes`,
      split: `/ui/executions/${id}?tab=changes&diff=split`,
      files: `/ui/executions/${encodeURIComponent(several.execution_id)}?tab=changes`,
      logs: `/ui/executions/${id}?tab=logs`,
      decision: `/ui/executions/${id}?tab=decision`,
      lineage: "/ui/executions/nightly_001?tab=lineage",
      many: "/ui/executions/sweep?tab=lineage",
      artifacts: `/ui/executions/${id}?tab=artifacts`,
      events: `/ui/executions/${id}?tab=events`,
      dropped: `${dropped}?tab=changes`,
      "dropped-logs": `${dropped}?tab=logs`,
      "dropped-decision": `${dropped}?tab=decision`,
      "dropped-artifacts": `${dropped}?tab=artifacts`,
      hostile: "/ui/executions/hostile",
      repaired: `/ui/executions/${encodeURIComponent(repaired.execution_id)}?tab=lineage`,
      chain: `/ui/chains/${encodeURIComponent(failed.correlation_id)}`,
      "hostile-chain": `/ui/chains/${encodeURIComponent("chain/of 100%?#<b>")}`,
      family: "/ui/chains/nightly",
      approvals: "/ui/approvals",
      statistics: "/ui/statistics",
      health: "/ui/health",
      missing: "/ui/executions/exec_404",
      "no-page": "/ui/nowhere",
    },
  };
}

/** Nothing is awaited any more. */
export async function settled(page) {
  let quiet = 0;
  for (let look = 0; quiet < 2; look += 1) {
    if (look > 200) throw new Error(`${page.url()} does not come to rest`);
    await page.waitForTimeout(100);
    quiet = (await page.evaluate(() => document.querySelector("h1, .problem, .empty") && !document.querySelector(".loading, [aria-busy=true]"))) ? quiet + 1 : 0;
  }
}
