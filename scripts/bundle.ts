/** One entry of keel as a single ES5 script: esbuild joins and shakes, SWC lowers, the gate has the last word. */
import { resolve } from "node:path";
import { transform } from "@swc/core";
import { build } from "esbuild";
import { findEs5Faults } from "./es5-gate.ts";

const ROOT = resolve(import.meta.dirname, "..");

/**
 * @param entry path of the entry below the root, for example `keel/src/entry/main.ts`
 * @returns the script, free of anything Duktape lacks
 */
export async function bundleKeel(entry: string): Promise<string> {
  const joined = await build({
    absWorkingDir: ROOT,
    entryPoints: [entry],
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
    legalComments: "none",
    tsconfigRaw: { compilerOptions: { useDefineForClassFields: false } },
    logLevel: "warning",
  });
  const [file] = joined.outputFiles;
  if (file === undefined) throw new Error(`bundle ${entry}: esbuild returned no file`);
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
  if (faults.length > 0) throw new Error(`bundle ${entry}: Duktape cannot run it:\n  ${faults.join("\n  ")}`);
  return lowered.code;
}
