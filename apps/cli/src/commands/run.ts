import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { BerthError, errnoOf } from "@berth/base";
import type { ContainerSpec, Engine, PullPolicy } from "@berth/engine";
import { type Context, command, type FlagValues, type Outcome } from "../command.ts";
import { describeError, usageError } from "../errors.ts";
import { DEFAULT_DETACH_KEYS } from "../session/detach.ts";
import { checkSession, runSession, type SessionOptions } from "../session/session.ts";
import { routeSignals } from "../session/signals.ts";
import { CONTAINER_FLAGS, type ContainerFlags } from "../spec/flags.ts";
import { buildSpec } from "../spec/spec.ts";
import { tellUnreachable } from "./images.ts";

const RUN_FLAGS = {
  ...CONTAINER_FLAGS,
  detach: { type: "boolean", short: "d", doc: "leave it running and print its id" },
  "detach-keys": {
    type: "string",
    value: "KEYS",
    doc: `keys that leave a terminal session; default ${DEFAULT_DETACH_KEYS}`,
  },
  "sig-proxy": { type: "boolean", initial: true, doc: "pass signals on to the program" },
} as const;

export const run = command({
  name: "run",
  also: ["container run"],
  args: ["IMAGE", "[COMMAND]", "[ARG...]"],
  doc: "run a program in a new container",
  example: "berth run --rm -it docker.io/library/debian:12 bash",
  flags: RUN_FLAGS,
  stopAtArgument: true,
  startsContainer: true,
  run: runContainer,
});

export const create = command({
  name: "create",
  also: ["container create"],
  args: ["IMAGE", "[COMMAND]", "[ARG...]"],
  doc: "make a container without starting it",
  example: "berth create --name web -p 8080:80 docker.io/library/nginx",
  flags: CONTAINER_FLAGS,
  stopAtArgument: true,
  startsContainer: true,
  run: async (context, args, flags) => {
    const streams = streamsOf(flags);
    const spec = specOf(context, args, flags, streams.stdin);
    const engine = await context.engine();
    using router = routeSignals();
    return { text: `${await createContainer(context, engine, spec, { flags, signal: router.signal, own: false })}\n` };
  },
});

async function runContainer(
  context: Context,
  args: readonly string[],
  flags: FlagValues<typeof RUN_FLAGS>,
): Promise<Outcome> {
  if (flags.detach && flags.attach.length > 0) throw usageError("conflicting options: -a and -d", "run", 125);
  const session: SessionOptions = {
    terminal: flags.tty,
    ...streamsOf(flags),
    detachKeys: flags["detach-keys"] ?? DEFAULT_DETACH_KEYS,
    proxy: flags["sig-proxy"],
  };
  if (!flags.detach) checkSession(session);
  const spec = specOf(context, args, flags, !flags.detach && session.stdin);
  const engine = await context.engine();
  using router = routeSignals();
  const id = await createContainer(context, engine, spec, { flags, signal: router.signal, own: true });
  if (flags.detach) {
    router.hold();
    await engine.start(id);
    return { text: `${id}\n` };
  }
  const end = await runSession(context, router, session, async (io) => {
    const attachment = await engine.start(id, { io, own: true });
    if (attachment === undefined)
      throw new BerthError("Internal", `start container ${id}: its streams were not attached`);
    return attachment;
  });
  if (end.kind === "exit") await finish(context, engine, id);
  return { code: end.code };
}

/** Cleans up; the program's exit code counts even if that fails. */
export async function finish(context: Context, engine: Engine, id: string): Promise<void> {
  try {
    await engine.finish(id);
  } catch (error) {
    context.notice(describeError(error, context.debug));
  }
}

/** `-a` chooses; without it output is shown, and stdin is passed with -i. */
function streamsOf(flags: ContainerFlags): {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
} {
  const names = flags.attach.map((name) => name.toLowerCase());
  for (const name of names) {
    if (!["stdin", "stdout", "stderr"].includes(name)) {
      throw usageError(
        `invalid argument "${name}" for "-a, --attach" flag: must be stdin, stdout or stderr`,
        "run",
        125,
      );
    }
  }
  if (names.length === 0) return { stdin: flags.interactive, stdout: true, stderr: true };
  return { stdin: names.includes("stdin"), stdout: names.includes("stdout"), stderr: names.includes("stderr") };
}

/** The greeting of this image says how long it took. */
const TIMED_IMAGE = /^berth\.local\/hello(:latest)?$/;

function specOf(context: Context, args: readonly string[], flags: ContainerFlags, foreground: boolean): ContainerSpec {
  const readFile = (path: string): string => {
    try {
      return readFileSync(resolve(context.cwd, path), "utf8");
    } catch (error) {
      const code = errnoOf(error) === "ENOENT" ? "NotFound" : "InvalidArgument";
      throw new BerthError(code, `open ${path}: ${errnoOf(error) ?? String(error)}`, { cause: error });
    }
  };
  const spec = buildSpec(args, flags, { env: context.env, cwd: context.cwd, readFile }, foreground);
  if (!TIMED_IMAGE.test(spec.image)) return spec;
  const startedAtUs = Math.round(context.startedAtMs() * 1000);
  return { ...spec, env: [`BERTH_STARTED_AT=${startedAtUs}000`, ...spec.env] };
}

interface CreateWish {
  readonly flags: ContainerFlags;
  readonly signal: AbortSignal;
  /** We start it at once. */
  readonly own: boolean;
}

async function createContainer(
  context: Context,
  engine: Engine,
  spec: ContainerSpec,
  { flags, signal, own }: CreateWish,
): Promise<string> {
  const { cidfile } = flags;
  if (cidfile !== undefined && existsSync(cidfile)) {
    throw new BerthError(
      "AlreadyExists",
      `container ID file found, make sure the other container isn't running or delete ${cidfile}`,
    );
  }
  const progress = flags.quiet ? undefined : context.progress();
  let announced = false;
  const id = await engine.create(spec, {
    pull: (flags.pull ?? "missing") as PullPolicy,
    platform: flags.platform,
    signal,
    own,
    onUnreachable: tellUnreachable(context, spec.image),
    onProgress: (event) => {
      if (
        event.kind === "resolved" &&
        !announced &&
        progress !== undefined &&
        ["missing", undefined].includes(flags.pull)
      ) {
        announced = true;
        context.notice(`Unable to find image '${spec.image}' locally\n`);
      }
      progress?.onProgress(event);
    },
  });
  progress?.end();
  if (cidfile !== undefined) writeFileSync(cidfile, id, { flag: "wx" });
  return id;
}
