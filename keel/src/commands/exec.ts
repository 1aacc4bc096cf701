import { checkId, numberFlag, parseArgs } from "../lib/args.ts";
import { context } from "../lib/context.ts";
import { runtimeError } from "../lib/errors.ts";
import { requireDescriptors } from "../lib/fds.ts";
import { readJson } from "../lib/files.ts";
import { runCommand } from "../lib/report.ts";
import { execInContainer } from "../run/exec.ts";
import { attend, openSignals } from "../run/foreground.ts";
import type { Process, Spec } from "../spec/types.ts";
import { validateProcess } from "../spec/validate.ts";
import { getRecord, readSpec } from "../state/store.ts";

const FLAGS = {
  flags: {
    "console-socket": "string",
    "pidfd-socket": "string",
    cwd: "string",
    env: "list",
    tty: "bool",
    user: "string",
    "additional-gids": "list",
    process: "string",
    detach: "bool",
    "pid-file": "string",
    "process-label": "string",
    apparmor: "string",
    "no-new-privs": "bool",
    cap: "list",
    "preserve-fds": "string",
    cgroup: "list",
    "ignore-paused": "bool",
    "no-subreaper": "bool",
  },
  short: { e: "env", t: "tty", u: "user", g: "additional-gids", p: "process", d: "detach", c: "cap" },
} as const;

/** (uid_t)-1 means "leave it as it is" to the kernel. */
const LAST_ID = 4294967294;

type Parsed = ReturnType<typeof parseArgs>;

function execute(): number {
  const parsed = parseArgs(context().args, FLAGS);
  const { values } = parsed;
  const preserveFds = numberFlag("preserve-fds", values["preserve-fds"], 1000);
  requireDescriptors(preserveFds);
  if (parsed.rest.length === 0)
    throw runtimeError("InvalidArgument", '"keel exec" requires a minimum of 1 argument, the container id');
  const id = checkId(parsed.rest[0] as string);
  getRecord(id);
  const spec = readSpec(id);
  const process = validateProcess(
    values["process"] ? readJson(values["process"], "process file") : processFromFlags(spec, parsed),
    "process",
  );
  const detach = values["detach"] === "true";
  const signals = detach ? -1 : openSignals();
  const executed = execInContainer({
    id,
    process,
    spec,
    consoleSocket: values["console-socket"] || "",
    pidFile: values["pid-file"] || "",
    pidfdSocket: values["pidfd-socket"] || "",
    detach,
    preserveFds,
    ignorePaused: values["ignore-paused"] === "true",
    cgroups: parsed.lists["cgroup"] || [],
  });
  return detach ? 0 : attend(executed.pid, executed.master, signals);
}

/** The container's own process with what the flags change: runc's and crun's defaults. */
function processFromFlags(spec: Spec, parsed: Parsed): Process {
  const { values, lists } = parsed;
  const base = spec.process as Process;
  const args = parsed.rest.slice(1);
  if (args.length === 0)
    throw runtimeError("InvalidArgument", "process args cannot be empty", "name the command after the container id");
  // one that is unknown is told and left out, as in a process file
  const caps = (lists["cap"] || []).map((name) => {
    const upper = name.toUpperCase();
    return upper.indexOf("CAP_") === 0 ? upper : `CAP_${upper}`;
  });
  const user = parseUser(values["user"], base, lists["additional-gids"] || []);
  const own = base.capabilities || {};
  // never into the inheritable set: it would survive a later execve (CVE-2022-29162)
  const capabilities =
    caps.length === 0
      ? own
      : {
          bounding: (own.bounding || []).concat(caps),
          effective: (own.effective || []).concat(caps),
          permitted: (own.permitted || []).concat(caps),
          inheritable: own.inheritable || [],
          ambient: (own.ambient || []).concat(caps.filter((cap) => (own.inheritable || []).indexOf(cap) >= 0)),
        };
  const process: { -readonly [key in keyof Process]: Process[key] } = {
    terminal: values["tty"] === "true",
    user,
    args,
    env: (base.env || []).concat(lists["env"] || []),
    cwd: values["cwd"] || base.cwd,
    noNewPrivileges: values["no-new-privs"] === "true" || base.noNewPrivileges === true,
    apparmorProfile: values["apparmor"] || base.apparmorProfile || "",
    selinuxLabel: values["process-label"] || base.selinuxLabel || "",
  };
  if (base.capabilities || caps.length > 0) process.capabilities = capabilities;
  if (base.rlimits) process.rlimits = base.rlimits;
  if (base.oomScoreAdj !== undefined) process.oomScoreAdj = base.oomScoreAdj;
  if (base.scheduler) process.scheduler = base.scheduler;
  if (base.ioPriority) process.ioPriority = base.ioPriority;
  if (base.execCPUAffinity) process.execCPUAffinity = base.execCPUAffinity;
  return process;
}

/** `UID[:GID]`, numbers only; the gid is 0 when it is not given, the uid is never dropped (CVE-2026-30892). */
function parseUser(text: string | undefined, base: Process, groups: readonly string[]): NonNullable<Process["user"]> {
  const own = base.user || { uid: 0, gid: 0 };
  const given = groups.map((group) => numberFlag("additional-gids", group, LAST_ID));
  const additionalGids = given.length > 0 ? given : own.additionalGids || [];
  const umask = own.umask === undefined ? {} : { umask: own.umask };
  if (text === undefined) return { uid: own.uid, gid: own.gid, additionalGids, ...umask };
  const match = /^(\d+)(?::(\d+))?$/.exec(text);
  if (!match) throw runtimeError("InvalidArgument", `--user: must be UID[:GID] in numbers, is "${text}"`);
  return {
    uid: numberFlag("user", match[1], LAST_ID),
    gid: numberFlag("user", match[2], LAST_ID),
    additionalGids: given,
    ...umask,
  };
}

export function exec(): never {
  return runCommand(execute, 255);
}
