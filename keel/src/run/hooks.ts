import * as c from "../lib/consts.ts";
import { envValue } from "../lib/env.ts";
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

/** crun's, as annotations: files that take what hooks outside the container write. */
const OUTPUTS = ["run.oci.hooks.stdout", "run.oci.hooks.stderr"] as const;

type HookState = { readonly [key: string]: unknown };
const SIGSYS = 31;

/**
 * Runs hooks one after the other with the state on stdin. The first that fails stops the rest.
 *
 * @throws the failing hook with its exit code, signal or timeout, and what it wrote
 */
export function runHooks(
  kind: string,
  hooks: readonly Hook[] | undefined,
  state: HookState,
  around?: Surroundings,
): void {
  for (let i = 0; hooks && i < hooks.length; i++) {
    const hook = hooks[i] as Hook;
    traced(
      `hook ${kind}`,
      () => runHook(`${kind} hook #${i}`, hook, state, around),
      () => hook.path,
    );
  }
}

/** The container is gone: a hook that fails is told, and the others run all the same (runtime-spec "Lifecycle"). */
export function runPoststop(hooks: readonly Hook[] | undefined, state: HookState): void {
  for (let i = 0; hooks && i < hooks.length; i++) {
    try {
      runHook(`poststop hook #${i}`, hooks[i] as Hook, state, undefined);
    } catch (thrown) {
      const { message } = thrown as { message: string };
      const code = /: exit status (\d+)/.exec(message);
      sys.writeAll(2, `warning: ${code ? `poststop hook failed with exit code ${code[1]}: ` : ""}${message}\n`);
    }
  }
}

function runHook(name: string, hook: Hook, state: HookState, around: Surroundings | undefined): void {
  // no pipe: a daemon that a hook leaves behind may keep it open for ever
  const output = must(sys.memfdCreate("hook", 1), `keep the output of ${name}`);
  try {
    const outputs = (around ? [] : OUTPUTS).map(
      (key) => ((state["annotations"] || {}) as { [key: string]: string })[key] || "",
    );
    const status = startHook(name, hook, `${JSON.stringify(state)}\n`, (reader) =>
      execHook(hook, reader, output, outputs, around),
    );
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
function startHook(name: string, hook: Hook, input: string, become: (reader: number) => never): number {
  const [reader, writer] = mustGet(sys.pipe(), `make a pipe for ${name}`);
  const pid = sys.clone(0, -1);
  if (pid === 0) become(reader);
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

function execHook(
  hook: Hook,
  reader: number,
  output: number,
  outputs: readonly string[],
  around: Surroundings | undefined,
): never {
  sys.dup2(reader, 0);
  for (let i = 0; i < 2; i++) {
    const path = outputs[i];
    const file = path ? sys.open(path, c.O_WRONLY | c.O_CREAT | c.O_APPEND, 0o700) : output;
    if (file < 0) {
      sys.writeAll(output, `open ${path}, the annotation ${OUTPUTS[i]}: ${sys.errnoText(-file)}\n`);
      sys.exit(126);
    }
    sys.dup2(file, i + 1);
  }
  sys.closeRange(3, 0x7fffffff, 4);
  sys.resetSignals();
  if (around) around.confine();
  const argv = hook.args && hook.args.length > 0 ? hook.args : [hook.path];
  const result = sys.execve(hook.path, argv, hook.env || (around ? around.env : pathOnly()));
  sys.writeAll(2, `start hook ${hook.path}: ${sys.errnoText(-result)}\n`);
  return sys.exit(127);
}

/**
 * Of a hook on the host that has no environment of its own: runc and crun give it all of theirs, and some look for their
 * tools in its PATH. The caller's other variables may be secrets.
 */
function pathOnly(): string[] {
  const path = envValue(sys.environ(), "PATH");
  return path === undefined ? [] : [`PATH=${path}`];
}
