import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { errnoOf } from "@berth/base";
import type { HostReply, HostStep } from "@berth/protocol";
import { cannotRun, fromWire, noReply } from "./errors.ts";

/**
 * Does privileged steps in order, in one `keel host` process; stops at the first that fails, those before it stay done.
 *
 * @param keel absolute path of the keel binary
 * @returns what the `read-file` steps read, in order; null for an absent file
 * @throws {BerthError} what the failed step reports; FailedPrecondition if keel cannot be run
 */
export async function applyHostSteps(keel: string, steps: readonly HostStep[]): Promise<readonly (string | null)[]> {
  if (steps.length === 0) return [];
  // Not loaded at the start of commands that never come here.
  const child = spawn(keel, ["host"], { stdio: ["pipe", "pipe", "pipe"] });
  const ended = new Promise<string>((resolve, reject) => {
    child.on("error", (error) => reject(cannotRun(keel, error)));
    child.on("close", (code, signal) => resolve(signal === null ? `it ended with ${code}` : `${signal} ended it`));
  });
  // Without a reader the write fails; the reply, or its absence, says more than EPIPE does.
  child.stdin.on("error", (error) => {
    if (errnoOf(error) !== "EPIPE") child.kill("SIGKILL");
  });
  child.stdin.end(JSON.stringify(steps));
  const [how, out, err] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
  const reply = parseReply(out);
  if (reply === undefined) throw noReply(`${keel} host`, how, err.trim());
  if (!reply.ok) throw fromWire(reply.error);
  return reply.texts ?? [];
}

function parseReply(out: string): HostReply | undefined {
  try {
    const reply: unknown = JSON.parse(out);
    return typeof reply === "object" && reply !== null && "ok" in reply ? (reply as HostReply) : undefined;
  } catch {
    return undefined;
  }
}
