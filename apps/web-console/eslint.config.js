import js from "@eslint/js";
import hooks from "eslint-plugin-react-hooks";
import { defineConfig } from "eslint/config";
import ts from "typescript-eslint";

// Text from outside reaches the page as text nodes alone, so that nothing of it can run.
const RAW_HTML = ["dangerouslySetInnerHTML", "innerHTML", "outerHTML", "insertAdjacentHTML", "srcDoc"];

export default defineConfig(
  { ignores: ["node_modules", "e2e/node_modules", "src/api/schema.d.ts", "dist"] },
  js.configs.recommended,
  {
    files: ["src/**/*.{ts,tsx}"],
    extends: [ts.configs.strictTypeChecked],
    plugins: { "react-hooks": hooks },
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "react-hooks/rules-of-hooks": "error",
      "react-hooks/exhaustive-deps": "error",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "no-restricted-syntax": [
        "error",
        { selector: `JSXAttribute[name.name=/^(${RAW_HTML.join("|")})$/]`, message: "text from outside is a text node" },
        { selector: `MemberExpression[property.name=/^(${RAW_HTML.join("|")})$/]`, message: "text from outside is a text node" },
      ],
    },
  },
  {
    files: ["*.js", "public/**/*.js", "e2e/**/*.mjs"],
    languageOptions: {
      globals: Object.fromEntries(
        ["process", "console", "document", "window", "localStorage", "matchMedia", "URL", "Buffer", "setTimeout",
          "fetch", "performance", "getComputedStyle", "innerWidth", "location", "history", "PopStateEvent"].map((name) => [name, "readonly"]),
      ),
    },
  },
);
