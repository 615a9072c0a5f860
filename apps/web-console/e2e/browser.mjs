// A browser for the tests: the one EXECUTOR_BROWSER names, or the one of the package, unpacked into a private folder.

import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const FONTS = `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>FOLDER/fonts</dir><cachedir>FOLDER/cache</cachedir></fontconfig>`;

async function packaged(folder) {
  const { inflate } = await import("@sparticuz/chromium");
  const bin = join(dirname(fileURLToPath(import.meta.resolve("@sparticuz/chromium"))), "..", "bin");
  // The package unpacks into the temporary directory and trusts what lies there already; ours is new and private.
  const outside = process.env.TMPDIR;
  process.env.TMPDIR = folder;
  try {
    const [executablePath] = await Promise.all(
      ["chromium.br", "al2023.tar.br", "fonts.tar.br", "swiftshader.tar.br"].map((name) => inflate(join(bin, name))),
    );
    return { executablePath, libraries: join(folder, "al2023", "lib") };
  } finally {
    if (outside === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = outside;
  }
}

/** Launches it; `close` ends it and removes what was unpacked. */
export async function launch() {
  const { chromium } = await import("playwright-core");
  const folder = mkdtempSync(join(process.env.TMPDIR ?? tmpdir(), "browser-"));
  const named = process.env.EXECUTOR_BROWSER;
  const { executablePath, libraries } = named ? { executablePath: named, libraries: "" } : await packaged(folder);
  mkdirSync(join(folder, "fonts"), { recursive: true });
  const fonts = join(folder, "fonts.conf");
  writeFileSync(fonts, FONTS.replaceAll("FOLDER", folder));
  const env = { ...process.env, HOME: folder, FONTCONFIG_FILE: fonts, ...(libraries ? { LD_LIBRARY_PATH: libraries } : {}) };
  // Chromium's own sandbox needs what containers and other users do not have; it is shown our pages alone.
  const browser = await chromium.launch({ executablePath, env, chromiumSandbox: false, headless: true });
  return {
    browser,
    close: async () => {
      await browser.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** `executor serve` on a free port, and the address that begins a session. */
export async function serve(workspace) {
  const executor = process.env.EXECUTOR ?? "executor";
  // Of the environment what a person's shell has: a server started by an agent or in CI lets nobody approve.
  const env = Object.fromEntries(["PATH", "HOME", "TMPDIR", "LANG"].flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
  const server = spawn(executor, ["serve", "--port", "0"], { cwd: workspace, env, stdio: ["ignore", "pipe", "pipe"] });
  const address = await new Promise((found, failed) => {
    let said = "";
    const heard = (line) => {
      said += `${line}\n`;
      const match = /http:\/\/\S+\/ui\/session\?key=\S+/.exec(line);
      if (match) found(match[0]);
    };
    createInterface({ input: server.stdout }).on("line", heard);
    createInterface({ input: server.stderr }).on("line", heard);
    server.on("exit", (code) => failed(new Error(`executor serve ended with ${code}:\n${said}`)));
  });
  return {
    address,
    origin: new URL(address).origin,
    close: () =>
      new Promise((done) => {
        server.on("exit", done);
        server.kill("SIGTERM");
      }),
  };
}
