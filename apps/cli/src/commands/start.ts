import { BerthError } from "@berth/base";
import type { Container, Engine } from "@berth/engine";
import { type Context, command, type Outcome } from "../command.ts";
import { usageError } from "../errors.ts";
import { DEFAULT_DETACH_KEYS } from "../session/detach.ts";
import { checkSession, runSession, type SessionOptions } from "../session/session.ts";
import { routeSignals } from "../session/signals.ts";
import { forEach } from "./each.ts";
import { finish } from "./run.ts";

const DETACH_KEYS = {
  type: "string",
  value: "KEYS",
  doc: `keys that leave a terminal session; default ${DEFAULT_DETACH_KEYS}`,
} as const;
const SIG_PROXY = { type: "boolean", initial: true, doc: "pass signals on to the program" } as const;

interface SessionFlags {
  readonly "detach-keys": string | undefined;
  readonly "sig-proxy": boolean;
}

function sessionOf(container: Container, stdin: boolean, flags: SessionFlags): SessionOptions {
  return {
    terminal: container.spec.terminal,
    stdin: stdin && container.spec.stdin,
    stdout: true,
    stderr: true,
    detachKeys: flags["detach-keys"] ?? DEFAULT_DETACH_KEYS,
    proxy: flags["sig-proxy"],
  };
}

export const start = command({
  name: "start",
  also: ["container start"],
  args: ["CONTAINER..."],
  doc: "start stopped containers",
  example: "berth start -a web",
  flags: {
    attach: { type: "boolean", short: "a", doc: "show its output and pass signals on; exit with its code" },
    interactive: { type: "boolean", short: "i", doc: "pass stdin too" },
    "detach-keys": DETACH_KEYS,
    "sig-proxy": SIG_PROXY,
  },
  run: async (context, refs, flags) => {
    const engine = await context.engine();
    if (!flags.attach && !flags.interactive) {
      return forEach(context, refs, async (ref) => {
        await engine.start(ref);
        return `${ref}\n`;
      });
    }
    const [ref = "", ...more] = refs;
    if (more.length > 0) throw usageError("you cannot start and attach multiple containers at once", "start", 1);
    return startAttached(context, engine, ref, await sessionFor(engine, ref, flags.interactive, flags));
  },
});

async function sessionFor(engine: Engine, ref: string, stdin: boolean, flags: SessionFlags): Promise<SessionOptions> {
  const session = sessionOf(await engine.get(ref), stdin, flags);
  checkSession(session);
  return session;
}

async function startAttached(context: Context, engine: Engine, ref: string, session: SessionOptions): Promise<Outcome> {
  using router = routeSignals();
  const { id } = await engine.get(ref);
  const end = await runSession(context, router, session, async (io) => {
    const attachment = await engine.start(id, { io, own: true });
    if (attachment === undefined)
      throw new BerthError("Internal", `start container ${id}: its streams were not attached`);
    return attachment;
  });
  if (end.kind === "exit") await finish(context, engine, id);
  return { code: end.code };
}

export const attach = command({
  name: "attach",
  also: ["container attach"],
  args: ["CONTAINER"],
  doc: "connect to the streams of a running container",
  example: "berth attach web",
  flags: {
    "no-stdin": { type: "boolean", doc: "do not pass stdin" },
    "detach-keys": DETACH_KEYS,
    "sig-proxy": SIG_PROXY,
  },
  run: async (context, [ref = ""], flags) => {
    const engine = await context.engine();
    const session = await sessionFor(engine, ref, !flags["no-stdin"], flags);
    using router = routeSignals();
    const end = await runSession(context, router, session, (io) => engine.attach(ref, io));
    return { code: end.code };
  },
});
