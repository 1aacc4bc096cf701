/** keel's scripts, each a single one in ES5: esbuild joins and shakes, SWC lowers, the gate has the last word. */
import { readFileSync } from "node:fs";
import { relative, resolve } from "node:path";
import { transform } from "@swc/core";
import { type BuildOptions, build, type Plugin } from "esbuild";
import { findEs5Faults } from "./es5-gate.ts";

const ROOT = resolve(import.meta.dirname, "..");
/** In a script that is joined with another one: what it takes of that one. */
const SHARED = /keelShared\("([^"#]+)#(\w+)"\)/g;

/** The bundler puts them in place, so nobody takes them from another script. */
const CONSTANTS = "keel/src/lib/consts.ts";

/** One export of a source file, `path#name`. */
export type SharedName = string;

const OPTIONS: BuildOptions = {
  absWorkingDir: ROOT,
  bundle: true,
  write: false,
  format: "iife",
  target: "es2022",
  platform: "neutral",
  charset: "ascii",
  mainFields: ["module", "main"],
  conditions: ["node"],
  // puts constants in place of the names of lib/consts.ts: each would be a variable to make at every start
  minifySyntax: true,
  // the names of variables are strings in the engine's heap
  minifyIdentifiers: true,
  legalComments: "none",
  tsconfigRaw: { compilerOptions: { useDefineForClassFields: false } },
  logLevel: "warning",
};

/** Paths of the source files that a bundle of this entry has something of to share. */
export async function filesOf(entry: string): Promise<ReadonlySet<string>> {
  const { metafile } = await build({ ...OPTIONS, entryPoints: [entry], metafile: true });
  const inputs = Object.values(metafile?.outputs ?? {}).flatMap((output) => Object.entries(output.inputs));
  const found = inputs.filter(([path, { bytesInOutput }]) => bytesInOutput > 0 && path !== CONSTANTS);
  return new Set(found.map(([path]) => path));
}

/**
 * A script that is evaluated where another one was before, and has nothing of the source files `shared` itself: it says
 * `keelShared("path#name")` for what it takes of them.
 */
export async function bundlePart(entry: string, shared: ReadonlySet<string>): Promise<string> {
  return joined({ entryPoints: [entry], plugins: [sharing(shared)] });
}

/** A script on its own, which leaves `names` at hand for others: a global array in this order. */
export async function bundleWhole(entry: string, names: readonly SharedName[]): Promise<string> {
  const imports = names.map((shared, index) => {
    const [path, name] = shared.split("#");
    return `import { ${name} as shared${index} } from "./${path}";\n`;
  });
  const list = names.map((_, index) => `shared${index}`).join(", ");
  const array = names.length === 0 ? "" : `globalThis.keelShared = [${list}];\n`;
  return joined({ stdin: { contents: `${imports.join("")}import "./${entry}";\n${array}`, resolveDir: ROOT } });
}

/** What a part takes of the shared files. */
export function namesIn(part: string): readonly SharedName[] {
  return [...part.matchAll(SHARED)].map(([, path, name]) => `${path}#${name}`);
}

/** The part with the places of these names in the whole's array. */
export function linked(part: string, names: readonly SharedName[]): string {
  return part.replaceAll(SHARED, (_, path, name) => `keelShared[${names.indexOf(`${path}#${name}`)}]`);
}

function sharing(shared: ReadonlySet<string>): Plugin {
  return {
    name: "shared",
    setup({ onResolve, onLoad }): void {
      onResolve({ filter: /\.ts$/ }, ({ path, resolveDir, kind }) => {
        const file = relative(ROOT, resolve(resolveDir, path));
        return kind !== "entry-point" && shared.has(file) ? { path: file, namespace: "shared" } : undefined;
      });
      onLoad({ filter: /./, namespace: "shared" }, ({ path }) => {
        const source = readFileSync(resolve(ROOT, path), "utf8");
        // no classes: only where `new` is seen beside a function may it be called so (lean-code.ts)
        const names = [...source.matchAll(/^export (?:const|function) (\w+)/gm)].map(([, name]) => name);
        const lines = names.map((name) => `export var ${name} = /* @__PURE__ */ keelShared("${path}#${name}");\n`);
        return { contents: lines.join(""), loader: "js" };
      });
    },
  };
}

/** Esbuild's one file in ES5, free of anything that Duktape lacks. */
async function joined(options: BuildOptions): Promise<string> {
  const what = options.stdin === undefined ? String(options.entryPoints) : "the image";
  const { outputFiles } = await build({ ...OPTIONS, ...options });
  const file = outputFiles?.[0];
  if (file === undefined) throw new Error(`bundle ${what}: esbuild returned no file`);
  const lowered = await transform(file.text, {
    configFile: false,
    swcrc: false,
    isModule: false,
    jsc: {
      target: "es5",
      // its exact mode emits iterators and Reflect calls that Duktape 2.7 lacks
      loose: true,
      parser: { syntax: "ecmascript" },
      assumptions: {
        iterableIsArray: true,
        setSpreadProperties: true,
        ignoreFunctionLength: true,
        ignoreFunctionName: true,
      },
      output: { charset: "ascii" },
    },
  });
  const faults = findEs5Faults(lowered.code);
  if (faults.length > 0) throw new Error(`bundle ${what}: Duktape cannot run it:\n  ${faults.join("\n  ")}`);
  return lowered.code;
}
