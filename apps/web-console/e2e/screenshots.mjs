// Pictures of every page, light and dark, wide and narrow, of a real server: node screenshots.mjs WORKSPACE FOLDER

import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { launch, serve } from "./browser.mjs";
import { pages, settled } from "./pages.mjs";

const [workspace, folder, only] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
const server = await serve(workspace);
const { browser, close } = await launch();
let bad = 0;
try {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.on("console", (message) => {
    if (message.type() === "error" && !message.text().includes("404")) console.log("console:", message.text());
  });
  page.on("pageerror", (error) => console.log("page:", error.message));
  await page.goto(server.address);
  const { paths } = await pages(context.request, server.origin);
  for (const theme of ["light", "dark"]) {
    for (const width of [1440, 420]) {
      await page.setViewportSize({ width, height: 900 });
      await page.emulateMedia({ colorScheme: theme });
      for (const [name, path] of Object.entries(paths)) {
        if (only && !only.split(",").includes(name)) continue;
        await page.goto(server.origin + path);
        await settled(page);
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (over > 0) {
          bad += 1;
          console.log(`${name} at ${width}: ${over} px too wide`);
        }
        // Of a long page what two screens hold.
        const height = await page.evaluate(() => Math.min(document.documentElement.scrollHeight, 1800));
        await page.screenshot({ path: join(folder, `${name}-${theme}-${width}.png`), fullPage: true, clip: { x: 0, y: 0, width, height } });
      }
    }
  }
  console.log(`${Object.keys(paths).length * 4} pictures in ${folder}, ${bad} too wide`);
} finally {
  await close();
  await server.close();
}
process.exit(bad ? 1 : 0);
