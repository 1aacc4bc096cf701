import * as c from "../lib/consts.ts";
import { callError, mustGet, runtimeError } from "../lib/errors.ts";
import { traced } from "../lib/trace.ts";
import type { Hook } from "../spec/types.ts";

/**
 * Runs hooks one after the other with the state on stdin, each with its own environment only. The first that fails
 * stops the rest. stdout is discarded, stderr goes to ours.
 *
 * @throws the failing hook's path with its exit code, signal or timeout
 */
export function runHooks(
  kind: string,
  hooks: readonly Hook[] | undefined,
  state: { readonly [key: string]: unknown },
): void {
  if (!hooks) return;
  for (let i = 0; i < hooks.length; i++) {
    const hook = hooks[i] as Hook;
    traced(
      `hook ${kind}`,
      () => runHook(`hooks.${kind}[${i}]`, hook, `${JSON.stringify(state)}\n`),
      () => hook.path,
    );
  }
}

function runHook(field: string, hook: Hook, input: string): void {
  const [reader, writer] = mustGet(sys.pipe(), `make a pipe for ${field}`);
  const pid = sys.clone(0, -1);
  if (pid === 0) execHook(hook, reader);
  sys.close(reader);
  if (pid < 0) {
    sys.close(writer);
    throw callError(`start ${field} ${hook.path}`, pid);
  }
  // a hook that reads nothing must not stop us: the state fits the pipe's buffer, the rest is dropped
  sys.ignoreSignal(c.SIGPIPE);
  sys.setNonblock(writer, true);
  sys.write(writer, input);
  sys.close(writer);
  const status = waitHook(pid, hook, field);
  if (status === 0) return;
  const how = (status & 127) !== 0 ? `killed by signal ${status & 127}` : `exit status ${status >> 8}`;
  throw runtimeError("FailedPrecondition", `error running ${field} ${hook.path}: ${how}`);
}

function waitHook(pid: number, hook: Hook, field: string): number {
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
  throw runtimeError("DeadlineExceeded", `error running ${field} ${hook.path}: timed out after ${hook.timeout} s`);
}

function execHook(hook: Hook, reader: number): never {
  sys.dup2(reader, 0);
  const quiet = sys.open("/dev/null", c.O_WRONLY, 0);
  if (quiet >= 0) sys.dup2(quiet, 1);
  sys.closeRange(3, 0x7fffffff, 4);
  sys.resetSignals();
  const argv = hook.args && hook.args.length > 0 ? hook.args : [hook.path];
  const result = sys.execve(hook.path, argv, hook.env || []);
  sys.writeAll(2, `start hook ${hook.path}: ${sys.errnoText(-result)}\n`);
  return sys.exit(127);
}
