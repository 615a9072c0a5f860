import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// The build goes into the Python package that serves it. Nothing is inlined: the content security policy of the
// server allows no inline script, no inline style and no data address but images.
export default defineConfig({
  base: "/ui/",
  plugins: [react()],
  build: {
    outDir: process.env.CONSOLE_OUT ?? "../core-api/executor_api/static",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
    target: "es2022",
    chunkSizeWarningLimit: 900,
  },
  server: { proxy: { "^/(?!ui/|@|src/|node_modules/)": process.env.EXECUTOR_SERVER ?? "http://127.0.0.1:5173" }, port: 5174 },
  test: { include: ["src/**/*.test.ts"], environment: "node" },
});
