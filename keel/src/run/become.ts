import * as c from "../lib/consts.ts";
import { callError, must, runtimeError } from "../lib/errors.ts";
import { traced } from "../lib/trace.ts";
import type { ProcessPlan } from "../plan/process.ts";
import type { SchedulePlan } from "../plan/schedule.ts";
import { CAPABILITIES, hasCap, intersect } from "../spec/capabilities.ts";
import { rare } from "./rare.ts";
import { privateProc } from "./rootfs.ts";
import { sendWarning } from "./sync.ts";

const CAP_LAST_POSSIBLE = 63;

type Caps = NonNullable<ProcessPlan["caps"]>;

export interface Becoming {
  readonly plan: ProcessPlan;
  readonly schedule: SchedulePlan | undefined;
  readonly env: readonly string[];
  /** Where warnings go. */
  readonly sync: number;
}

/**
 * From a finished root to the user's rights: what is the same for init and exec. Returns the program's path, "" when
 * there is no program.
 */
export function becomeProgram({ plan, schedule, env, sync }: Becoming): string {
  const there = traced("chdir", () => enterCwd(plan.cwd, false));
  if (plan.apparmorProfile !== "" || plan.selinuxLabel !== "") traced("labels", () => applyLabels(plan));
  if (schedule) traced("schedule", () => rare().applySchedule(schedule));
  if (plan.noNewPrivileges)
    traced("noNewPrivileges", () => must(sys.prctl(c.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "set no_new_privs"));
  traced("user", () => becomeUser(plan, sync));
  return traced("program", () => {
    if (!there) enterCwd(plan.cwd, true);
    return plan.args.length === 0 ? "" : findProgram(plan.args[0] as string, env);
  });
}

/** HOME from the container's own passwd (root directory when the user has no line), unless the config gives it. */
export function completeEnv(plan: ProcessPlan): string[] {
  const env = plan.env.slice(0);
  if (!plan.needsHome) return env;
  let home = "/";
  const passwd = sys.readFile("/etc/passwd");
  if (typeof passwd === "string") {
    const lines = passwd.split("\n");
    for (let i = 0; i < lines.length; i++) {
      const fields = (lines[i] as string).split(":");
      if (fields.length >= 6 && fields[2] === String(plan.uid)) {
        home = fields[5] || "/";
        break;
      }
    }
  }
  env.push(`HOME=${home}`);
  return env;
}

/**
 * chdir, and proof that the result lies in the container's root (CVE-2024-21626). Either root (on root-squashed NFS) or
 * the user may lack the right: tried before the user change, and if that returns false once more `late`, after it.
 */
function enterCwd(cwd: string, late: boolean): boolean {
  const result = sys.chdir(cwd);
  if (result < 0) {
    if (!late && result === -c.EACCES) return false;
    throw callError(`chdir to cwd ("${cwd}") set in config.json failed`, result);
  }
  const now = sys.getcwd();
  if (typeof now === "number" || now.charAt(0) !== "/") {
    throw runtimeError(
      "PermissionDenied",
      `chdir to cwd ("${cwd}"): current working directory is outside of container mount namespace root`,
      "cwd must be a directory of the container",
    );
  }
  return true;
}

/** Gives stdio to the container's user, so that /dev/stdout can be opened again; the null device stays as it is. */
export function prepareStdio(plan: ProcessPlan): void {
  for (let fd = 0; fd < 3; fd++) {
    const stat = sys.fstat(fd);
    if (typeof stat === "number") continue;
    if ((stat.mode & c.S_IFMT) === c.S_IFCHR && stat.rdevMajor === 1 && stat.rdevMinor === 3) {
      const own = sys.open("/dev/null", c.O_RDWR, 0);
      if (own >= 0) {
        sys.dup2(own, fd);
        sys.close(own);
      }
      continue;
    }
    // refused on read-only or foreign file systems, and for ids that are not mapped: then it stays as it was
    if (stat.uid !== plan.uid) sys.fchownat(fd, "", plan.uid, plan.gid, c.AT_EMPTY_PATH);
  }
}

/** Labels for the coming execve, written below a private procfs (CVE-2019-16884). */
function applyLabels(plan: ProcessPlan): void {
  const proc = privateProc();
  if (plan.apparmorProfile !== "") {
    const result = sys.writeFileAt(
      proc,
      "thread-self/attr/apparmor/exec",
      `exec ${plan.apparmorProfile}`,
      c.O_WRONLY,
      0,
    );
    if (result < 0)
      throw callError(
        `apply apparmor profile ${plan.apparmorProfile}`,
        result,
        "AppArmor must be enabled and the profile loaded on the host",
      );
  }
  if (plan.selinuxLabel !== "") {
    const result = sys.writeFileAt(proc, "thread-self/attr/exec", plan.selinuxLabel, c.O_WRONLY, 0);
    if (result < 0)
      throw callError(`apply SELinux label ${plan.selinuxLabel}`, result, "SELinux must be enabled on the host");
  }
  sys.close(proc);
}

/**
 * User, groups and capabilities, in the one order that works: bounding set while CAP_SETPCAP is there, ids with
 * keepcaps, then the sets, ambient last (facts e.19).
 */
function becomeUser(plan: ProcessPlan, sync: number): void {
  sys.umask(plan.umask);
  const caps = plan.caps;
  if (caps) {
    for (let cap = 0; cap <= CAP_LAST_POSSIBLE; cap++) {
      if (hasCap(caps.bounding, cap)) continue;
      const result = sys.prctl(c.PR_CAPBSET_DROP, cap, 0, 0, 0);
      // EINVAL: past the last capability of this kernel. EPERM without the right: it holds none of them either
      if (result === -c.EINVAL) break;
      must(result, `drop capability ${cap} from the bounding set`);
    }
    must(sys.prctl(c.PR_SET_KEEPCAPS, 1, 0, 0, 0), "keep capabilities over the user change");
  }
  const additional = plan.additionalGids;
  const groups = additional ? sys.setgroups(additional) : 0;
  // EPERM: setgroups is denied in this user namespace; then there must be nothing to set
  if (groups < 0 && additional && !(groups === -c.EPERM && additional.length === 0)) {
    throw callError(
      `set additional groups [${additional.join(",")}]`,
      groups,
      "they must be mapped in the user namespace",
    );
  }
  must(sys.setresgid(plan.gid, plan.gid, plan.gid), `set gid to ${plan.gid}`);
  must(sys.setresuid(plan.uid, plan.uid, plan.uid), `set uid to ${plan.uid}`);
  if (!caps) return;
  let granted = caps;
  let result = setCaps(granted);
  if (result === -c.EPERM) {
    // runtime-spec: what cannot be granted is left out with a warning
    granted = grantable(caps, sync);
    result = setCaps(granted);
  }
  must(result, "set capabilities");
  if (granted.ambient.lo !== 0 || granted.ambient.hi !== 0) {
    for (let cap = 0; cap <= CAP_LAST_POSSIBLE; cap++) {
      if (hasCap(granted.ambient, cap))
        must(sys.prctl(c.PR_CAP_AMBIENT, c.PR_CAP_AMBIENT_RAISE, cap, 0, 0), `raise ambient capability ${cap}`);
    }
  }
}

function setCaps(caps: Caps): number {
  const { effective, permitted, inheritable } = caps;
  return sys.capset(effective.lo, effective.hi, permitted.lo, permitted.hi, inheritable.lo, inheritable.hi);
}

/** The sets without what this process does not have itself. */
function grantable(caps: Caps, sync: number): Caps {
  const held = sys.capget();
  const own = { lo: held[2] as number, hi: held[3] as number };
  const lacking: string[] = [];
  for (let cap = 0; cap < CAPABILITIES.length; cap++) {
    if ((hasCap(caps.permitted, cap) || hasCap(caps.inheritable, cap)) && !hasCap(own, cap))
      lacking.push(CAPABILITIES[cap] as string);
  }
  sendWarning(sync, `ignoring unknown or unavailable capabilities: [${lacking.join(" ")}]`);
  return {
    bounding: caps.bounding,
    effective: intersect(caps.effective, own),
    permitted: intersect(caps.permitted, own),
    inheritable: intersect(caps.inheritable, own),
    ambient: intersect(caps.ambient, own),
  };
}

/** The program's path, looked up as the user in the container: what is missing is told at create. */
export function findProgram(name: string, env: readonly string[]): string {
  if (name.indexOf("/") >= 0) {
    const problem = notRunnable(name);
    if (problem === 0) return name;
    if (problem === -c.ENOENT) throw notFound(`exec: "${name}": stat ${name}: no such file or directory`);
    throw denied(name, problem);
  }
  let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (let i = 0; i < env.length; i++)
    if ((env[i] as string).indexOf("PATH=") === 0) path = (env[i] as string).substring(5);
  const dirs = path.split(":");
  let blocked = "";
  for (let i = 0; i < dirs.length; i++) {
    const candidate = `${dirs[i] || "."}/${name}`;
    const problem = notRunnable(candidate);
    if (problem === 0) return candidate;
    if (problem === -c.EACCES && blocked === "") blocked = candidate;
  }
  if (blocked !== "") throw denied(blocked, -c.EACCES);
  throw notFound(`exec: "${name}": executable file not found in $PATH`);
}

function notFound(message: string): unknown {
  return runtimeError("NotFound", message, "check the command, and that the image holds it");
}

function denied(name: string, problem: number): unknown {
  return runtimeError(
    "PermissionDenied",
    // callers find out by the last words that the command cannot be invoked
    `exec: "${name}": ${problem === -c.EISDIR ? "is a directory: permission denied" : sys.errnoText(-problem)}`,
    "the file must be executable by the container's user",
  );
}

/** 0, or the errno for which execve would fail, as far as it can be told. */
function notRunnable(path: string): number {
  const stat = sys.fstatat(c.AT_FDCWD, path, 0);
  if (typeof stat === "number") return stat === -c.ENOTDIR ? -c.ENOENT : stat;
  if ((stat.mode & c.S_IFMT) === c.S_IFDIR) return -c.EISDIR;
  return sys.faccessat(c.AT_FDCWD, path, 1, 0x200);
}
