import { openSync } from "node:fs";
import { errnoOf } from "@berth/base";

/** Growth that is worth telling, bytes. */
const STEP = 1024 * 1024;

/** How writing ended: the blob is verified and in the store, or `failure` says why not. */
export interface End {
  readonly failure?: { readonly error: unknown };
}

/** Throws what made the writer fail, if it did. */
export function throwFailure({ failure }: End): void {
  if (failure !== undefined) throw failure.error;
}

/** A blob that one task writes and another reads at the same time, so that unpacking need not wait for the download. */
export class Growing {
  readonly #finalPath: string;
  readonly #started = Promise.withResolvers<void>();
  #changed = Promise.withResolvers<void>();
  #path: string | undefined;
  #length = 0;
  readonly #finished = Promise.withResolvers<End>();
  #end: End | undefined;

  /** @param finalPath where the file is when it is whole */
  constructor(finalPath: string) {
    this.#finalPath = finalPath;
  }

  /** Resolves when there is a file to read from, or when the writer has ended, well or not. */
  get started(): Promise<void> {
    return this.#started.promise;
  }

  /** Undefined while the writer is at work. */
  get end(): End | undefined {
    return this.#end;
  }

  /** Resolves when the writer has ended, well or not. */
  get finished(): Promise<End> {
    return this.#finished.promise;
  }

  /** The writer begins with this file. */
  begin(path: string): void {
    this.#path = path;
    this.#started.resolve();
  }

  /** So many bytes are in the file. */
  grow(length: number): void {
    this.#length = length;
    this.#wake();
  }

  /** The writer has ended. */
  finish(end: End): void {
    this.#end = end;
    this.#finished.resolve(end);
    this.#started.resolve();
    this.#wake();
  }

  /** A descriptor of the file, whatever its name is by now; undefined if there is none. The caller closes it. */
  open(): number | undefined {
    return this.#path === undefined ? undefined : openEither(this.#path, this.#finalPath);
  }

  /** Tells that there is more, ending when the writer has ended well and the file is whole; throws its error. */
  async *growth(): AsyncGenerator<void> {
    for (let told = 0; this.#end === undefined; ) {
      if (this.#length >= told + STEP) {
        told = this.#length;
        yield;
      } else await this.#changed.promise;
    }
    throwFailure(this.#end);
  }

  #wake(): void {
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers<void>();
    resolve();
  }
}

/** The writer may have finished since it began; the descriptor stays good when the file gets its final name. */
function openEither(path: string, finalPath: string): number {
  try {
    return openSync(path, "r");
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    return openSync(finalPath, "r");
  }
}
