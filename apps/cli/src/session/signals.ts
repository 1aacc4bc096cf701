import { constants } from "node:os";

const ENDING = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
/** What docker passes on, without those that stop or resize this process. */
const PASSED = [...ENDING, "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCONT"] as const;
/** After so many Ctrl-C that the program ignores, the user wants to leave. */
const PATIENCE = 3;

/** Number of a signal, 0 if this system has none of that name. */
export function signalNumber(name: NodeJS.Signals): number {
  return constants.signals[name] ?? 0;
}

/** Who gets the signals of this process. */
export interface SignalRouter extends Disposable {
  /** Aborted by the first Ctrl-C (or SIGTERM, SIGHUP) before {@link SignalRouter.hold}; the second one ends the process. */
  readonly signal: AbortSignal;
  /** From now on signals are kept: the container is about to start. */
  hold(): void;
  /** Kept and further signals go there; the third Ctrl-C calls `leave`. */
  passTo(send: (signal: number) => void, leave: () => void): void;
  /** From now on signals are ignored: the container has ended, and cleaning up must not be cut short. */
  ignore(): void;
}

/** Takes over the signals until it is disposed. */
export function routeSignals(): SignalRouter {
  const controller = new AbortController();
  const kept: NodeJS.Signals[] = [];
  let mode: "abort" | "hold" | "pass" | "ignore" = "abort";
  let interrupts = 0;
  let send: (signal: number) => void = () => {};
  let leave: () => void = () => {};
  const installed = new Map<NodeJS.Signals, () => void>();
  const remove = (): void => {
    for (const [name, handler] of installed) process.off(name, handler);
    installed.clear();
  };
  const onSignal = (name: NodeJS.Signals): void => {
    if (mode === "hold") {
      kept.push(name);
    } else if (mode === "pass") {
      if (name === "SIGINT" || name === "SIGTERM") interrupts++;
      if (interrupts >= PATIENCE) leave();
      else send(signalNumber(name));
    } else if (mode === "abort") {
      if (controller.signal.aborted) {
        // By the signal itself, so that the shell sees why; exit() would wait for reads and writes that hang.
        remove();
        process.kill(process.pid, name);
      }
      controller.abort();
    }
  };
  const install = (names: readonly NodeJS.Signals[]): void => {
    for (const name of names) {
      if (installed.has(name)) continue;
      const handler = (): void => onSignal(name);
      installed.set(name, handler);
      process.on(name, handler);
    }
  };
  install(ENDING);
  return {
    signal: controller.signal,
    hold: () => {
      mode = "hold";
      install(PASSED);
    },
    passTo: (to, onLeave) => {
      mode = "pass";
      send = to;
      leave = onLeave;
      for (const name of kept.splice(0)) onSignal(name);
    },
    ignore: () => {
      mode = "ignore";
    },
    [Symbol.dispose]: remove,
  };
}
