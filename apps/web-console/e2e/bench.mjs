// How fast the console is, against its budgets: node bench.mjs WORKSPACE

import { execFileSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { launch, serve } from "./browser.mjs";

const workspace = process.argv[2];
const python = join(dirname(process.env.EXECUTOR), "python");
const ROUNDS = 3;

let missed = 0;
const line = (what, value, unit, budget) => {
  const good = value <= budget;
  if (!good) missed += 1;
  console.log(`${good ? "pass" : "FAIL"}  ${what.padEnd(58)} ${String(Math.round(value)).padStart(6)} ${unit}  (at most ${budget} ${unit})`);
};

const server = await serve(workspace);
const { browser, close } = await launch();
try {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const first = await context.newPage();
  await first.goto(server.address);
  await first.locator("a.item").first().waitFor();
  const scripts = await first.evaluate(() => performance.getEntriesByType("resource").map((each) => each.name).filter((name) => name.endsWith(".js")));
  let size = 0;
  for (const script of scripts) size += gzipSync(await (await context.request.get(script)).body()).length;
  line(`JavaScript of the start page, ${scripts.length} files, gzip`, size / 1000, "KB", 250);

  /** The best of some openings with an empty cache, from the address to the first row one can use. */
  const best = async (path, selector, fresh) => {
    let least = Infinity;
    for (let round = 0; round < ROUNDS; round += 1) {
      const use = fresh ? await browser.newContext({ viewport: { width: 1440, height: 900 } }) : context;
      const page = await use.newPage();
      if (!fresh) {
        // Inside the console, as by a click: without the time the page itself takes to start.
        await page.goto(`${server.origin}/ui/health`);
        await page.locator("h1").waitFor();
      }
      const started = performance.now();
      if (fresh) await page.goto(server.origin + path);
      else await page.evaluate((to) => {
        history.pushState({}, "", to);
        window.dispatchEvent(new PopStateEvent("popstate", { state: {} }));
      }, path);
      await page.locator(selector).first().waitFor();
      least = Math.min(least, performance.now() - started);
      await page.close();
      if (fresh) await use.close();
    }
    return least;
  };

  /** Scrolls down and back as fast as a wheel does, 360 px with every frame, once all rows are loaded. The best of some. */
  const scrolling = async (path, selector, loaded) => {
    const page = await context.newPage();
    await page.goto(server.origin + path);
    await page.getByText(loaded, { exact: true }).waitFor({ timeout: 60_000 });
    await page.waitForTimeout(500);
    const scroll = () => page.evaluate(async (box) => {
      const element = document.querySelector(box);
      const tasks = [];
      const watch = new window.PerformanceObserver((list) => tasks.push(...list.getEntries().map((entry) => entry.duration)));
      watch.observe({ entryTypes: ["longtask"] });
      const frame = () => new Promise((done) => window.requestAnimationFrame(done));
      const half = 150;
      const height = Math.min(360 * half, element.scrollHeight - element.clientHeight);
      const lasted = [];
      let before = await frame();
      for (let step = 1; step <= 2 * half; step += 1) {
        element.scrollTop = (height * (step <= half ? step : 2 * half - step)) / half;
        const now = await frame();
        lasted.push(now - before);
        before = now;
      }
      watch.disconnect();
      return { frames: lasted.length, late: lasted.filter((each) => each > 50).length, longest: Math.max(0, ...tasks) };
    }, selector);
    const rounds = [];
    for (let round = 0; round < ROUNDS; round += 1) rounds.push(await scroll());
    await page.close();
    const least = (of) => Math.min(...rounds.map((each) => each[of]));
    return { frames: least("frames"), late: least("late"), longest: least("longest") };
  };

  line("start page on the demo's data, from the address", await best("/ui/", "a.item", true), "ms", 1500);
  const folder = execFileSync(python, [join(dirname(fileURLToPath(import.meta.url)), "large.py"), workspace], { encoding: "utf8" }).trim();
  line("start page beside 100,000 executions, from the address", await best("/ui/executions?view=all", "a.item", true), "ms", 1500);
  line("chain of 1,000, all rows placed", await best("/ui/chains/thousand", ".gantt-row", false), "ms", 500);
  const scrolled = await scrolling("/ui/chains/tenthousand", ".gantt", "10,000 executions");
  line(`scrolling a chain of 10,000 in ${scrolled.frames} frames: longest task`, scrolled.longest, "ms", 100);
  line("the same: frames of more than 50 ms", (scrolled.late / scrolled.frames) * 100, "%", 5);
  line("lineage in a family of 100,000, at its root", await best("/ui/executions/large_000000?tab=lineage", ".node", false), "ms", 1000);
  line("lineage in a family of 100,000, in the middle", await best("/ui/executions/large_001234?tab=lineage", ".node", false), "ms", 1000);
  line("lineage in a family of 100,000, at a leaf", await best("/ui/executions/large_099999?tab=lineage", ".node", false), "ms", 1000);
  line("log of 184,001 lines, to its last line", await best(`/ui/executions/${folder}?tab=logs&log=steps%2F09-large.log`, "text=the last line says why", false), "ms", 1000);
} finally {
  await close();
  await server.close();
}
process.exit(missed ? 1 : 0);
