import type { HostStep } from "@berth/protocol";
import { applyHostStep } from "../host/apply.ts";
import * as c from "../lib/consts.ts";
import { must } from "../lib/errors.ts";
import { setupSteps, undoSteps } from "./plan.ts";
import type { World } from "./world.ts";

const SIGQUIT = 3;
/** Signals to the monitor that are meant for its container. */
export const FORWARDED: readonly number[] = [c.SIGTERM, c.SIGINT, SIGQUIT];

/** Makes this process a monitor: it outlives its starter, inherits the container's orphans and holds no descriptor but its own. */
export function detach(starter: number): void {
  const devNull = must(sys.open("/dev/null", c.O_RDWR, 0), "open /dev/null");
  for (let fd = 0; fd < 3; fd++) must(sys.dup2(devNull, fd), "redirect output to /dev/null");
  if (devNull > 2) sys.close(devNull);
  sys.closeRange(starter < 0 ? 3 : 4, 0xffffffff, 0);
  sys.setsid(); // EPERM: the starter has done it
  must(sys.prctl(c.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "become subreaper");
  sys.ignoreSignal(c.SIGPIPE);
  sys.ignoreSignal(c.SIGHUP);
  must(sys.chdir("/"), "change directory to /");
}

/** Descriptor 3 if it is the starter's socket, else -1. */
export function starterSocket(): number {
  const stat = sys.fstat(3);
  if (typeof stat === "number" || (stat.mode & c.S_IFMT) !== 0o140000) return -1;
  sys.setCloexec(3, true);
  return 3;
}

export function openSignals(): number {
  const signals = FORWARDED.concat([c.SIGCHLD]);
  must(sys.sigprocmask(0, signals), "block signals");
  return must(sys.signalfd(signals), "open signalfd");
}

/** Does the steps; `w.stepsDone` tells how many when one throws. */
export function applySetup(w: World): void {
  const steps = setupSteps(w.config);
  for (; w.stepsDone < steps.length; w.stepsDone++) applyHostStep(steps[w.stepsDone] as HostStep);
}

/** Undoes what was set up; what cannot be undone now is the exit command's matter, not a reason to stay. */
export function undoSetup(w: World): void {
  const steps = undoSteps(w.config, w.stepsDone, w.machine.goal === "clean");
  w.stepsDone = 0;
  for (let i = 0; i < steps.length; i++) {
    try {
      applyHostStep(steps[i] as HostStep);
    } catch {
      // the next step is another mount
    }
  }
}
