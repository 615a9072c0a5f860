// Walks the console in a browser, on a real server in front of a real workspace: node test.mjs WORKSPACE

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

import { launch, serve } from "./browser.mjs";
import { pages, settled } from "./pages.mjs";

const workspace = process.argv[2];
const axe = readFileSync(fileURLToPath(import.meta.resolve("axe-core/axe.min.js")), "utf8");

let server, browser, close, context, known;
const troubles = [];

before(async () => {
  server = await serve(workspace);
  ({ browser, close } = await launch());
  context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  await page.goto(server.address);
  assert.equal(page.url(), `${server.origin}/ui/`, "the one-time address leads to the console");
  await page.close();
  known = await pages(context.request, server.origin);
});

after(async () => {
  await close?.();
  await server?.close();
});

async function open(path, use = context) {
  const page = await use.newPage();
  // The browser writes to its console what the tests mean to happen: what is not there, refused or cut off.
  page.on("console", (message) => {
    if (message.type() === "error" && !/status of (401|404|409)|net::ERR_FAILED/.test(message.text())) troubles.push(`${path}: ${message.text()}`);
  });
  page.on("pageerror", (error) => troubles.push(`${path}: ${error.message}`));
  page.on("dialog", (dialog) => {
    troubles.push(`${path}: a dialog opened: ${dialog.message()}`);
    void dialog.dismiss();
  });
  await page.goto(server.origin + path);
  await settled(page);
  return page;
}

/** A change of one new file, as somebody makes it at a terminal. */
function run(file, title) {
  write(`diff --git a/${file} b/${file}\nnew file mode 100644\n--- /dev/null\n+++ b/${file}\n@@ -0,0 +1 @@\n+hello\n`, title);
}

function write(text, title) {
  const patch = join(workspace, "..", "note.diff");
  writeFileSync(patch, text);
  execFileSync(process.env.EXECUTOR, ["run", "--patch", patch, "--title", title, "--no-verify"], { cwd: workspace, stdio: "ignore" });
}

const eachPage = async (work) => {
  for (const [name, path] of Object.entries(known.paths)) {
    const page = await open(path);
    await work(page, name);
    await page.close();
  }
};

describe("every page", () => {
  it("opens by its address, has a heading and a title, and fits from 1440 to 420 pixels", async () => {
    await eachPage(async (page, name) => {
      for (const width of [1440, 1200, 900, 420]) {
        await page.setViewportSize({ width, height: 900 });
        const crowded = await page.evaluate(() => [...document.querySelectorAll("a.item b")].filter((title) => title.getBoundingClientRect().width < 24).length);
        assert.equal(crowded, 0, `${name} has rows without room for their title at ${width}`);
        const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        assert.ok(over <= 0, `${name} is ${over} px too wide at ${width}`);
      }
      assert.match(await page.title(), /Executor/, name);
      assert.ok((await page.locator("h1, .problem, .empty").count()) > 0, name);
      assert.equal(await page.locator(".problem").count(), 0, `${name} shows a problem`);
      assert.equal(await page.getByRole("alert").filter({ hasText: "Not found" }).count(), name === "missing" ? 1 : 0, name);
    });
  });

  it("has no violation of the accessibility rules, light and dark", { timeout: 240_000 }, async () => {
    const shown = [];
    await eachPage(async (page, name) => {
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
        // The policy of the page lets no script in by its text; the debugger's way is open.
        await page.evaluate(axe);
        const found = await page.evaluate(() => window.axe.run());
        for (const each of found.violations) {
          shown.push(`${name}, ${colorScheme}, ${each.id}: ${each.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ")}`);
        }
      }
    });
    assert.deepEqual(shown, []);
  });

  it("lets the keyboard reach whatever can be used", { timeout: 240_000 }, async () => {
    for (const name of ["attention", "execution", "changes", "logs", "lineage", "chain", "approvals", "statistics", "health"]) {
      const page = await open(known.paths[name]);
      const wanted = await page.evaluate(() => {
        const usable = [...document.querySelectorAll("a[href], button, input, select, textarea")].filter(
          (each) => each.tabIndex >= 0 && !each.disabled && each.checkVisibility(),
        );
        usable.forEach((each, index) => (each.dataset.wanted = String(index)));
        return usable.length;
      });
      const reached = new Set();
      for (let step = 0; step < wanted + 40 && reached.size < wanted; step += 1) {
        await page.keyboard.press("Tab");
        const at = await page.evaluate(() => document.activeElement?.dataset?.wanted ?? null);
        if (at !== null) reached.add(at);
      }
      assert.equal(reached.size, wanted, `${name}: ${reached.size} of ${wanted} reached`);
      await page.close();
    }
  });
});

describe("addresses", () => {
  it("restore filters, and going back undoes one", async () => {
    const page = await open("/ui/executions?view=all&status=rolled_back&trigger_kind=!child");
    assert.equal(await page.locator("a.item").count(), 4);
    await page.getByRole("button", { name: "trigger is not child" }).click();
    await page.waitForFunction(() => document.querySelectorAll("a.item").length === 12);
    assert.match(page.url(), /trigger_kind=child/);
    await page.goBack();
    await page.waitForFunction(() => document.querySelectorAll("a.item").length === 4);
    await page.close();
  });

  it("restore tab, log and line", async () => {
    const page = await open(`${known.paths.logs}&line=7`);
    assert.equal(await page.getByRole("tab", { selected: true }).textContent(), "Logs");
    assert.match(await page.locator(".log-line[data-selected=true]").textContent(), /^7AssertionError: 262 != 263/);
    await page.close();
  });

  it("restore which approval is looked at, and what is compared", async () => {
    const page = await open(known.paths.chain);
    const [, second] = await page.locator("select").first().locator("option:not([disabled])").evaluateAll((all) => all.map((each) => each.value));
    await page.locator("select").first().selectOption(second);
    await page.waitForURL(/left=/);
    await page.reload();
    await settled(page);
    assert.equal(await page.locator("select").first().inputValue(), second);
    await page.close();
  });
});

describe("text from outside", () => {
  it("is shown as text, everywhere, and runs nothing", async () => {
    for (const path of [
      known.paths.hostile,
      ...["changes", "logs", "decision", "lineage", "artifacts", "events"].map((tab) => `/ui/executions/hostile?tab=${tab}`),
      known.paths["hostile-chain"],
      "/ui/executions",
      "/ui/executions?view=all&actor=%3Cimg%20src%3Dx%20onerror%3Dwindow.ran%3D1%3E&q=%E2%80%AE%3Cscript%3Ewindow.ran%3D1%3C%2Fscript%3E",
    ]) {
      const page = await open(path);
      assert.equal(await page.evaluate(() => window.ran), undefined, path);
      assert.equal(await page.locator("main img, main script").count(), 0, path);
      const text = await page.locator("main").innerText();
      assert.ok(!text.includes("\u001b") && !text.includes("\u202e"), path);
      assert.ok(text.length < 100_000, `${path} shows ${text.length} characters`);
      await page.close();
    }
    const page = await open(known.paths.hostile);
    const title = await page.locator("h1").first().innerText();
    assert.match(title, /<img src=x onerror=window\.ran=1><script>window\.ran=1<\/script> red \[U\+202E\]txt\.exe \u{1f4a5}/u);
    await page.close();
  });
});

describe("keys", () => {
  it("go to pages, move in lists, open rows, change tabs, and rest while somebody writes", async () => {
    const page = await open("/ui/executions?view=all");
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keys" }).waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog", { name: "Keys" }).waitFor({ state: "detached" });
    await page.keyboard.press("/");
    await page.keyboard.type("gajk");
    assert.equal(await page.locator("input[type=search]").inputValue(), "gajk");
    await page.keyboard.press("Escape");
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    await page.keyboard.press("k");
    await page.keyboard.press("j");
    const title = await page.locator("a.item[data-selected=true] b").textContent();
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/ui\/executions\/./);
    await page.waitForFunction((text) => document.querySelector("h1")?.textContent === text, title);
    await page.keyboard.press("]");
    await page.waitForURL(/tab=changes/);
    for (const [keys, address] of [["ga", /approvals$/], ["gs", /statistics$/], ["gh", /health$/], ["ge", /executions$/]]) {
      for (const key of keys) await page.keyboard.press(key);
      await page.waitForURL(address);
    }
    await page.close();
  });

  it("press what has the focus, and go on where they were", async () => {
    const page = await open("/ui/executions?view=all");
    await page.getByRole("button", { name: "Filter" }).focus();
    await page.keyboard.press("Enter");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    // The fields made room for the values of one: the way back to them comes first.
    await page.waitForFunction(() => document.activeElement?.textContent === "← status");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.waitForURL(/status=/);
    await page.locator("a.item").first().focus();
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/ui\/executions\/./);
    await page.waitForFunction(() => document.activeElement?.id === "main");
    await page.close();
  });

  it("walk a tree, fold it and open one of it", async () => {
    const page = await open(known.paths.lineage);
    const tree = page.getByRole("tree");
    await tree.locator("[role=treeitem][tabindex='0']").focus();
    const rows = () => tree.getByRole("treeitem").count();
    const before = await rows();
    await page.keyboard.press("ArrowLeft");
    assert.ok((await rows()) < before);
    await page.keyboard.press("ArrowRight");
    assert.equal(await rows(), before);
    await page.keyboard.press("End");
    await page.keyboard.press("Enter");
    await page.waitForURL((url) => !url.pathname.endsWith("nightly_001"));
    await page.close();
  });
});

describe("what people come for", () => {
  it("why did it fail, and what fixed it: three clicks", async () => {
    const page = await open("/ui/");
    await page.getByRole("link", { name: /^All/ }).click();
    await page.getByRole("link", { name: /^rolled back Add tax/ }).first().click();
    await page.getByText("AssertionError: 262 != 263").first().waitFor();
    await page.getByText("Workspace identical to before: 3 files restored and compared by hash").waitFor();
    await page.getByRole("link", { name: /Fixed by Add tax, rounding half a cent up/ }).click();
    await page.waitForURL(new RegExp(known.repaired.execution_id));
    await page.close();
  });

  it("two attempts: how they came out, and the lines in which their changes differ", async () => {
    const page = await open(known.paths.chain);
    assert.match(await page.getByRole("row", { name: /^Step verify/ }).innerText(), /failed[^]*completed/);
    const ledger = page.getByRole("region", { name: "ledger.py" });
    const differing = () => ledger.locator(".pair[data-differs=true]").allInnerTexts();
    assert.deepEqual((await differing()).map((text) => text.replace(/\s+/g, " ")), ["A 19 + return cents + round(cents * percent / 100) B 19 + return cents + (cents * percent + 50) // 100"]);
    const rows = await ledger.locator(".pair").count();
    await ledger.getByRole("button", { name: /lines in which nothing differs/ }).click();
    assert.ok((await ledger.locator(".pair").count()) > rows);
    await page.getByRole("button", { name: "Swap" }).click();
    await page.waitForURL(/left=/);
    await ledger.locator(".pair[data-differs=true]", { hasText: /A[^]*50\) \/\/ 100[^]*B[^]*round\(/ }).waitFor();
    await page.close();
  });

  it("a row says what changed and how the time went", async () => {
    const page = await open("/ui/executions?view=all&q=Add%20tax&status=rolled_back&trigger_kind=agent");
    const row = page.locator("a.item");
    assert.match(await row.innerText(), /rolled back[^]*verify: AssertionError: 262 != 263[^]*3 files[^]*\+10/);
    assert.match(await row.getByRole("img").getAttribute("aria-label"), /apply completed .*verify failed .*rollback completed/);
    await page.close();
  });

  it("a row of another try says of what", async () => {
    const page = await open("/ui/executions?view=all&q=rounding%20half%20a%20cent&trigger_kind=repair");
    const [first] = (await (await context.request.get(`${server.origin}/executions?q=Add%20tax&trigger_kind=agent&limit=1`)).json()).executions;
    const row = page.locator("a.item");
    assert.match((await row.innerText()).replace(/\s+/g, " "), new RegExp(`3rd try of ${first.execution_id.slice(-8)}`));
    assert.equal(await row.locator("a").count(), 0);
    await page.close();
  });

  it("changed files are a tree: folds, filters, leads to the file, and the address keeps it", async () => {
    const page = await open(known.paths.files);
    const tree = page.getByRole("tree", { name: "Changed files" });
    const names = async () => (await tree.getByRole("treeitem").allInnerTexts()).map((text) => text.replace(/(create|\d files?)$/, "").replace(/\s+/g, " ").trim());
    assert.deepEqual(await names(), ["docs/guide +3", "invoices.md +3", "invoices +6", "models +3", "__init__.py", "line.py +3", "views +2", "print.py +2", "__init__.py +1"]);
    await tree.locator("[tabindex='0']").focus();
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowLeft");
    assert.deepEqual((await names()).slice(0, 4), ["docs/guide +3", "invoices +6", "models +3", "views +2"]);
    await page.getByRole("searchbox", { name: "Filter files" }).fill("MODELS line");
    await page.waitForFunction(() => document.querySelectorAll(".file-tree [role=treeitem]").length === 2);
    await tree.getByRole("treeitem", { name: /^line.py/ }).click();
    await page.waitForURL(/file=invoices%2Fmodels%2Fline.py/);
    await page.getByRole("button", { name: "fold invoices/models/line.py" }).click();
    assert.equal(await page.getByText("self.cents = cents").count(), 0);
    // Where there is no room for a tree, a list.
    await page.setViewportSize({ width: 420, height: 900 });
    await tree.waitFor({ state: "hidden" });
    await page.getByLabel("Go to a file").selectOption("invoices/views/print.py");
    await page.waitForURL(/file=invoices%2Fviews%2Fprint.py/);
    await page.reload();
    await settled(page);
    await page.waitForFunction(() => {
      const top = document.getElementById("file invoices/views/print.py")?.getBoundingClientRect().top ?? -1;
      return top >= 0 && top < window.innerHeight;
    });
    await page.close();
  });

  it("what happens elsewhere is shown within a moment, and all tabs share one stream", async () => {
    const streams = [];
    const use = await browser.newContext();
    use.on("request", (request) => request.url().includes("/events/stream") && streams.push(request.url()));
    const tabs = [await open("/ui/executions?view=all", use), await open("/ui/executions?view=all", use)];
    for (const page of tabs) await page.locator(".live[data-state=live]").waitFor();
    run("HELLO.md", "Say hello");
    for (const page of tabs) await page.getByText("1 new").waitFor({ timeout: 3_000 });
    assert.equal(streams.length, 1);
    // The tab that listened goes: the other takes over.
    await tabs[0].close();
    run("BYE.md", "Say goodbye");
    await tabs[1].getByText("2 new").waitFor({ timeout: 10_000 });
    await use.close();
  });

  it("what a check prints is shown while it runs", async () => {
    const patch = join(workspace, "..", "slow.diff");
    writeFileSync(patch, "diff --git a/SLOW.md b/SLOW.md\nnew file mode 100644\n--- /dev/null\n+++ b/SLOW.md\n@@ -0,0 +1 @@\n+hello\n");
    const check = "sh -c 'echo at first; while [ ! -e ../go ]; do sleep 0.05; done; echo at last; while [ -e ../go ]; do sleep 0.05; done'";
    const slow = spawn(process.env.EXECUTOR, ["run", "--patch", patch, "--title", "Take long", "--verify", check], { cwd: workspace, stdio: "ignore" });
    const gone = new Promise((resolve) => slow.on("exit", resolve));
    try {
      let found;
      while (found?.status !== "verifying")
        [found] = (await (await context.request.get(`${server.origin}/executions?q=Take%20long`)).json()).executions;
      const page = await open(`/ui/executions/${found.execution_id}?tab=logs`);
      await page.getByText("at first", { exact: true }).waitFor();
      // Nothing happens to the execution meanwhile; only its log grows.
      writeFileSync(join(workspace, "..", "go"), "");
      await page.getByText("at last", { exact: true }).waitFor();
      rmSync(join(workspace, "..", "go"));
      await gone;
      await page.close();
    } finally {
      slow.kill();
    }
  });

  it("retry tries again and leads to the attempt; dismiss takes it off the list, and back", async () => {
    const page = await open("/ui/");
    await page.getByRole("link", { name: /^rolled back Test that halves/ }).click();
    await page.getByRole("button", { name: "Dismiss" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Reason").fill("known");
    await dialog.getByRole("button", { name: "Dismiss" }).click();
    await dialog.waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Undo dismissal" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Undo dismissal" }).click();
    await page.getByText("unresolved").waitFor();
    const before = page.url();
    await page.getByRole("button", { name: "Retry" }).click();
    await page.getByRole("dialog").getByText("test_rounding.py").waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Retry" }).click();
    await page.waitForURL((url) => url.href !== before);
    const first = new URL(before).pathname.slice(-8);
    await page.getByText(`2nd try of ${first}`).waitFor();
    assert.ok(before.endsWith(await page.getByRole("link", { name: first, exact: true }).getAttribute("href")));
    await page.locator(".badge.big[data-tone=amber]").waitFor({ timeout: 20_000 });
    await page.close();
  });

  it("of what gc dropped: what that was, when, and what is left", async () => {
    const page = await open(known.paths.dropped);
    const main = page.locator("main");
    await page.getByText("The change is no longer kept").waitFor();
    assert.match((await main.innerText()).replace(/\s+/g, " "), /executor gc dropped 2 artifacts \([\d.]+ KB\), the contents of 1 file \(\d+ B\) and 1 log .* ago, to keep the last 90 days; .* ran it\. .*test_euros\.py/);
    assert.equal(await page.getByRole("button", { name: "Retry" }).count(), 0);
    await page.getByRole("tab", { name: "Logs" }).click();
    await page.getByText("The logs are no longer kept").waitFor();
    await page.getByRole("tab", { name: /Decision/ }).click();
    await page.getByText("The decision is kept. What it was about is not").waitFor();
    await page.getByRole("tab", { name: "Artifacts" }).click();
    await page.getByText("These are kept. The others are not").waitFor();
    await page.getByRole("link", { name: "decision.json" }).waitFor();
    assert.equal(await page.locator(".problem").count(), 0);
    await page.getByRole("tab", { name: /Timeline/ }).click();
    await page.getByText("AssertionError: 12.0 != 11.9").first().waitFor();
    assert.equal(await page.getByRole("link", { name: "Open the whole log" }).count(), 0);
    await page.close();
  });

  it("what cannot be done is said where it was asked for", async () => {
    // Of this one only the record is kept, no contents.
    const page = await open(known.paths.hostile);
    await page.getByRole("button", { name: "Retry" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Retry" }).click();
    await page.getByRole("alert").getByText("Not done").waitFor();
    await page.getByRole("button", { name: "Go back" }).click();
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.close();
  });

  it("what waits for me: one click", async () => {
    const page = await open("/ui/");
    assert.match(await page.title(), /^\(1\)/);
    await page.getByRole("link", { name: /^Approvals 1 waiting/ }).click();
    await page.getByText("touches files that decide what runs").waitFor();
    await page.getByText("python -m build").waitFor();
    await page.close();
  });

  it("approve, with a confirmation that names the files; then who approved", async () => {
    const page = await open("/ui/approvals");
    await page.getByRole("button", { name: "Approve", exact: true }).click();
    const dialog = page.getByRole("dialog");
    await page.waitForFunction(() => document.activeElement?.tagName === "TEXTAREA");
    await dialog.getByText("Makefile", { exact: true }).waitFor();
    await dialog.getByLabel("Note").fill("releases need it");
    await dialog.getByRole("button", { name: "Approve and run" }).click();
    await dialog.waitFor({ state: "detached" });
    await page.getByText("Nothing waits for you").waitFor({ timeout: 20_000 });
    await page.getByRole("link", { name: "See what was decided before" }).click();
    await page.getByRole("link", { name: /^completed Add a Makefile/ }).click({ timeout: 20_000 });
    await page.getByText(/Approved by .*: releases need it/).waitFor();
    await page.close();
  });

  it("who approved: two clicks", async () => {
    const page = await open("/ui/");
    await page.getByRole("link", { name: /^All/ }).click();
    await page.getByRole("link", { name: /^completed Add a Makefile/ }).click();
    await page.getByText(/Approved by .*: releases need it/).waitFor();
    await page.close();
  });

  it("undo it: three clicks, with a confirmation that names the files", async () => {
    const page = await open("/ui/executions?view=all");
    await page.getByRole("link", { name: /^completed Give invoices/ }).click();
    await page.getByRole("button", { name: "Revert" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("invoices/models/line.py", { exact: true }).waitFor();
    const before = page.url();
    await dialog.getByRole("button", { name: "Revert" }).click();
    await page.waitForURL((url) => url.href !== before);
    await page.getByText("Reverts Give invoices a package of their own").waitFor();
    await page.locator(".badge.big[data-tone=green]").waitFor({ timeout: 20_000 });
    assert.ok(!existsSync(join(workspace, "invoices")), "the files are gone");
    await page.getByRole("link", { name: "Give invoices a package of their own" }).last().click();
    await page.getByText(/Reverted by .*nothing of this change is left/).waitFor();
    assert.equal(await page.getByRole("button", { name: "Revert" }).count(), 0);
    await page.getByRole("tab", { name: /Changes/ }).click();
    await page.getByText(/^reverted by/).waitFor();
    await page.close();
  });

  it("what was changed again is not undone, and leads to what did that", async () => {
    run("AGAIN.md", "Write it");
    write("diff --git a/AGAIN.md b/AGAIN.md\n--- a/AGAIN.md\n+++ b/AGAIN.md\n@@ -1 +1 @@\n-hello\n+goodbye\n", "Write it anew");
    const page = await open("/ui/executions?view=all&q=Write%20it");
    await page.getByRole("link", { name: /^completed Write it (?!anew)/ }).click();
    await page.getByRole("button", { name: "Revert" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Revert" }).click();
    const alert = page.getByRole("alert");
    await alert.getByText("Changed since: nothing was undone").waitFor();
    await alert.getByText("AGAIN.md").waitFor();
    await alert.getByRole("link").click();
    await page.waitForFunction(() => document.querySelector("h1")?.textContent === "Write it anew");
    await page.close();
  });

  it("what is new waits above the rows, and rows go on in their place", async () => {
    const page = await open("/ui/executions?view=all");
    const first = await page.locator("a.item b").first().textContent();
    run("NOTE.md", "Add a note");
    await page.getByText("1 new").waitFor({ timeout: 15_000 });
    assert.equal(await page.locator("a.item b").first().textContent(), first);
    await page.getByRole("button", { name: "Show", exact: true }).click();
    await page.waitForFunction(() => document.querySelector("a.item b")?.textContent === "Add a note");
    await page.close();
  });

  it("relatives that are not drawn: how many, and the way to them", async () => {
    const page = await open("/ui/executions/sweep?tab=lineage");
    const graph = page.getByRole("group", { name: /^Graph of the relatives/ });
    // 300 children, of which 199 fit beside their parent; the first of them has one more.
    await graph.getByRole("link", { name: "+101 more children" }).waitFor();
    assert.equal(await page.getByRole("treeitem").count(), 200);
    const tree = page.getByRole("tree");
    await tree.getByRole("link", { name: "+101 more children" }).click();
    await page.waitForURL(/near=400/);
    await page.waitForFunction(() => document.querySelectorAll("[role=treeitem]").length > 300);
    await page.goBack();
    await tree.getByRole("treeitem").filter({ hasText: "Reformat part 1" }).first().scrollIntoViewIfNeeded();
    await tree.getByRole("link", { name: "+1 more children" }).first().click();
    await page.waitForURL(/sweep_001/);
    // From the side of the family: its parent has more children than are drawn, and leads to them.
    await page.getByRole("tree").getByText("Reformat part 301").waitFor();
    await page.close();
  });

  it("the server says what it is: engine, size, policy, and who may ask it", async () => {
    const page = await open("/ui/health");
    const text = (await page.locator("main").innerText()).replace(/\s+/g, " ");
    assert.match(text, /Engine SQLite 3\.\d+.* Size of the record [\d.]+ [KM]B/);
    const { workspaces } = await (await context.request.get(`${server.origin}/workspaces`)).json();
    assert.match(text, new RegExp(workspaces.find((each) => each.served).policy.hash.slice(0, 12)));
    const tokens = page.getByRole("region", { name: "Tokens of programs" });
    assert.match((await tokens.innerText()).replace(/\s+/g, " "), /2 active .*reviewer \w{8} read approve .*in 2 d .*ci \w{8} read run .*in 2 mo .*laptop \w{8} read .*revoked/);
    await page.close();
    const stranger = await browser.newContext();
    const other = await open("/ui/health", stranger);
    assert.match(await other.getByRole("region", { name: "Tokens of programs" }).innerText(), /This needs a session/);
    await stranger.close();
  });

  it("without a session says how to get one, and shows the rest", async () => {
    const stranger = await browser.newContext();
    const page = await open(known.paths.changes, stranger);
    assert.match(await page.locator(".problem").innerText(), /executor serve/);
    assert.equal(await page.locator("h1").first().innerText(), "Add tax");
    await stranger.close();
  });

  it("says when the server is gone, and goes on when it is back", { timeout: 60_000 }, async () => {
    const page = await open("/ui/executions?view=all");
    await page.route("**/executions/*", (route) => route.abort());
    await page.locator("a.item").first().click();
    await page.getByText("The server cannot be reached").waitFor({ timeout: 20_000 });
    await page.unroute("**/executions/*");
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByRole("tab", { name: /Timeline/ }).waitFor();
    await page.close();
  });
});

it("the browser had nothing to complain about", () => {
  assert.deepEqual(troubles, []);
});
