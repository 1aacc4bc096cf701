/** Bundles the command line into one file: Node.js opens one file instead of hundreds and strips no types at start. */
import { renameSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { build } from "esbuild";

const ROOT = resolve(import.meta.dirname, "..");
const output = join(ROOT, "dist/berth.mjs");

const result = await build({
  absWorkingDir: ROOT,
  entryPoints: ["apps/cli/src/main.ts"],
  bundle: true,
  write: false,
  platform: "node",
  format: "esm",
  target: "node26",
  legalComments: "none",
  // CommonJS dependencies inside the bundle call require.
  banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
  logLevel: "warning",
});
const [file] = result.outputFiles;
if (file === undefined) throw new Error("esbuild returned no file");
writeFileSync(`${output}.new`, file.contents);
renameSync(`${output}.new`, output);
