/**
 * Bundles the command line into one script, and makes a snapshot of the heap in which it has run: a process begins with
 * all of it loaded (docs/decisions/0020-cli-snapshot.md). The script alone can be run too, and is what is seen in stacks.
 *
 * esbuild's CommonJS output, in which what is imported dynamically runs when it is first asked for, with a `require`
 * that loads modules of Node.js at their first use: most commands use few of them.
 */
import { spawnSync } from "node:child_process";
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { build } from "esbuild";

const ROOT = resolve(import.meta.dirname, "..");
const script = join(ROOT, "dist/berth.cjs");
const snapshot = join(ROOT, "dist/berth.blob");

/** What a module would read of the builder's process, were it to look at its top; each is put back in the footer. */
const TABOO = ["argv", "cwd", "env", "execPath", "geteuid", "getuid", "pid"];

const banner = `{ const require = (id) => {
  if (id === "node:fs" || id === "node:path") return process.getBuiltinModule(id);
  let loaded;
  return new Proxy({}, { get: (_, name) => (loaded ??= process.getBuiltinModule(id))[name] });
};
const isBuilding = process.getBuiltinModule("node:v8").startupSnapshot.isBuildingSnapshot();
const taken = isBuilding ? ${JSON.stringify(TABOO)}.map((name) => [name, Object.getOwnPropertyDescriptor(process, name)]) : [];
for (const [name] of taken) Object.defineProperty(process, name, { configurable: true, get: () => {
  throw new Error("a module reads process." + name + " at its top: it would get the builder's (ADR 20)");
} });`;

const footer = "for (const [name, was] of taken) Object.defineProperty(process, name, was); }";

const result = await build({
  absWorkingDir: ROOT,
  entryPoints: ["apps/cli/src/main.ts"],
  bundle: true,
  write: false,
  platform: "node",
  format: "cjs",
  target: "node26",
  // A snapshot cannot import: these become require() too.
  supported: { "dynamic-import": false },
  // Names stay, for stack traces.
  minifyWhitespace: true,
  minifySyntax: true,
  legalComments: "none",
  // bcryptjs asks it for salts where there is no Web Crypto; we only compare, and Node.js has it.
  alias: { crypto: "./scripts/no-crypto.ts" },
  banner: { js: banner },
  footer: { js: footer },
  logLevel: "warning",
});
const [file] = result.outputFiles;
if (file === undefined) throw new Error("esbuild returned no file");
// The lazy modules have no list of their exports that could be copied, and only Node.js's own are found.
const bad = /__toESM\(require\("[^"]+"\)|\brequire\("(?!node:)[^"]+"\)/.exec(file.text)?.[0];
if (bad !== undefined)
  throw new Error(`bundle: ${bad}: import names from node: modules statically, not the whole or other modules`);
writeFileSync(`${script}.new`, file.contents);
renameSync(`${script}.new`, script);
writeSnapshot();

function writeSnapshot(): void {
  const config = `${snapshot}.config`;
  // The code cache, of every module of Node.js, would take longer to read than it saves.
  writeFileSync(config, JSON.stringify({ builder: script, withoutCodeCache: true }));
  const args = ["--snapshot-blob", `${snapshot}.new`, "--build-snapshot-config", config];
  const run = spawnSync(process.execPath, args, { encoding: "utf8" });
  rmSync(config);
  if (run.status !== 0) throw new Error(`snapshot: exit code ${run.status ?? run.signal}\n${run.stdout}${run.stderr}`);
  renameSync(`${snapshot}.new`, snapshot);
}
