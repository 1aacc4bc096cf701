import { numberFlag, oneId, parseArgs } from "../lib/args.ts";
import { context } from "../lib/context.ts";
import { runtimeError } from "../lib/errors.ts";
import { runCommand } from "../lib/report.ts";
import { createContainer } from "../run/create.ts";
import { attend, openSignals } from "../run/foreground.ts";
import { runHooks } from "../run/hooks.ts";
import { deleteContainer } from "../run/kill.ts";
import { ociState } from "../state/store.ts";

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
} as const;

function create(): number {
  const { command, args } = context();
  const parsed = parseArgs(args, FLAGS);
  const id = oneId(command, parsed.rest);
  const { values } = parsed;
  if (values["pidfd-socket"]) throw runtimeError("Unimplemented", "--pidfd-socket: is not supported yet");
  const preserveFds = numberFlag("preserve-fds", values["preserve-fds"], 1000);
  const run = command === "run";
  const detach = !run || values["detach"] === "true";
  const signals = detach ? -1 : openSignals();
  const created = createContainer({
    id,
    bundle: values["bundle"] || "",
    config: values["config"] || "",
    consoleSocket: values["console-socket"] || "",
    pidFile: values["pid-file"] || "",
    noPivot: values["no-pivot"] === "true",
    noNewKeyring: values["no-new-keyring"] === "true",
    preserveFds: preserveFds + listenFds(),
    immediate: run,
    keepMaster: !detach && !values["console-socket"],
    trace: values["trace"] === "true",
  });
  if (!run) return 0;
  if (created.record.poststart)
    runHooks("poststart", (created.spec.hooks || {}).poststart, ociState(created.record, "running"));
  if (detach) return 0;
  const code = attend(created.record.pid, created.master, signals);
  if (values["keep"] !== "true") deleteContainer(id, true);
  return code;
}

/** systemd's socket activation: the descriptors it passed go on to the program. */
function listenFds(): number {
  const env = sys.environ();
  for (let i = 0; i < env.length; i++) {
    const entry = env[i] as string;
    if (entry.indexOf("LISTEN_FDS=") === 0) return numberFlag("LISTEN_FDS", entry.substring(11), 1000);
  }
  return 0;
}

runCommand(create, 1);
