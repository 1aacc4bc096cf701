import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { ERROR_CODES, type WireError } from "@berth/protocol";
import { cannotRun, fromWire, noReply } from "./errors.ts";

/**
 * Runs one of keel's commands for programs; resolves when it has ended.
 *
 * @param keel absolute path of the keel binary
 * @returns its output
 * @throws {BerthError} what keel reports; FailedPrecondition if it cannot be run
 */
export async function runKeel(keel: string, args: readonly string[]): Promise<Buffer> {
  const child = spawn(keel, args, { stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise<string>((resolve, reject) => {
    child.on("error", (error) => reject(cannotRun(keel, error)));
    child.on("close", (code, signal) =>
      resolve(code === 0 ? "" : signal === null ? `it ended with ${code}` : `${signal} ended it`),
    );
  });
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  const [failure, err] = await Promise.all([ended, text(child.stderr)]);
  if (failure === "") return Buffer.concat(chunks);
  throw wireError(err) ?? noReply(`${keel} ${args[0]}`, failure, err.trim());
}

function wireError(stderr: string): ReturnType<typeof fromWire> | undefined {
  try {
    const wire = JSON.parse(stderr) as WireError;
    return ERROR_CODES.includes(wire.code) && typeof wire.message === "string" ? fromWire(wire) : undefined;
  } catch {
    return undefined;
  }
}
