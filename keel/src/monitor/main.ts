import * as c from "../lib/consts.ts";
import { must, runtimeError } from "../lib/errors.ts";
import { wireError } from "./act.ts";
import { addClient } from "./clients.ts";
import { parseConfig } from "./config.ts";
import { endMonitor } from "./finish.ts";
import { runLoop } from "./loop.ts";
import { type Action, onReady, onSetupFailed } from "./machine.ts";
import { applySetup, detach, openSignals, starterSocket } from "./setup.ts";
import { newWorld } from "./world.ts";

/**
 * `keel monitor CONFIG`: stays with one container from before its create to after its delete. Throws only for orders
 * that it cannot read; everything later is told to its clients.
 *
 * @returns the exit code of this process: 0, or 1 when set-up or create failed
 */
export function runMonitor(args: readonly string[]): number {
  if (args.length !== 1)
    throw runtimeError(
      "InvalidArgument",
      `"keel monitor" requires exactly 1 argument, the configuration file, got ${args.length}`,
    );
  const text = sys.readFile(args[0] as string);
  if (typeof text === "number")
    throw runtimeError("NotFound", `read monitor configuration ${args[0]}: ${sys.errnoText(-text)}`);
  const w = newWorld(parseConfig(text));
  const starter = starterSocket();
  if (starter >= 0) addClient(w.clients, starter);
  let first: Action[];
  try {
    detach(starter);
    w.signalFd = openSignals();
    // a socket file that is there is a dead monitor's: the engine starts one monitor for an id
    sys.unlinkat(c.AT_FDCWD, w.config.socketPath, 0);
    w.listenFd = must(sys.unixListen(w.config.socketPath, 1, 64), `listen at ${w.config.socketPath}`);
    sys.setNonblock(w.listenFd, true);
    applySetup(w);
    first = onReady(w.machine, w.config.autoCreate);
  } catch (thrown) {
    first = onSetupFailed(w.machine, wireError(thrown));
  }
  const finish = runLoop(w, first);
  endMonitor(w, finish.exitCommand);
  return finish.code;
}
