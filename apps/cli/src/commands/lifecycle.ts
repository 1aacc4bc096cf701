import { command } from "../command.ts";
import { forEach } from "./each.ts";

const TIME = {
  type: "integer",
  short: "t",
  alias: "timeout",
  value: "SECONDS",
  doc: "until SIGKILL; -1: never; default: the container's, 10",
} as const;
const SIGNAL = { type: "string", short: "s", value: "SIGNAL", doc: "instead of the container's stop signal" } as const;

export const stop = command({
  name: "stop",
  also: ["container stop"],
  args: ["CONTAINER..."],
  doc: "stop containers: their stop signal, and SIGKILL when they take too long",
  example: "berth stop -t 5 web",
  flags: { time: TIME, signal: SIGNAL },
  run: async (context, refs, flags) => {
    const engine = await context.engine();
    const act = async (ref: string): Promise<string> => {
      await engine.stop(ref, { timeout: flags.time, stopSignal: flags.signal });
      return `${ref}\n`;
    };
    return forEach(context, refs, act, true);
  },
});

export const restart = command({
  name: "restart",
  also: ["container restart"],
  args: ["CONTAINER..."],
  doc: "stop containers and start them again",
  example: "berth restart web",
  flags: { time: TIME, signal: SIGNAL },
  run: async (context, refs, flags) => {
    const engine = await context.engine();
    const act = async (ref: string): Promise<string> => {
      if ((await engine.get(ref)).status === "running") {
        await engine.stop(ref, { timeout: flags.time, stopSignal: flags.signal });
      }
      await engine.start(ref);
      return `${ref}\n`;
    };
    return forEach(context, refs, act, true);
  },
});

export const kill = command({
  name: "kill",
  also: ["container kill"],
  args: ["CONTAINER..."],
  doc: "send a signal to containers",
  example: "berth kill -s HUP web",
  flags: { signal: { type: "string", short: "s", value: "SIGNAL", doc: "name or number; default KILL" } },
  run: async (context, refs, flags) => {
    const engine = await context.engine();
    return forEach(context, refs, async (ref) => {
      await engine.kill(ref, flags.signal);
      return `${ref}\n`;
    });
  },
});

export const rm = command({
  name: "rm",
  also: ["container rm", "container remove"],
  args: ["CONTAINER..."],
  doc: "remove containers",
  example: "berth rm -f web",
  flags: {
    force: { type: "boolean", short: "f", doc: "kill it first if it runs" },
    volumes: { type: "boolean", short: "v", doc: "its anonymous volumes too" },
  },
  run: async (context, refs, flags) => {
    const engine = await context.engine();
    return forEach(context, refs, async (ref) => {
      await engine.remove(ref, flags);
      return `${ref}\n`;
    });
  },
});

export const wait = command({
  name: "wait",
  also: ["container wait"],
  args: ["CONTAINER..."],
  doc: "wait until containers end and print their exit codes",
  example: "berth wait web",
  flags: {},
  run: async (context, refs) => {
    const engine = await context.engine();
    return forEach(context, refs, async (ref) => `${await engine.wait(ref)}\n`, true);
  },
});
