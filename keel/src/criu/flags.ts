import { type FlagTable, numberFlag, type ParsedArgs } from "../lib/args.ts";
import * as c from "../lib/consts.ts";
import { runtimeError } from "../lib/errors.ts";
import { absolute } from "../lib/files.ts";
import { lookup } from "../lib/lookup.ts";
import { joinOptions, type Options } from "./messages.ts";

/** Those of runc and crun for both commands. */
const COMMON = {
  "image-path": "string",
  "work-path": "string",
  "tcp-established": "bool",
  "ext-unix-sk": "bool",
  "shell-job": "bool",
  "file-locks": "bool",
  "manage-cgroups-mode": "string",
  "network-lock": "string",
  "empty-ns": "list",
  "auto-dedup": "bool",
  "lazy-pages": "bool",
} as const;

export const CHECKPOINT_FLAGS: FlagTable = {
  flags: joinOptions<FlagTable["flags"]>([
    COMMON,
    {
      "parent-path": "string",
      "leave-running": "bool",
      "tcp-skip-in-flight": "bool",
      "link-remap": "bool",
      "status-fd": "string",
      "page-server": "string",
      "pre-dump": "bool",
    },
  ]),
};

export const RESTORE_FLAGS: FlagTable = {
  flags: joinOptions<FlagTable["flags"]>([
    COMMON,
    {
      bundle: "string",
      detach: "bool",
      "pid-file": "string",
      "console-socket": "string",
      "no-pivot": "bool",
      "no-subreaper": "bool",
      "tcp-close": "bool",
      "lsm-profile": "string",
      "lsm-mount-context": "string",
    },
  ]),
  short: { b: "bundle", d: "detach" },
};

/** Flag → option, for those that only pass through. */
const SWITCHES: { readonly [flag: string]: string } = {
  "tcp-established": "tcpEstablished",
  "tcp-skip-in-flight": "tcpSkipInFlight",
  "tcp-close": "tcpClose",
  "ext-unix-sk": "extUnixSk",
  "shell-job": "shellJob",
  "file-locks": "fileLocks",
  "link-remap": "linkRemap",
  "leave-running": "leaveRunning",
  "auto-dedup": "autoDedup",
  "lazy-pages": "lazyPages",
};
const TEXTS: { readonly [flag: string]: string } = {
  "lsm-profile": "lsmProfile",
  "lsm-mount-context": "lsmMountContext",
};

/** criu_cg_mode; the default is runc's. */
const CGROUP_MODES: { readonly [mode: string]: number } = { "": 3, ignore: 0, soft: 3, full: 4, strict: 5 };
/** criu_network_lock_method; 0 leaves it to CRIU. */
const NETWORK_LOCKS: { readonly [method: string]: number } = { "": 0, iptables: 1, nftables: 2, skip: 3 };

export const imagePath = (parsed: ParsedArgs): string => absolute(parsed.values["image-path"] || "checkpoint");

/** The options that are the same words for CRIU. */
export function passedThrough(parsed: ParsedArgs): Partial<Options> & { readonly manageCgroups: number } {
  const { values } = parsed;
  const options: { [option: string]: unknown } = {
    manageCgroups: oneOf("manage-cgroups-mode", values["manage-cgroups-mode"], CGROUP_MODES),
  };
  const lock = oneOf("network-lock", values["network-lock"], NETWORK_LOCKS);
  if (lock !== 0) options["networkLock"] = lock;
  for (const flag in SWITCHES) if (values[flag] === "true") options[SWITCHES[flag] as string] = true;
  for (const flag in TEXTS) if (values[flag]) options[TEXTS[flag] as string] = values[flag];
  return options as unknown as ReturnType<typeof passedThrough>;
}

/** CLONE_NEWNET when a network namespace is to be restored empty. */
export function emptyNamespaces(parsed: ParsedArgs): number {
  const names = parsed.lists["empty-ns"] || [];
  for (let i = 0; i < names.length; i++) {
    if (names[i] !== "network") throw runtimeError("InvalidArgument", `--empty-ns: must be network, is "${names[i]}"`);
  }
  return names.length > 0 ? c.CLONE_NEWNET : 0;
}

export function parsePageServer(text: string): { readonly address: string; readonly port: number } {
  const colon = text.lastIndexOf(":");
  const address = text.substring(0, colon).replace(/^\[(.*)\]$/, "$1");
  if (colon <= 0 || address === "" || colon === text.length - 1)
    throw runtimeError("InvalidArgument", `--page-server: must be ADDRESS:PORT, is "${text}"`);
  return { address, port: numberFlag("page-server", text.substring(colon + 1), 65535) };
}

function oneOf(flag: string, value: string | undefined, known: { readonly [word: string]: number }): number {
  const found = lookup(known, value || "");
  if (found !== undefined) return found;
  const words: string[] = [];
  for (const word in known) if (word !== "") words.push(word);
  throw runtimeError("InvalidArgument", `--${flag}: must be one of ${words.join(", ")}, is "${value}"`);
}
