import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { BerthError, errnoOf } from "@berth/base";
import { algorithmOf, type Descriptor, type Digest } from "@berth/oci";
import { ERROR_CODES, type UnpackResult, type WireError } from "@berth/protocol";
import { damagedBlob, diffIdMismatch, noKeel, unpackFailed } from "./errors.ts";
import type { LayerLimits } from "./types.ts";

const LIMIT_HINT =
  "if you trust the image, raise the limit: BERTH_MAX_LAYER_BYTES, BERTH_MAX_LAYER_ENTRIES, BERTH_MAX_LAYER_RATIO";

export interface UnpackOptions {
  readonly keelPath: string;
  readonly layer: Descriptor;
  readonly diffId: Digest;
  /** Path of the layer's blob, or its bytes while they still arrive. */
  readonly blob: string | AsyncIterable<Uint8Array>;
  readonly dirs: { readonly upper: string; readonly work: string; readonly lowers: readonly string[] };
  readonly limits: LayerLimits;
  readonly signal: AbortSignal;
}

/**
 * Applies one layer with `keel unpack` and verifies what it read and wrote.
 *
 * @throws {BerthError} DataLoss when diff id or digest are not the expected ones; what keel reported; Cancelled
 */
export async function unpackLayer(options: UnpackOptions): Promise<void> {
  const { layer, diffId, dirs } = options;
  const args = ["unpack", "--target", dirs.upper];
  for (const lower of dirs.lowers) args.push("--lower", lower);
  const { bytes, entries, ratio } = options.limits;
  args.push("--max-bytes", `${bytes}`, "--max-entries", `${entries}`, "--max-ratio", `${ratio}`);
  const result = parseResult(layer.digest, await runKeel(options, args));
  // keel tells the sha-256; of other digests the store has verified the bytes as they came.
  if (algorithmOf(layer.digest) === "sha256" && result.digest !== layer.digest)
    throw damagedBlob(layer.digest, result.digest);
  if (result.diffId !== diffId) throw diffIdMismatch(layer.digest, diffId, result.diffId);
}

async function runKeel(options: UnpackOptions, args: readonly string[]): Promise<string> {
  const { keelPath, layer, signal, blob } = options;
  signal.throwIfAborted();
  const fd = typeof blob === "string" ? openSync(blob, "r") : "pipe";
  try {
    const child = spawn(keelPath, args, { stdio: [fd, "pipe", "pipe"], signal, killSignal: "SIGKILL" });
    const ended = waitFor(child, keelPath);
    const fed = feed(child, blob);
    const [failure, out, err, unfed] = await Promise.all([ended, readText(child.stdout), readText(child.stderr), fed]);
    if (unfed !== undefined) throw unfed.error;
    if (failure !== "") throw keelError(layer.digest, err, failure);
    return out;
  } finally {
    if (typeof fd === "number") closeSync(fd);
  }
}

/** Why the child failed, or "". Settles only when it is gone, so that nobody writes to the directory any more. */
function waitFor(child: ChildProcess, keelPath: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let failure: unknown;
    child.on("error", (error) => {
      failure = error;
      if (child.pid === undefined) reject(errnoOf(error) === "ENOENT" ? noKeel(keelPath, error) : error);
    });
    child.on("close", (code, killedBy) => {
      if (failure !== undefined) reject(failure);
      else resolve(code === 0 ? "" : `keel ended with ${killedBy ?? code}`);
    });
  });
}

/** Hands arriving bytes on. Returns the source's failure; a child that stops reading tells the reason itself. */
async function feed(
  child: ChildProcess,
  blob: UnpackOptions["blob"],
): Promise<{ readonly error: unknown } | undefined> {
  const { stdin } = child;
  if (typeof blob === "string" || stdin === null) return undefined;
  let failure: { readonly error: unknown } | undefined;
  const watched = async function* (): AsyncGenerator<Uint8Array> {
    try {
      yield* blob;
    } catch (error) {
      failure = { error };
      // It must not take the end of the pipe for the end of the layer.
      child.kill("SIGKILL");
    }
  };
  await pipeline(watched, stdin).catch(() => {});
  return failure;
}

function readText(stream: Readable | null): Promise<string> {
  return stream === null ? Promise.resolve("") : text(stream);
}

function keelError(layer: Digest, stderr: string, failure: string): BerthError {
  try {
    const wire = JSON.parse(stderr) as WireError;
    if (ERROR_CODES.includes(wire.code) && typeof wire.message === "string") {
      return new BerthError(wire.code, `unpack layer ${layer}: ${wire.message}`, {
        hint: wire.hint ?? (wire.message.endsWith("allowed") ? LIMIT_HINT : undefined),
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
