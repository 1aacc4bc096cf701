/** What always runs: global flags, then the command, or the module that holds it. */

import { splitFlag } from "../lib/args.ts";
import { O_APPEND, O_CREAT, O_WRONLY } from "../lib/consts.ts";
import type { Context } from "../lib/context.ts";
import { envValue } from "../lib/env.ts";
import { lookup } from "../lib/lookup.ts";
import { inUserNamespace } from "../lib/userns.ts";
import { control } from "./control.ts";
import { create } from "./create.ts";
import { exec } from "./exec.ts";

/** What carries a command out; those of every day are at hand, the others are the names of modules. */
const COMMANDS: { readonly [command: string]: (() => never) | string } = {
  create,
  run: create,
  exec,
  start: control,
  state: control,
  kill: control,
  delete: control,
  list: control,
  pause: control,
  resume: control,
  ps: control,
  update: "update",
  checkpoint: "checkpoint",
  restore: "checkpoint",
  events: "events",
  plan: "plan",
  mounts: "mounts",
  spec: "spec",
  features: "spec",
  // alone it begins with a module of its own (entry/monitor.ts)
  monitor: () => usageError(`"keel monitor" takes one argument, the configuration file, and no flags`),
  unpack: "unpack",
  merge: "layers",
  diff: "layers",
  probe: "layers",
  host: "host",
  init: "init",
};

/** What crun's callers look for in its version. */
const FEATURES = "+SYSTEMD +SELINUX +APPARMOR +CAP +SECCOMP +EBPF +CRIU";

const FLAGS: { readonly [flag: string]: "bool" | "string" } = {
  root: "string",
  log: "string",
  "log-format": "string",
  "log-level": "string",
  criu: "string",
  rootless: "string",
  "cgroup-manager": "string",
  debug: "bool",
  "systemd-cgroup": "bool",
};

/** A user's own, also where a caller made the user root of a namespace (rootless podman); USER=root then says otherwise. */
function defaultRoot(): string {
  const root = sys.geteuid() === 0;
  const env = sys.environ();
  const dir = envValue(env, "XDG_RUNTIME_DIR");
  if (dir && (!root || (envValue(env, "USER") !== "root" && inUserNamespace()))) return `${dir}/keel`;
  return root ? "/run/keel" : `/tmp/keel-${sys.geteuid()}`;
}

/** Its text is a module of its own (entry/help.ts). */
function help(command: string): never {
  globalThis.keelHelp = { name: programName(), command };
  sys.loadModule("help");
  return sys.exit(0);
}

function programName(): string {
  const path = sys.argv[0] || "keel";
  return path.substring(path.lastIndexOf("/") + 1);
}

function usageError(message: string): never {
  sys.writeAll(2, `${message}\n`);
  return sys.exit(1);
}

/** What fails later could not be told. */
function checkLog(log: string | undefined, format = "text"): void {
  if (format !== "text" && format !== "json") usageError(`invalid log-format "${format}", must be text or json`);
  if (!log) return;
  const fd = sys.open(log, O_WRONLY | O_CREAT | O_APPEND, 0o644);
  if (fd < 0) usageError(`open log file ${log}: ${sys.errnoText(-fd)}`);
  sys.close(fd);
}

export function main(): void {
  const argv = sys.argv;
  const values: { [flag: string]: string } = {};
  let i = 1;
  for (; i < argv.length; i++) {
    const word = argv[i] as string;
    if (word.charAt(0) !== "-") break;
    const { name, value } = splitFlag(word);
    if (name === "version" || name === "v") {
      sys.writeAll(1, `${programName()} version 0.1.0\ncommit: berth\nspec: 1.3.0\n${FEATURES}\n`);
      sys.exit(0);
    }
    if (name === "help" || name === "h") help("");
    const kind = lookup(FLAGS, name);
    if (!kind) usageError(`flag provided but not defined: -${name} (see keel --help)`);
    if (kind === "bool") values[name] = value === undefined ? "true" : value;
    else if (value !== undefined) values[name] = value;
    else if (++i < argv.length) values[name] = argv[i] as string;
    else usageError(`flag needs an argument: -${name}`);
  }
  checkLog(values["log"], values["log-format"]);
  const command = argv[i];
  if (command === undefined || command === "help") help("");
  const way = lookup(COMMANDS, command);
  if (!way) {
    sys.writeAll(2, `No help topic for '${command}' (see keel --help)\n`);
    sys.exit(3);
  }
  const next = argv[i + 1];
  if (next === "-h" || next === "--help" || next === "-help") help(command);
  const global: Context = {
    root: values["root"] || defaultRoot(),
    rootGiven: !!values["root"],
    log: values["log"] || "",
    logFormat: values["log-format"] || "text",
    debug: values["debug"] === "true",
    systemdCgroup: values["systemd-cgroup"] === "true",
    cgroupManager: values["cgroup-manager"] || "cgroupfs",
    rootless: values["rootless"] || "auto",
    command,
    args: argv.slice(i + 1),
  };
  (globalThis as unknown as { keelContext: Context }).keelContext = global;
  if (typeof way === "string") sys.loadModule(way);
  else way();
}
