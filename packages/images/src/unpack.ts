import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { BerthError, errnoOf } from "@berth/base";
import { algorithmOf, type Descriptor, type Digest } from "@berth/oci";
import { ERROR_CODES, type UnpackResult, type WireError } from "@berth/protocol";
import { damagedBlob, diffIdMismatch, noKeel, unpackFailed } from "./errors.ts";
import type { Growing } from "./growing.ts";
import type { LayerLimits } from "./types.ts";

const LIMIT_HINT =
  "if you trust the image, raise the limit: BERTH_MAX_LAYER_BYTES, BERTH_MAX_LAYER_ENTRIES, BERTH_MAX_LAYER_RATIO";

export interface UnpackOptions {
  readonly keelPath: string;
  readonly layer: Descriptor;
  readonly diffId: Digest;
  /** Path of the layer's blob, or the file that is to be it while the bytes still arrive. */
  readonly blob: string | Growing;
  readonly dirs: { readonly upper: string; readonly work: string; readonly lowers: readonly string[] };
  /** The lower directories are filled at the same time, until this resolves. */
  readonly lowersDone: Promise<void> | undefined;
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
  // keel tells the sha-256 of what was stored before; the store verifies what arrives, and other digests.
  const { digest = layer.digest } = result;
  if (algorithmOf(layer.digest) === "sha256" && digest !== layer.digest) throw damagedBlob(layer.digest, digest);
  if (result.diffId !== diffId) throw diffIdMismatch(layer.digest, diffId, result.diffId);
}

async function runKeel(options: UnpackOptions, args: readonly string[]): Promise<string> {
  const { keelPath, layer, signal, blob, lowersDone } = options;
  signal.throwIfAborted();
  const isWhole = typeof blob === "string";
  const fd = isWhole ? openSync(blob, "r") : blob.open();
  try {
    const later = [...(isWhole ? [] : ["--growing"]), ...(lowersDone === undefined ? [] : ["--lowers-later"])];
    const child = spawn(keelPath, [...args, ...later], {
      stdio: [fd, "pipe", "pipe", isWhole ? "ignore" : "pipe", lowersDone === undefined ? "ignore" : "pipe"],
      signal,
      killSignal: "SIGKILL",
    });
    const ended = waitFor(child, keelPath);
    // what the child has not read when it is killed comes back as an error of ours, at any time
    for (const stream of child.stdio.slice(3)) stream?.on("error", () => {});
    void lowersDone?.then(() => (child.stdio[4] as Writable).end());
    const told = isWhole ? undefined : tellGrowth(child, blob);
    const [failure, out, err, untold] = await Promise.all([
      ended,
      readText(child.stdout),
      readText(child.stderr),
      told,
    ]);
    if (untold !== undefined) throw untold.error;
    if (failure !== "") throw keelError(layer.digest, err, failure);
    return out;
  } finally {
    if (fd !== undefined) closeSync(fd);
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

/** Lets keel read on as the file grows. Returns the writer's failure; a child that stops reading tells the reason itself. */
async function tellGrowth(child: ChildProcess, blob: Growing): Promise<{ readonly error: unknown } | undefined> {
  let failure: { readonly error: unknown } | undefined;
  const words = async function* (): AsyncGenerator<string> {
    try {
      for await (const _ of blob.growth()) yield ".";
    } catch (error) {
      failure = { error };
      // It must not take the end of the pipe for the end of the layer.
      child.kill("SIGKILL");
    }
  };
  await pipeline(words, child.stdio[3] as Writable).catch(() => {});
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
