import { oneId, type ParsedArgs, parseArgs } from "../lib/args.ts";
import { context } from "../lib/context.ts";
import { runtimeError } from "../lib/errors.ts";
import { parseJson, readJson, readStdin } from "../lib/files.ts";
import { runCommand } from "../lib/report.ts";
import { parseBytes } from "../lib/units.ts";
import { updateContainer, updateSchemata } from "../run/update.ts";
import type { Resources } from "../spec/types.ts";

/** Flag → section and field of the resources, and how its text is read. */
const LIMITS: { readonly [flag: string]: readonly [string, string, "number" | "bytes" | "text"] } = {
  "blkio-weight": ["blockIO", "weight", "number"],
  "cpu-period": ["cpu", "period", "number"],
  "cpu-quota": ["cpu", "quota", "number"],
  "cpu-burst": ["cpu", "burst", "number"],
  "cpu-share": ["cpu", "shares", "number"],
  "cpu-rt-period": ["cpu", "realtimePeriod", "number"],
  "cpu-rt-runtime": ["cpu", "realtimeRuntime", "number"],
  "cpu-idle": ["cpu", "idle", "number"],
  "cpuset-cpus": ["cpu", "cpus", "text"],
  "cpuset-mems": ["cpu", "mems", "text"],
  memory: ["memory", "limit", "bytes"],
  "memory-reservation": ["memory", "reservation", "bytes"],
  "memory-swap": ["memory", "swap", "bytes"],
  "pids-limit": ["pids", "limit", "number"],
};

function flagTable(): { flags: { [name: string]: "string" }; short: { [letter: string]: string }; anywhere: true } {
  const flags: { [name: string]: "string" } = {
    resources: "string",
    // taken and ignored, as runc does since kernels lost them
    "kernel-memory": "string",
    "kernel-memory-tcp": "string",
    "l3-cache-schema": "string",
    "mem-bw-schema": "string",
  };
  for (const name in LIMITS) flags[name] = "string";
  return { flags, short: { r: "resources" }, anywhere: true };
}

function update(): number {
  const parsed = parseArgs(context().args, flagTable());
  const id = oneId("update", parsed.rest);
  const file = parsed.values["resources"];
  updateContainer(id, file === undefined ? fromFlags(parsed) : readResources(file));
  const { "l3-cache-schema": l3, "mem-bw-schema": bandwidth } = parsed.values;
  const schemata: string[] = [];
  if (l3) schemata.push(l3);
  if (bandwidth) schemata.push(bandwidth);
  if (schemata.length > 0) updateSchemata(id, schemata);
  return 0;
}

function readResources(file: string): Resources {
  return (file === "-" ? parseJson(readStdin(), "resources from stdin") : readJson(file, "resources")) as Resources;
}

function fromFlags(parsed: ParsedArgs): Resources {
  const resources: { [section: string]: { [field: string]: number | string } } = {};
  for (const flag in LIMITS) {
    const text = parsed.values[flag];
    if (text === undefined) continue;
    const [section, field, kind] = LIMITS[flag] as (typeof LIMITS)[string];
    const value = kind === "text" ? text : kind === "bytes" ? parseBytes(text) : wholeNumber(text);
    if (value === undefined)
      throw runtimeError(
        "InvalidArgument",
        `--${flag}: must be a whole number${kind === "bytes" ? ", with a unit such as 64M if you like" : ""}, is "${text}"`,
      );
    if (!resources[section]) resources[section] = {};
    (resources[section] as { [field: string]: number | string })[field] = value;
  }
  return resources as Resources;
}

/** All digits are kept: what a number cannot hold stays text, as in a file that was read. */
function wholeNumber(text: string): number | string | undefined {
  if (!/^-?\d{1,20}$/.test(text)) return undefined;
  return text.length > 15 ? text : Number(text);
}

runCommand(update, 1);
