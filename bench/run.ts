/** `npm run bench [CASE…]`: compares Berth with its peers in one run and says which promise holds. Needs root. */

import { readFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { engineCase } from "./cases/engine.ts";
import { imagesCase } from "./cases/images.ts";
import { runtimeCase } from "./cases/runtime.ts";

const CASES: Readonly<Record<string, () => boolean | Promise<boolean>>> = {
  runtime: runtimeCase,
  engine: engineCase,
  images: imagesCase,
};

async function main(wanted: readonly string[]): Promise<number> {
  const unknown = wanted.filter((name) => CASES[name] === undefined);
  if (unknown.length > 0) {
    console.error(`unknown case ${unknown.join(", ")}: one of ${Object.keys(CASES).join(", ")}`);
    return 2;
  }
  if (process.geteuid?.() !== 0) {
    console.error("containers of the peers need root: run it with sudo");
    return 2;
  }
  const kernel = readFileSync("/proc/sys/kernel/osrelease", "utf8").trim();
  console.log(`${cpus().length} processors, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${kernel}`);
  let met = true;
  for (const [name, body] of Object.entries(CASES)) {
    if (wanted.length === 0 || wanted.includes(name)) met = (await body()) && met;
  }
  console.log(met ? "\nall targets met" : "\nsome targets missed");
  return 0;
}

process.exitCode = await main(process.argv.slice(2));
