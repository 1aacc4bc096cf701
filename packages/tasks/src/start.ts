import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { errnoOf } from "@berth/base";
import type { MonitorConfig } from "@berth/protocol";
import { SocketClient } from "./client.ts";
import { cannotSpawn, noMonitor } from "./errors.ts";
import type { MonitorClient } from "./types.ts";

/** Last words of a monitor that are worth showing. */
const MAX_WORDS = 4096;

/**
 * Starts a monitor in a session of its own; it outlives this process. Its first connection is returned at once: wait
 * for its `ready` event.
 *
 * @param configPath where to write its orders; it reads them once
 * @throws {BerthError} FailedPrecondition if keel cannot be executed
 */
export async function startMonitor(
  keelPath: string,
  configPath: string,
  config: MonitorConfig,
): Promise<MonitorClient> {
  writeFileSync(configPath, JSON.stringify(config), { mode: 0o600 });
  const child = spawn(keelPath, ["monitor", configPath], {
    stdio: ["ignore", "ignore", "pipe", "pipe"],
    detached: true,
    cwd: "/",
  });
  const failed = new Promise<never>((_resolve, reject) => {
    child.once("error", (error) => reject(cannotSpawn(keelPath, error)));
  });
  failed.catch(() => {}); // nobody waits for it any more once the child runs
  if (child.pid === undefined) return failed;
  let words = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    words = (words + text).slice(-MAX_WORDS);
  });
  child.unref();
  return new SocketClient(config.id, child.stdio[3] as Socket, () => words.trim());
}

/**
 * A further connection to a running monitor.
 *
 * @param socketPath at most 107 bytes (sun_path)
 * @throws {BerthError} Unavailable if there is none
 */
export function connectMonitor(id: string, socketPath: string): Promise<MonitorClient> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(socketPath);
    const onError = (error: unknown): void => reject(noMonitor(socketPath, error));
    socket.once("error", onError);
    socket.once("connect", () => {
      socket.off("error", onError);
      resolve(new SocketClient(id, socket));
    });
  });
}

/** True if the error says that no monitor is there. */
export function isGone(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  const errno = errnoOf(cause);
  return errno === "ENOENT" || errno === "ECONNREFUSED";
}
