import * as c from "../lib/consts.ts";
import { runtimeError } from "../lib/errors.ts";
import { ensureDirs } from "../lib/files.ts";
import { lookup } from "../lib/lookup.ts";
import { rare } from "../run/rare.ts";
import type { Seccomp, SeccompRule } from "../spec/types.ts";

const FLAG_SPEC_ALLOW = 4;
const FLAG_NEW_LISTENER = 8;
const FLAG_WAIT_KILLABLE = 32;

/** Flags of seccomp(2). */
const FLAGS: { readonly [name: string]: number } = {
  SECCOMP_FILTER_FLAG_TSYNC: 1,
  SECCOMP_FILTER_FLAG_LOG: 2,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: FLAG_SPEC_ALLOW,
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: FLAG_WAIT_KILLABLE,
};

/** Raise when the compiler's output for the same profile changes: old cache files are then not found. */
const CACHE_VERSION = 2;

export interface Filter {
  readonly program: Uint8Array;
  readonly flags: number;
  /** An agent answers some calls: loading the filter makes its listener. */
  readonly notify: boolean;
  /** Whoever loads it is made by an unprivileged user. */
  readonly rootless: boolean;
}

/**
 * The filter of a profile: from the cache of an earlier container with the same profile, else compiled and cached.
 * Without a state root ("") there is no cache.
 */
export function filterFor(profile: Seccomp, root: string): Filter {
  const notify = usesNotify(profile);
  const rootless = sys.geteuid() !== 0;
  const flags = filterFlags(profile, notify);
  if (root === "") return { program: rare().compileFilter(profile), flags, notify, rootless };
  const key = sys.sha256(`${CACHE_VERSION} ${sys.machine} ${JSON.stringify(profile)}`);
  const dir = `${root}/.cache`;
  const path = `${dir}/seccomp-${key}`;
  const fd = sys.open(path, c.O_RDONLY | c.O_NOFOLLOW, 0);
  if (fd >= 0) {
    const bytes = sys.readBytes(fd, 65536);
    sys.close(fd);
    // a program is whole instructions of 8 bytes; anything else is no program of ours
    if (typeof bytes !== "number" && bytes.length > 0 && bytes.length % 8 === 0)
      return { program: bytes, flags, notify, rootless };
  }
  const program = rare().compileFilter(profile);
  ensureDirs(dir, 0o700);
  const temporary = `${path}.${sys.getpid()}`;
  if (sys.writeFileAt(c.AT_FDCWD, temporary, program, c.O_WRONLY | c.O_CREAT | c.O_TRUNC | c.O_NOFOLLOW, 0o600) >= 0) {
    sys.renameat(c.AT_FDCWD, temporary, c.AT_FDCWD, path);
  }
  return { program, flags, notify, rootless };
}

function usesNotify(profile: Seccomp): boolean {
  let notify = profile.defaultAction === "SCMP_ACT_NOTIFY";
  const rules = profile.syscalls || [];
  for (let i = 0; i < rules.length; i++) notify = notify || (rules[i] as SeccompRule).action === "SCMP_ACT_NOTIFY";
  if (notify && !profile.listenerPath)
    throw runtimeError(
      "InvalidArgument",
      "invalid config.json: linux.seccomp.listenerPath: is required with SCMP_ACT_NOTIFY",
      "name the socket of the agent that answers",
    );
  return notify;
}

function filterFlags(profile: Seccomp, notify: boolean): number {
  // a profile that says nothing of flags is not to slow its program down, as with runc
  let flags = (notify ? FLAG_NEW_LISTENER : 0) | (profile.flags ? 0 : FLAG_SPEC_ALLOW);
  const names = profile.flags || [];
  for (let i = 0; i < names.length; i++) {
    const flag = lookup(FLAGS, names[i] as string);
    if (flag === undefined)
      throw runtimeError(
        "InvalidArgument",
        `invalid config.json: linux.seccomp.flags[${i}]: unknown flag "${names[i]}"`,
      );
    // one thread: TSYNC changes nothing. The kernel takes the wait's flag with a listener only
    if (flag !== 1 && (flag !== FLAG_WAIT_KILLABLE || notify)) flags = flags | flag;
  }
  return flags;
}
