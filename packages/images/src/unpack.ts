import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { BerthError, errnoOf } from "@berth/base";
import type { Descriptor, Digest } from "@berth/oci";
import { ERROR_CODES, type UnpackResult, type WireError } from "@berth/protocol";
import { damagedBlob, diffIdMismatch, noKeel, unpackFailed } from "./errors.ts";

export interface UnpackOptions {
  readonly keelPath: string;
  readonly layer: Descriptor;
  readonly diffId: Digest;
  /** Path of the layer's blob. */
  readonly blob: string;
  readonly dirs: { readonly upper: string; readonly work: string; readonly lowers: readonly string[] };
  readonly maxBytes: number;
  readonly signal: AbortSignal;
}

/**
 * Applies one layer with `keel unpack` and verifies what it read and wrote.
 *
 * @throws {BerthError} DataLoss when diff id or digest are not the expected ones; what keel reported; Cancelled
 */
export async function unpackLayer(options: UnpackOptions): Promise<void> {
  const { layer, diffId, dirs } = options;
  const args = ["unpack", "--target", dirs.upper, "--work", dirs.work];
  for (const lower of dirs.lowers) args.push("--lower", lower);
  args.push("--max-bytes", String(options.maxBytes));
  const result = parseResult(layer.digest, await runKeel(options, args));
  if (result.digest !== layer.digest) throw damagedBlob(layer.digest, result.digest);
  if (result.diffId !== diffId) throw diffIdMismatch(layer.digest, diffId, result.diffId);
}

async function runKeel(options: UnpackOptions, args: readonly string[]): Promise<string> {
  const { keelPath, layer, signal } = options;
  signal.throwIfAborted();
  const fd = openSync(options.blob, "r");
  try {
    const child = spawn(keelPath, args, { stdio: [fd, "pipe", "pipe"], signal, killSignal: "SIGKILL" });
    const ended = new Promise<string>((resolve, reject) => {
      child.on("error", (error) => reject(errnoOf(error) === "ENOENT" ? noKeel(keelPath, error) : error));
      child.on("close", (code, killedBy) => resolve(code === 0 ? "" : `keel ended with ${killedBy ?? code}`));
    });
    const [failure, out, err] = await Promise.all([ended, readText(child.stdout), readText(child.stderr)]);
    if (failure !== "") throw keelError(layer.digest, err, failure);
    return out;
  } finally {
    closeSync(fd);
  }
}

function readText(stream: Readable | null): Promise<string> {
  return stream === null ? Promise.resolve("") : text(stream);
}

function keelError(layer: Digest, stderr: string, failure: string): BerthError {
  try {
    const wire = JSON.parse(stderr) as WireError;
    if (ERROR_CODES.includes(wire.code) && typeof wire.message === "string") {
      return new BerthError(wire.code, `unpack layer ${layer}: ${wire.message}`, {
        hint: wire.hint,
        details: { errno: wire.errno, step: wire.step },
      });
    }
  } catch {
    // Not keel's report: fall through to the plain words.
  }
  return unpackFailed(layer, `${failure}: ${stderr.trim().slice(0, 500)}`);
}

function parseResult(layer: Digest, stdout: string): UnpackResult {
  try {
    return JSON.parse(stdout) as UnpackResult;
  } catch (error) {
    throw unpackFailed(layer, "keel's answer is not JSON", error);
  }
}
