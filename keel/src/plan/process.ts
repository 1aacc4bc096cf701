import { runtimeError } from "../lib/errors.ts";
import { addCap, CAP_SYS_ADMIN, CAPABILITIES, type CapMask, capMask, hasCap, intersect } from "../spec/capabilities.ts";
import type { CapabilitySet, Process, Rlimit, Seccomp, Spec } from "../spec/types.ts";

/** What the container's process becomes right before execve; numbers only, so that nothing is decided late. */
export interface ProcessPlan {
  readonly args: readonly string[];
  /** Last one of duplicate names wins; HOME is added later from the container's passwd when it is missing or empty. */
  readonly env: readonly string[];
  readonly needsHome: boolean;
  readonly cwd: string;
  readonly uid: number;
  readonly gid: number;
  /** Undefined: those of the caller are kept. */
  readonly additionalGids: readonly number[] | undefined;
  readonly umask: number;
  readonly noNewPrivileges: boolean;
  /** Undefined: capabilities are left as they are. */
  readonly caps:
    | {
        readonly bounding: CapMask;
        readonly effective: CapMask;
        readonly permitted: CapMask;
        readonly inheritable: CapMask;
        readonly ambient: CapMask;
      }
    | undefined;
  readonly terminal: boolean;
  readonly rows: number;
  readonly columns: number;
  readonly apparmorProfile: string;
  readonly selinuxLabel: string;
  /** 0 or 1 × each of soft and hard: [resource number, soft, hard]. */
  readonly rlimits: readonly (readonly [string, number, number | string, number | string])[];
  readonly oomScoreAdj: number | undefined;
  /** Capabilities that are left out, as sentences: the specification wants a warning and no failure. */
  readonly warnings: readonly string[];
}

/** Resource numbers of prlimit(2), in order. */
const RLIMITS: readonly string[] = (
  "RLIMIT_CPU RLIMIT_FSIZE RLIMIT_DATA RLIMIT_STACK RLIMIT_CORE RLIMIT_RSS RLIMIT_NPROC RLIMIT_NOFILE RLIMIT_MEMLOCK " +
  "RLIMIT_AS RLIMIT_LOCKS RLIMIT_SIGPENDING RLIMIT_MSGQUEUE RLIMIT_NICE RLIMIT_RTPRIO RLIMIT_RTTIME"
).split(" ");

/**
 * Pure. `seccomp` without no_new_privs needs CAP_SYS_ADMIN when the filter is loaded, which is the very last thing
 * before execve (after it, a strict filter may forbid everything else). So that one capability is kept in the
 * permitted and effective sets until then; execve computes the sets anew from uid, ambient and bounding set
 * (capabilities(7) "Transformation of capabilities during execve"), so the program never has it.
 */
export function planProcess(
  process: Process,
  seccomp: Seccomp | undefined,
  annotations: Spec["annotations"] = {},
): ProcessPlan {
  const user = process.user || { uid: 0, gid: 0 };
  const env = uniqueEnv(process.env || []);
  const spec = process.capabilities;
  let caps: ProcessPlan["caps"];
  const warnings: string[] = [];
  if (spec) {
    const permitted = capMask(spec.permitted);
    const effective = intersect(capMask(spec.effective), permitted);
    const inheritable = capMask(spec.inheritable);
    const ambient = intersect(intersect(capMask(spec.ambient), permitted), inheritable);
    warnUnknown(spec, warnings);
    // without inheritable ones (CVE-2022-29162) nothing can be ambient, and callers name them all the same: buildah, runc spec
    if (inheritable.lo !== 0 || inheritable.hi !== 0) warnAmbient(spec.ambient || [], ambient, warnings);
    if (seccomp && !process.noNewPrivileges) {
      addCap(permitted, CAP_SYS_ADMIN);
      addCap(effective, CAP_SYS_ADMIN);
    }
    caps = { bounding: capMask(spec.bounding), effective, permitted, inheritable, ambient };
  }
  const rlimits: (readonly [string, number, number | string, number | string])[] = [];
  const limits = process.rlimits || [];
  for (let i = 0; i < limits.length; i++) {
    const limit = limits[i] as Rlimit;
    const number = RLIMITS.indexOf(limit.type);
    if (number < 0)
      throw runtimeError(
        "InvalidArgument",
        `invalid config.json: process.rlimits[${i}].type: unknown resource "${limit.type}"`,
      );
    rlimits.push([limit.type, number, limit.soft, limit.hard]);
  }
  const size = process.consoleSize || { height: 0, width: 0 };
  return {
    args: process.args,
    env: env.list,
    needsHome: !env.home,
    cwd: process.cwd,
    uid: user.uid || 0,
    gid: user.gid || 0,
    // crun's, for groups that no config can name: those of a user namespace's creator
    additionalGids: annotations["run.oci.keep_original_groups"] === "1" ? undefined : user.additionalGids || [],
    umask: user.umask === undefined || user.umask === null ? 0o022 : user.umask,
    noNewPrivileges: process.noNewPrivileges === true,
    caps,
    terminal: process.terminal === true,
    rows: size.height,
    columns: size.width,
    apparmorProfile: process.apparmorProfile || "",
    selinuxLabel: process.selinuxLabel || "",
    rlimits,
    oomScoreAdj: process.oomScoreAdj,
    warnings,
  };
}

const SETS: readonly CapabilitySet[] = ["bounding", "permitted", "effective", "inheritable", "ambient"];

function warnUnknown(spec: NonNullable<Process["capabilities"]>, warnings: string[]): void {
  const unknown: string[] = [];
  for (let k = 0; k < SETS.length; k++) {
    const names = spec[SETS[k] as CapabilitySet] || [];
    for (let i = 0; i < names.length; i++) {
      const name = names[i] as string;
      if (CAPABILITIES.indexOf(name) < 0 && unknown.indexOf(name) < 0) unknown.push(name);
    }
  }
  if (unknown.length > 0) warnings.push(`ignoring unknown or unavailable capabilities: [${unknown.join(" ")}]`);
}

/** capabilities(7): only what is both permitted and inheritable can be ambient. */
function warnAmbient(wanted: readonly string[], ambient: CapMask, warnings: string[]): void {
  for (let i = 0; i < wanted.length; i++) {
    const number = CAPABILITIES.indexOf(wanted[i] as string);
    if (number >= 0 && !hasCap(ambient, number))
      warnings.push(`can't raise ambient capability ${wanted[i]}: it is not both permitted and inheritable`);
  }
}

function uniqueEnv(env: readonly string[]): { list: string[]; home: boolean } {
  const seen: { [name: string]: boolean } = {};
  const reversed: string[] = [];
  let home = false;
  for (let i = env.length - 1; i >= 0; i--) {
    const entry = env[i] as string;
    const name = `=${entry.split("=")[0]}`;
    if (seen[name]) continue;
    seen[name] = true;
    if (entry.indexOf("HOME=") === 0) {
      if (entry.length === 5) continue;
      home = true;
    }
    reversed.push(entry);
  }
  return { list: reversed.reverse(), home };
}
