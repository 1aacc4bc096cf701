import { numberFlag, oneId, parseArgs } from "../lib/args.ts";
import { context } from "../lib/context.ts";
import { envValue } from "../lib/env.ts";
import { holdPlaces, requireDescriptors } from "../lib/fds.ts";
import { runCommand } from "../lib/report.ts";
import { createContainer } from "../run/create.ts";
import { attend, openSignals } from "../run/foreground.ts";
import { deleteOwn } from "../run/kill.ts";
import { awaitReadiness, passReady } from "../run/notify.ts";
import { runPoststart } from "../run/poststart.ts";

const FLAGS = {
  flags: {
    bundle: "string",
    config: "string",
    "console-socket": "string",
    "pidfd-socket": "string",
    "pid-file": "string",
    "no-pivot": "bool",
    "no-new-keyring": "bool",
    "preserve-fds": "string",
    "no-subreaper": "bool",
    detach: "bool",
    keep: "bool",
    trace: "bool",
  },
  short: { b: "bundle", f: "config", d: "detach" },
  anywhere: true,
} as const;

function make(): number {
  const { command, args } = context();
  const parsed = parseArgs(args, FLAGS);
  const id = oneId(command, parsed.rest);
  const { values } = parsed;
  const listen = listenFds();
  const preserveFds = listen + numberFlag("preserve-fds", values["preserve-fds"], 1000);
  holdPlaces(listen);
  requireDescriptors(preserveFds);
  const run = command === "run";
  const detach = !run || values["detach"] === "true";
  const signals = detach ? -1 : openSignals();
  const created = createContainer({
    id,
    bundle: values["bundle"] || "",
    config: values["config"] || "",
    consoleSocket: values["console-socket"] || "",
    pidFile: values["pid-file"] || "",
    pidfdSocket: values["pidfd-socket"] || "",
    noPivot: values["no-pivot"] === "true",
    noNewKeyring: values["no-new-keyring"] === "true",
    preserveFds,
    listenFds: listen,
    immediate: run,
    keepMaster: !detach && !values["console-socket"],
    trace: values["trace"] === "true",
  });
  if (!run) return 0;
  runPoststart(created.record, created.spec);
  const { notify, record } = created;
  if (detach) {
    if (notify) awaitReadiness(notify, record.pid);
    return 0;
  }
  const readiness = notify && { fd: notify.from, read: () => passReady(notify, record.pid) > 0 };
  const code = attend(record.pid, created.master, signals, readiness);
  if (values["keep"] !== "true") deleteOwn(record);
  return code;
}

/** systemd's socket activation (sd_listen_fds(3)): how many descriptors go on to the program, unless they are not ours. */
function listenFds(): number {
  const env = sys.environ();
  const pid = envValue(env, "LISTEN_PID");
  if (pid !== undefined && pid !== String(sys.getpid())) return 0;
  return numberFlag("LISTEN_FDS", envValue(env, "LISTEN_FDS"), 1000);
}

/** `create` and `run`. */
export function create(): never {
  return runCommand(make, 1);
}
