/** What keel's gzip decoder and SHA-256 do per second of processor time, beside the libraries made for nothing else. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { median, ROOT, run } from "../measure.ts";
import { printTable, printVerdict } from "../report.ts";

const ROUNDS = 5;
/** Ours / the library's. */
const AT_LEAST = 0.8;
const OPTIONAL: readonly (readonly [header: string, flags: readonly string[]])[] = [
  ["isa-l/igzip_lib.h", ["-DWITH_ISAL", "-lisal"]],
  ["openssl/evp.h", ["-DWITH_CRYPTO", "-lcrypto"]],
];

/** @param files gzip, of what layers hold */
export function throughputRow(dir: string, files: readonly string[]): boolean {
  const tool = buildTool();
  const found = new Map<string, number[]>();
  const input = join(dir, "throughput.gz");
  run("sh", "-c", 'out="$1"; shift; cat "$@" > "$out"', "sh", input, ...files);
  for (let round = 0; round < ROUNDS; round++) {
    for (const line of run(tool, input).trim().split("\n")) {
      const [name = "", rate = "0"] = line.split("\t");
      found.set(name, [...(found.get(name) ?? []), Number(rate)]);
    }
  }
  const rates = [...found].map(([name, values]) => ({ name, rate: median(values) }));
  console.log("\nthroughput of one thread, bytes of tar");
  printTable(
    ["", "MB/s"],
    rates.map(({ name, rate }) => [name, rate.toFixed(0)]),
  );
  let met = true;
  for (const { name, rate } of rates) {
    const [kind = "", who = ""] = name.split(": ");
    const ours = rates.find((other) => other.name === `${kind}: keel`);
    if (ours !== undefined && who !== "keel")
      met = printVerdict(`time of ${kind}, keel / ${who}`, rate / ours.rate, 1 / AT_LEAST) && met;
  }
  return met;
}

function buildTool(): string {
  const tool = join(ROOT, ".tools/bench/throughput");
  mkdirSync(join(ROOT, ".tools/bench"), { recursive: true });
  const native = join(ROOT, "keel/native");
  const sources = [join(ROOT, "bench/native/throughput.c"), join(native, "inflate.c")];
  const flags = OPTIONAL.flatMap(([header, words]) => (hasHeader(header) ? words : []));
  run("gcc", "-O2", "-Wall", `-I${native}`, "-o", tool, ...sources, ...flags, "-lnettle", "-lz");
  return tool;
}

function hasHeader(name: string): boolean {
  return run("sh", "-c", `echo '#include <${name}>' | gcc -E -xc - >/dev/null 2>&1 && echo yes || :`) !== "";
}
