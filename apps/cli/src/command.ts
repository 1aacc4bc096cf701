import type { Engine } from "@berth/engine";
import type { Progress } from "./print/progress.ts";

/** One option of a command. Its key in {@link Flags} is the long name. */
export interface FlagSpec {
  /** `list` may be given several times; `bytes` takes sizes such as 512m. */
  readonly type: "boolean" | "string" | "list" | "integer" | "number" | "bytes";
  readonly short?: string;
  readonly doc: string;
  /** What help calls the value; default: the type's name. */
  readonly value?: string;
  readonly choices?: readonly string[];
  /** Another long name, not shown in help. */
  readonly alias?: string;
  /** Of a boolean flag: what it is when not given; default false. */
  readonly initial?: boolean;
  /** What the shell completes the value with. */
  readonly complete?: "file" | "directory" | "container" | "image";
}

export type Flags = Readonly<Record<string, FlagSpec>>;

type ValueOf<F extends FlagSpec> = F["type"] extends "boolean"
  ? boolean
  : F["type"] extends "list"
    ? readonly string[]
    : F["type"] extends "integer" | "number" | "bytes"
      ? number | undefined
      : string | undefined;

/** The values that the handler of a command with these flags gets. */
export type FlagValues<F extends Flags> = { readonly [K in keyof F]: ValueOf<F[K]> };

/** A piece of output, in the order it is to appear. */
export interface Chunk {
  readonly to: "stdout" | "stderr";
  readonly data: string | Uint8Array;
}

/** What a command came to: text for stdout, and the exit code (0 when absent). */
export interface Outcome {
  readonly text?: string;
  readonly code?: number;
}

/** The stream's return value is the exit code. */
export type Result = Outcome | AsyncGenerator<Chunk, number>;

/** What a handler may use. */
export interface Context {
  /** Opened at the first call, closed after the command. */
  engine(): Promise<Engine>;
  /** Global `--debug`: errors show where they come from. */
  readonly debug: boolean;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  /** Unix time of this process' start, ms with fractions. */
  startedAtMs(): number;
  /** Standard streams for bytes of a running container; each resolves when the bytes are written. */
  readonly stdout: (data: Uint8Array) => Promise<void>;
  readonly stderr: (data: Uint8Array) => Promise<void>;
  /** Progress of a pull, drawn on stderr; see print/progress.ts. */
  progress(): Progress;
  /** A line for stderr at once, outside of the result. */
  notice(text: string): void;
}

/** A command as data: parser, help, completion and the documentation page derive from it. */
export interface Command<F extends Flags = Flags> {
  /** One word, or two for a command that exists only in a group: `image ls`. */
  readonly name: string;
  /** Further names, for example `container ls`. */
  readonly also?: readonly string[];
  /** `IMAGE`, `CONTAINER...` (one or more), `[COMMAND]`, `[ARG...]` (any number). */
  readonly args: readonly string[];
  readonly doc: string;
  readonly example: string;
  readonly flags: F;
  /** Flags end at the first argument; the rest belongs to the program in the container. */
  readonly stopAtArgument?: boolean;
  /** Failures exit with 125, so that they are not mistaken for the program's own code. */
  readonly startsContainer?: boolean;
  readonly hidden?: boolean;
  run(context: Context, args: readonly string[], flags: FlagValues<F>): Result | Promise<Result>;
}

/** Types the flags of the handler after the declared ones. */
export function command<const F extends Flags>(spec: Command<F>): Command {
  // The parser gives each flag a value of its declared type, so the handler's narrower view is safe.
  return spec as unknown as Command;
}
