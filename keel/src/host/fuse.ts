import * as c from "../lib/consts.ts";
import { envValue } from "../lib/env.ts";
import { must, runtimeError } from "../lib/errors.ts";

const PROGRAM = "fuse-overlayfs";
const USUAL = "/usr/local/bin:/usr/bin:/bin";
const SAID_LIMIT = 4096;
/** Of overlayfs; the program has its own. */
const ITS_OPTIONS = /^(lowerdir=|upperdir=|workdir=|volatile$)/;

/**
 * Mounts by fuse-overlayfs(1), which goes to the background once it is mounted, and ends when it is unmounted.
 *
 * @throws FailedPrecondition if it is not there or fails, with what it said
 */
export function mountFuse(target: string, options: readonly string[]): void {
  const kept = options.filter((option) => ITS_OPTIONS.test(option));
  const said = must(sys.memfdCreate("said", 1), "make a memfd");
  const child = sys.clone(0, -1);
  if (child === 0) {
    sys.dup2(said, 1);
    sys.dup2(said, 2);
    sys.closeRange(3, 0x7fffffff, 0);
    sys.resetSignals();
    execute(["-o", kept.join(","), target]);
  }
  const status = [0];
  if (child >= 0) sys.waitpid(child, 0, status);
  sys.lseek(said, 0, 0);
  const text = sys.read(said, SAID_LIMIT);
  sys.close(said);
  must(child, `start ${PROGRAM}`);
  if (status[0] === 0) return;
  const why = typeof text === "string" && text !== "" ? text.replace(/\s+$/, "") : `it ended with status ${status[0]}`;
  throw runtimeError(
    "FailedPrecondition",
    `mount ${PROGRAM} at ${target}: ${why}`,
    "it needs the package fuse-overlayfs and /dev/fuse",
  );
}

function execute(args: readonly string[]): never {
  const env = sys.environ();
  const dirs = (envValue(env, "PATH") || USUAL).split(":");
  let result = -c.ENOENT;
  for (let i = 0; i < dirs.length && result === -c.ENOENT; i++)
    result = sys.execve(`${dirs[i]}/${PROGRAM}`, [PROGRAM].concat(args), env);
  sys.writeAll(2, `${PROGRAM}: ${sys.errnoText(-result)}`);
  return sys.exit(127);
}
