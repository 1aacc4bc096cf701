/**
 * Bundles the command line into one file: Node.js opens one file instead of hundreds and strips no types at start.
 *
 * The bundle is a script in a module's clothes: esbuild's CommonJS output, in which what is imported dynamically runs
 * when it is first asked for, with a `require` that loads modules of Node.js at their first use. A static import of
 * node:fs alone costs 3 ms, because it touches every lazy part of it, and node:crypto 5 ms; `berth version` took 10 ms
 * beyond an empty script with them, and takes 2 without.
 */
import { renameSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { build } from "esbuild";

const ROOT = resolve(import.meta.dirname, "..");
const output = join(ROOT, "dist/berth.mjs");

const banner = `const __dirname = import.meta.dirname;
const require = (id) => {
  if (id === "node:fs" || id === "node:path") return process.getBuiltinModule(id);
  let loaded;
  return new Proxy({}, { get: (_, name) => (loaded ??= process.getBuiltinModule(id))[name] });
};`;

const result = await build({
  absWorkingDir: ROOT,
  entryPoints: ["apps/cli/src/main.ts"],
  bundle: true,
  write: false,
  platform: "node",
  format: "cjs",
  target: "node26",
  define: { "import.meta.dirname": "__dirname" },
  // Names stay, for stack traces.
  minifyWhitespace: true,
  minifySyntax: true,
  legalComments: "none",
  // bcryptjs asks it for salts where there is no Web Crypto; we only compare, and Node.js has it.
  alias: { crypto: "./scripts/no-crypto.ts" },
  banner: { js: banner },
  logLevel: "warning",
});
const [file] = result.outputFiles;
if (file === undefined) throw new Error("esbuild returned no file");
// The lazy modules have no list of their exports that could be copied, and only Node.js's own are found. A dynamic import of
// node:http takes 50 ms, for it makes all of its lazy parts: fetch is one.
const bad = /__toESM\(require\("[^"]+"\)|\brequire\("(?!node:)[^"]+"\)|\bimport\("node:https?"\)/.exec(file.text)?.[0];
if (bad !== undefined)
  throw new Error(`bundle: ${bad}: import names from node: modules statically, not the whole or other modules`);
writeFileSync(`${output}.new`, file.contents);
renameSync(`${output}.new`, output);
