import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Host, main } from "./cli.ts";
import { isWriting, writeNow } from "./print/stdio.ts";

const { env } = process;
const home = import.meta.dirname;

/** What the build lays beside the bundle; undefined elsewhere, so that the configuration decides. */
function beside(path: string): string | undefined {
  const full = join(home, path);
  return existsSync(full) ? full : undefined;
}

const host: Host = {
  env,
  cwd: process.cwd(),
  // Asked for late: the first touch of performance costs 1 ms.
  startedAtMs: () => performance.timeOrigin,
  write: writeNow,
  openEngine: async ({ root, runRoot, snapshotter }) => {
    // Loaded only by commands that need it: it is most of the bundle.
    const { openEngine } = await import("@berth/engine");
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

/**
 * Ends at once: nothing is left to do but what a slow peer might hold up, an open stdin or a monitor's socket. A write
 * to a reader that is stuck would hold up exit() too, but not a signal.
 */
function leave(code: number): void {
  if (isWriting()) process.kill(process.pid, code === 130 ? "SIGINT" : "SIGTERM");
  process.exit(code);
}

// No top-level await: the bundle is a script (scripts/build-cli.ts).
void main(process.argv.slice(2), host).then(leave);
