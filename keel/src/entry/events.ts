import { statsV1, statsV2 } from "../cgroup/stats.ts";
import { oneId, parseArgs } from "../lib/args.ts";
import * as c from "../lib/consts.ts";
import { context } from "../lib/context.ts";
import { runtimeError } from "../lib/errors.ts";
import { print, runCommand } from "../lib/report.ts";
import { parseMilliseconds } from "../lib/units.ts";
import { openOom } from "../run/oom.ts";
import { getRecord, isAlive, type Record } from "../state/store.ts";

/** One JSON object a line, in runc's shape: what the container uses, and each time the kernel kills for memory. */
function events(): number {
  const { values, rest } = parseArgs(context().args, { flags: { interval: "string", stats: "bool" } });
  const id = oneId("events", rest);
  const interval = parseMilliseconds(values["interval"] || "5s");
  if (interval === undefined || interval <= 0)
    throw runtimeError("InvalidArgument", `duration interval must be greater than 0, is "${values["interval"]}"`);
  const record = getRecord(id);
  if (!isAlive(record)) throw runtimeError("FailedPrecondition", `container with id ${id} is not running`);
  if (values["stats"] === "true") printEvent("stats", id, readStats(record));
  else follow(record, interval);
  return 0;
}

function printEvent(type: string, id: string, data?: object): void {
  print(`${JSON.stringify({ type, id, data })}\n`);
}

function follow(record: Record, interval: number): void {
  const pidfd = sys.pidfdOpen(record.pid, 0);
  if (pidfd < 0 || !isAlive(record)) return;
  const oom = openOom(record);
  let next = sys.clockMonotonicUs() / 1000 + interval;
  const out: number[] = [];
  for (;;) {
    const left = Math.ceil(next - sys.clockMonotonicUs() / 1000);
    if (left <= 0) {
      next += interval;
      printEvent("stats", record.id, readStats(record));
      continue;
    }
    if (sys.poll([pidfd, c.POLLIN, oom.fd, oom.events], left, out) <= 0) continue;
    if (out[1] && oom.happened()) printEvent("oom", record.id);
    if (out[0]) return;
  }
}

function readStats(record: Record): object {
  const dirs = record.cgroups;
  const read = (file: string): string | undefined => {
    for (let i = 0; i < dirs.length; i++) {
      const text = sys.readFile(`${dirs[i]}/${file}`);
      if (typeof text === "string") return text;
    }
    return undefined;
  };
  const pages = hugePageSizes(dirs);
  return record.unified ? statsV2(read, pages) : statsV1(read, pages);
}

/** From the names of the files: `hugetlb.2MB.…`. */
function hugePageSizes(dirs: readonly string[]): string[] {
  const sizes: string[] = [];
  for (let i = 0; i < dirs.length; i++) {
    const fd = sys.open(dirs[i] as string, c.O_RDONLY | c.O_DIRECTORY, 0);
    if (fd < 0) continue;
    const names = sys.readdir(fd);
    sys.close(fd);
    if (typeof names === "number") continue;
    for (let k = 0; k < names.length; k++) {
      const match = /^hugetlb\.(\d+[KMG]B)\./.exec(names[k] as string);
      if (match && sizes.indexOf(match[1] as string) < 0) sizes.push(match[1] as string);
    }
  }
  return sizes;
}

runCommand(events, 1);
