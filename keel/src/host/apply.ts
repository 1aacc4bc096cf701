import type { HostStep, UserNamespace } from "@berth/protocol";
import * as c from "../lib/consts.ts";
import { callError, must, runtimeError } from "../lib/errors.ts";
import { ensureDirs } from "../lib/files.ts";
import { mountStep } from "./mount.ts";
import { uncommon } from "./uncommon.ts";

const UMOUNT_NOFOLLOW = 8;

/**
 * Does one step.
 *
 * @returns what a `read-file` step read, null if there is no such file; undefined for the other steps
 * @throws RuntimeError what the step failed with
 */
export function applyHostStep(step: HostStep): string | null | undefined {
  switch (step.op) {
    case "mount":
      mountStep(step);
      return undefined;
    case "umount":
      unmount(step.target);
      return undefined;
    case "netns-add":
      addNetworkNamespace(step.path, step.userns);
      return undefined;
    case "netns-remove":
      removeNetworkNamespace(step.path);
      return undefined;
    case "loopback-up":
      inNetworkNamespace(step.path, () => must(sys.interfaceUp("lo"), `bring lo up in ${step.path}`));
      return undefined;
    case "read-file":
      return readFileBelow(step.root, step.path, step.maxBytes);
    default:
      throw runtimeError(
        "InvalidArgument",
        `do host step: there is no step ${JSON.stringify((step as { op?: unknown }).op)}`,
      );
  }
}

function unmount(target: string): void {
  for (;;) {
    const result = sys.umount2(target, c.MNT_DETACH | UMOUNT_NOFOLLOW);
    if (result === -c.EINVAL || result === -c.ENOENT) return;
    must(result, `unmount ${target}`);
  }
}

/** A namespace lives as long as something is mounted from it: a file at `path` keeps it. */
function addNetworkNamespace(path: string, userns: UserNamespace | undefined): void {
  const paths = userns ? [path, userns.path] : [path];
  ensureDirs(path.substring(0, path.lastIndexOf("/")), 0o755);
  const made: string[] = [];
  try {
    for (; made.length < paths.length; made.push(paths[made.length] as string)) {
      const file = sys.open(paths[made.length] as string, c.O_RDONLY | c.O_CREAT | c.O_EXCL, 0o444);
      sys.close(must(file, `create ${paths[made.length]}`));
    }
    if (userns) uncommon().addUserNamespace(userns, path);
    else {
      comingBack(() => {
        must(sys.unshare(c.CLONE_NEWNET), "create a network namespace");
        must(sys.interfaceUp("lo"), "bring lo up in a new network namespace");
        must(sys.mount("/proc/self/ns/net", path, "", c.MS_BIND, ""), `mount a network namespace at ${path}`);
      });
    }
  } catch (error) {
    for (let i = 0; i < made.length; i++) {
      sys.umount2(made[i] as string, c.MNT_DETACH | UMOUNT_NOFOLLOW);
      sys.unlinkat(c.AT_FDCWD, made[i] as string, 0);
    }
    throw error;
  }
}

function removeNetworkNamespace(path: string): void {
  unmount(path);
  const result = sys.unlinkat(c.AT_FDCWD, path, 0);
  if (result !== -c.ENOENT) must(result, `remove ${path}`);
}

function inNetworkNamespace(path: string, body: () => void): void {
  const fd = must(sys.open(path, c.O_RDONLY, 0), `open network namespace ${path}`);
  try {
    comingBack(() => {
      must(sys.setns(fd, c.CLONE_NEWNET), `enter network namespace ${path}`);
      body();
    });
  } finally {
    sys.close(fd);
  }
}

/** Runs `body`, which may change the network namespace, and returns to the present one. */
function comingBack(body: () => void): void {
  const home = must(sys.open("/proc/self/ns/net", c.O_RDONLY, 0), "open the present network namespace");
  try {
    body();
  } finally {
    const result = sys.setns(home, c.CLONE_NEWNET);
    sys.close(home);
    const hint = result === -c.EPERM ? "it is not this user namespace's: use --network none or host" : undefined;
    must(result, "return to the present network namespace", hint);
  }
}

function readFileBelow(root: string, path: string, maxBytes: number): string | null {
  const what = `read ${path} below ${root}`;
  const dir = must(sys.open(root, c.O_PATH | c.O_DIRECTORY, 0), `open ${root}`);
  // Opened twice: opening a device may do something, so it is not opened before it is known to be a file.
  const found = sys.openat2(dir, path, c.O_PATH, 0, c.RESOLVE_IN_ROOT | c.RESOLVE_NO_MAGICLINKS);
  sys.close(dir);
  if (found === -c.ENOENT || found === -c.ENOTDIR) return null;
  must(found, what);
  const stat = sys.fstat(found);
  if (typeof stat === "number") throw callError(what, stat);
  if ((stat.mode & c.S_IFMT) !== c.S_IFREG) throw runtimeError("FailedPrecondition", `${what}: it is no regular file`);
  const fd = must(sys.open(`/proc/self/fd/${found}`, c.O_RDONLY | c.O_NONBLOCK, 0), what);
  sys.close(found);
  const text = readAll(fd, maxBytes, what);
  sys.close(fd);
  return text;
}

function readAll(fd: Fd, maxBytes: number, what: string): string {
  let text = "";
  for (let size = 0; ; ) {
    const piece = sys.read(fd, Math.min(maxBytes - size + 1, 65536));
    if (typeof piece === "number") throw callError(what, piece);
    if (piece === "") return text;
    size += sys.strlenUtf8(piece);
    if (size > maxBytes) throw callError(what, -EFBIG, `at most ${maxBytes} bytes are read`);
    text += piece;
  }
}

const EFBIG = 27;
