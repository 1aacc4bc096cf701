// `keel init -- COMMAND…`: process 1 of containers that asked for one (`berth run --init`). It runs inside the container.
import * as c from "../lib/consts.ts";
import { context } from "../lib/context.ts";
import { callError, must, runtimeError } from "../lib/errors.ts";
import { runCommand } from "../lib/report.ts";
import { findProgram } from "../run/become.ts";
import { attend, openSignals } from "../run/foreground.ts";

const SIGTTOU = 22;
const TIOCSPGRP = 0x5410;

function init(): number {
  const args = context().args[0] === "--" ? context().args.slice(1) : context().args;
  if (args.length === 0) throw runtimeError("InvalidArgument", '"keel init" requires a command');
  const env = sys.environ();
  const program = findProgram(args[0] as string, env);
  const signals = openSignals();
  const pid = must(sys.clone(0, -1), "make a process");
  if (pid === 0) runProgram(program, args, env);
  return attend(pid, -1, signals);
}

/** In a process group of its own that owns the terminal, so that Ctrl-C reaches it once and not through us again. */
function runProgram(program: string, args: readonly string[], env: readonly string[]): never {
  sys.setpgid(0, 0);
  if (sys.isatty(0)) takeForeground();
  sys.resetSignals();
  const result = sys.execve(program, args, env);
  sys.writeAll(2, `${callError(`exec ${program}`, result).message}\n`);
  sys.exit(result === -c.ENOENT ? 127 : 126);
}

/** tcsetpgrp(3); a background process that asks for it is stopped unless it ignores SIGTTOU. */
function takeForeground(): void {
  sys.ignoreSignal(SIGTTOU);
  const pid = sys.getpid();
  const group = new Uint8Array([pid & 255, (pid >>> 8) & 255, (pid >>> 16) & 255, pid >>> 24]);
  sys.syscall(sys.syscallNumber("ioctl"), 0, TIOCSPGRP, group);
}

runCommand(init, 127);
