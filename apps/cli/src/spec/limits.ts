import { parseBytes } from "@berth/base";
import type { DeviceSpec, Resources, SecurityOptions, Ulimit } from "@berth/engine";
import type { ContainerFlags } from "./flags.ts";
import { invalid, parseTruth } from "./values.ts";

const ULIMITS = new Set(
  "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split(" "),
);
/** docker refuses less; a container could not even start. */
const LEAST_MEMORY = 6 * 1024 * 1024;

/** Docker's flags say 0 for no limit. */
const limit = <T extends number | string>(value: T | undefined): T | undefined => value || undefined;

/** @throws {BerthError} InvalidArgument */
export function parseResources(flags: ContainerFlags): Resources {
  const memoryBytes = limit(flags.memory);
  if (memoryBytes !== undefined && memoryBytes < LEAST_MEMORY) {
    throw invalid(`invalid argument for "-m, --memory" flag: ${memoryBytes} bytes are too few`, "the least is 6m");
  }
  const score = flags["oom-score-adj"];
  if (score !== undefined && Math.abs(score) > 1000) {
    throw invalid(`invalid argument "${score}" for "--oom-score-adj" flag: write -1000 to 1000`);
  }
  return {
    memoryBytes,
    memorySwapBytes: parseSwap(flags["memory-swap"], memoryBytes),
    memoryReservationBytes: limit(flags["memory-reservation"]),
    cpus: limit(flags.cpus),
    cpuShares: limit(flags["cpu-shares"]),
    cpusetCpus: limit(flags["cpuset-cpus"]),
    cpusetMems: limit(flags["cpuset-mems"]),
    pidsLimit: limit(flags["pids-limit"]),
    shmBytes: limit(flags["shm-size"]),
    oomScoreAdj: score,
  };
}

function parseSwap(text: string | undefined, memoryBytes: number | undefined): number | undefined {
  const swap = text === undefined ? undefined : text === "-1" ? -1 : limit(parseBytes(text));
  if (swap === undefined) return undefined;
  const hint = "it counts memory and swap together";
  if (memoryBytes === undefined) throw invalid('"--memory-swap" needs "--memory" too', hint);
  if (swap !== -1 && swap < memoryBytes) throw invalid(`"--memory-swap" of ${text} is less than "--memory"`, hint);
  return swap;
}

/** `NAME=SOFT[:HARD]`; -1 and `unlimited`: no limit. */
export function parseUlimit(text: string): Ulimit {
  const match = /^([a-z]+)=(-1|\d+|unlimited)(?::(-1|\d+|unlimited))?$/i.exec(text);
  const fail = (why: string): Error => invalid(`invalid argument "${text}" for "--ulimit" flag: ${why}`);
  if (match === null) throw fail("write NAME=SOFT[:HARD]");
  const name = (match[1] ?? "").toLowerCase();
  if (!ULIMITS.has(name)) throw fail(`invalid ulimit type: ${name}`);
  const amount = (value: string): number => (/^\d+$/.test(value) ? Number(value) : -1);
  const soft = amount(match[2] ?? "");
  const hard = amount(match[3] ?? match[2] ?? "");
  if (hard !== -1 && (soft === -1 || soft > hard))
    throw fail("ulimit soft limit must be less than or equal to hard limit");
  return { name, soft, hard };
}

/** `HOST[:CONTAINER[:ACCESS]]`. */
export function parseDevice(text: string): DeviceSpec {
  const [hostPath = "", second, third, ...more] = text.split(":");
  const fail = (why: string): Error => invalid(`invalid argument "${text}" for "--device" flag: ${why}`);
  // The second part may be the access: `/dev/x:r`.
  const short = third === undefined && second !== undefined && /^[rwm]{1,3}$/.test(second);
  const containerPath = second === undefined || short ? hostPath : second;
  const access = short ? second : (third ?? "rwm");
  if (more.length > 0 || !hostPath.startsWith("/") || !containerPath.startsWith("/"))
    throw fail("write HOST[:CONTAINER[:rwm]]");
  if (!/^[rwm]{1,3}$/.test(access)) throw fail(`invalid mode: ${access}`);
  return { hostPath, containerPath, access };
}

/** @throws {BerthError} InvalidArgument; NotFound if a seccomp profile is not there */
export function parseSecurity(items: readonly string[], readFile: (path: string) => string): SecurityOptions {
  let noNewPrivileges = false;
  let seccomp = "default";
  let apparmor: string | undefined;
  let systemPathsUnconfined = false;
  for (const item of items) {
    const [, key = item, value = ""] = /^([^=:]+)[=:](.*)$/s.exec(item) ?? [];
    if (key === "no-new-privileges") noNewPrivileges = parseTruth(value, "--security-opt no-new-privileges");
    else if (key === "seccomp" && value !== "") seccomp = parseSeccomp(value, readFile);
    else if (key === "apparmor" && value !== "") apparmor = value;
    else if (key === "systempaths" && value === "unconfined") systemPathsUnconfined = true;
    // There is no SELinux label to switch off.
    else if (!(key === "label" && value === "disable")) {
      throw invalid(
        `invalid argument "${item}" for "--security-opt" flag`,
        "one of no-new-privileges, seccomp=default|unconfined|FILE, apparmor=PROFILE|unconfined, systempaths=unconfined",
      );
    }
  }
  return { noNewPrivileges, seccomp, apparmor, systemPathsUnconfined };
}

function parseSeccomp(value: string, readFile: (path: string) => string): string {
  if (value === "unconfined") return value;
  if (value === "default" || value === "builtin") return "default";
  const text = readFile(value);
  try {
    JSON.parse(text);
  } catch (error) {
    throw invalid(`read seccomp profile ${value}: not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  return text;
}
