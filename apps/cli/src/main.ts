import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { startupSnapshot } from "node:v8";
import { openEngine } from "@berth/engine";
import { type Host, main } from "./cli.ts";
import { isWriting, writeNow } from "./print/stdio.ts";

/** What a container's run takes of Node.js and a snapshot can hold: `sqlite`, `http` and `tls` it cannot. */
const HELD = [
  "child_process",
  "crypto",
  "fs/promises",
  "net",
  "perf_hooks",
  "stream/promises",
  "timers/promises",
  "tty",
];

/** Runs the command line of this process. Whatever belongs to the process is read here: all else is in a snapshot. */
function begin(): void {
  const [, script = "", ...argv] = process.argv;
  void main(argv, hostOf(dirname(script))).then(leave);
}

/** @param home where the build lays what belongs to this script */
function hostOf(home: string): Host {
  const { env } = process;
  // What is not there is left to the configuration.
  const beside = (path: string): string | undefined => {
    const full = join(home, path);
    return existsSync(full) ? full : undefined;
  };
  return {
    env,
    cwd: process.cwd(),
    startedAtMs: () => performance.timeOrigin,
    write: writeNow,
    openEngine: async ({ root, runRoot, snapshotter }) => {
      const keelPath = env["BERTH_KEEL"] ? undefined : beside("../keel/build/keel");
      const hello = beside("hello.tar");
      return openEngine({
        ...(root === undefined ? {} : { root }),
        ...(runRoot === undefined ? {} : { runRoot }),
        ...(snapshotter === undefined ? {} : { snapshotter }),
        ...(keelPath === undefined ? {} : { keelPath }),
        ...(hello === undefined ? {} : { builtins: { "berth.local/hello:latest": hello } }),
      });
    },
  };
}

/**
 * Ends at once: nothing is left to do but what a slow peer might hold up, an open stdin or a monitor's socket. A write
 * to a reader that is stuck would hold up exit() too, but not a signal.
 */
function leave(code: number): void {
  if (isWriting()) process.kill(process.pid, code === 130 ? "SIGINT" : "SIGTERM");
  process.exit(code);
}

if (startupSnapshot.isBuildingSnapshot()) {
  for (const name of HELD) process.getBuiltinModule(`node:${name}`);
  startupSnapshot.setDeserializeMainFunction(begin);
} else {
  begin();
}
