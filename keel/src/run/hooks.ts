import * as c from "../lib/consts.ts";
import { callError, must, mustGet, runtimeError } from "../lib/errors.ts";
import { traced } from "../lib/trace.ts";
import type { Hook } from "../spec/types.ts";

/** Of what a failed hook wrote, the error quotes this much. */
const QUOTED = 4096;

/** What hooks inside the container have of its program. */
export interface Surroundings {
  /** Of hooks that have none of their own. */
  readonly env: readonly string[];
  /** Done by each hook's process right before it becomes the hook. */
  readonly confine: () => void;
}

const OUTSIDE: Surroundings = { env: [], confine: () => undefined };
const SIGSYS = 31;

/**
 * Runs hooks one after the other with the state on stdin. The first that fails stops the rest.
 *
 * @throws the failing hook with its exit code, signal or timeout, and what it wrote
 */
export function runHooks(
  kind: string,
  hooks: readonly Hook[] | undefined,
  state: { readonly [key: string]: unknown },
  around: Surroundings = OUTSIDE,
): void {
  if (!hooks) return;
  const input = `${JSON.stringify(state)}\n`;
  for (let i = 0; i < hooks.length; i++) {
    const hook = hooks[i] as Hook;
    traced(
      `hook ${kind}`,
      () => runHook(`${kind} hook #${i}`, hook, input, around),
      () => hook.path,
    );
  }
}

function runHook(name: string, hook: Hook, input: string, around: Surroundings): void {
  // no pipe: a daemon that a hook leaves behind may keep it open for ever
  const output = must(sys.memfdCreate("hook", 1), `keep the output of ${name}`);
  try {
    const status = startHook(name, hook, input, around, output);
    if (status === 0) return;
    const signal = status & 127;
    const meaning = signal === SIGSYS ? " (bad system call: seccomp)" : "";
    const how = signal !== 0 ? `killed by signal ${signal}${meaning}` : `exit status ${status >> 8}`;
    const said = readOutput(output);
    const quote = said === "" ? "" : `, it wrote: ${said}`;
    throw runtimeError("FailedPrecondition", `error running ${name}: ${hook.path}: ${how}${quote}`);
  } finally {
    sys.close(output);
  }
}

function readOutput(output: number): string {
  sys.lseek(output, 0, 0);
  const said = sys.read(output, QUOTED);
  return typeof said === "number" ? "" : said.replace(/\s+$/, "");
}

/** Returns the wait status. */
function startHook(name: string, hook: Hook, input: string, around: Surroundings, output: number): number {
  const [reader, writer] = mustGet(sys.pipe(), `make a pipe for ${name}`);
  const pid = sys.clone(0, -1);
  if (pid === 0) execHook(hook, reader, output, around);
  sys.close(reader);
  if (pid < 0) {
    sys.close(writer);
    throw callError(`start ${name} ${hook.path}`, pid);
  }
  // a hook that reads nothing must not stop us: the state fits the pipe's buffer, the rest is dropped
  sys.ignoreSignal(c.SIGPIPE);
  sys.setNonblock(writer, true);
  sys.write(writer, input);
  sys.close(writer);
  return waitHook(pid, hook, name);
}

function waitHook(pid: number, hook: Hook, name: string): number {
  const out = [0];
  if (!hook.timeout) {
    let result = sys.waitpid(pid, 0, out);
    while (result === -c.EINTR) result = sys.waitpid(pid, 0, out);
    return out[0] as number;
  }
  const pidfd = sys.pidfdOpen(pid, 0);
  const deadline = sys.clockMonotonicUs() + hook.timeout * 1e6;
  for (;;) {
    const left = Math.ceil((deadline - sys.clockMonotonicUs()) / 1000);
    if (left <= 0) break;
    if (pidfd >= 0) sys.poll([pidfd, c.POLLIN], Math.min(left, 0x7fffffff), []);
    else sys.poll([], Math.min(left, 10), []);
    if (sys.waitpid(pid, c.WNOHANG, out) === pid) {
      if (pidfd >= 0) sys.close(pidfd);
      return out[0] as number;
    }
  }
  sys.kill(pid, c.SIGKILL);
  sys.waitpid(pid, 0, out);
  if (pidfd >= 0) sys.close(pidfd);
  throw runtimeError("DeadlineExceeded", `error running ${name}: ${hook.path}: timed out after ${hook.timeout} s`);
}

function execHook(hook: Hook, reader: number, output: number, around: Surroundings): never {
  sys.dup2(reader, 0);
  sys.dup2(output, 1);
  sys.dup2(output, 2);
  sys.closeRange(3, 0x7fffffff, 4);
  sys.resetSignals();
  around.confine();
  const argv = hook.args && hook.args.length > 0 ? hook.args : [hook.path];
  const result = sys.execve(hook.path, argv, hook.env || around.env);
  sys.writeAll(2, `start hook ${hook.path}: ${sys.errnoText(-result)}\n`);
  return sys.exit(127);
}
