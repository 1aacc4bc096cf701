/**
 * `npm run fuzz -- [--rounds N] [--seed S] [--target NAME]`: long runs of the fuzzed parts of keel. Targets: those of
 * plans.ts, and `binary` (root): the built keel with changed bundles. A fault is told with its seed and its round.
 */
import { parseArgs } from "node:util";
import { runBinary } from "./binary.ts";
import { TARGETS } from "./plans.ts";
import { Random } from "./random.ts";

const { values } = parseArgs({
  options: { rounds: { type: "string" }, seed: { type: "string" }, target: { type: "string" } },
});
const SHOWN = 10;
const rounds = Number(values.rounds ?? 20_000);
const seed = Number(values.seed ?? Date.now() % 1_000_000);

function run(name: string, round: (random: Random) => unknown, count: number): boolean {
  const started = performance.now();
  const faults = new Map<string, string>();
  let random = new Random(seed);
  for (let i = 0; i < count; i++) {
    // each round has its own numbers, so that one can be repeated alone
    random = new Random(seed + i);
    try {
      round(random);
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      const kind = text
        .replaceAll(/ for [\s\S]*| (in|from|at) "[\s\S]*/g, "")
        .replaceAll(/\d+/g, "N")
        .slice(0, 160);
      if (!faults.has(kind))
        faults.set(kind, `--seed ${seed + i} --rounds 1: ${text.slice(0, count === 1 ? 100_000 : 400)}`);
    }
  }
  const seconds = (performance.now() - started) / 1000;
  console.log(
    `${faults.size === 0 ? "ok  " : "FAIL"} ${name}: ${count} rounds from seed ${seed} in ${seconds.toFixed(1)} s`,
  );
  for (const fault of [...faults.values()].slice(0, SHOWN)) console.log(`     ${fault}`);
  if (faults.size > SHOWN) console.log(`     and ${faults.size - SHOWN} more`);
  return faults.size === 0;
}

let ok = true;
for (const [name, round] of Object.entries(TARGETS)) {
  if (values.target === undefined || values.target === name) ok = run(name, round, rounds) && ok;
}
if (values.target === "binary" || (values.target === undefined && process.getuid?.() === 0))
  ok = runBinary((round) => run("binary", round, values.rounds === undefined ? 1000 : rounds)) && ok;
process.exitCode = ok ? 0 : 1;
