import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { command } from "../command.ts";
import { requireTerminal } from "../session/terminal.ts";
import { parseEnv, parseLines } from "../spec/values.ts";

/** Ctrl-C and Ctrl-\ of the terminal reach the program by themselves; we wait for how it ends. */
const FOR_THE_PROGRAM = ["SIGINT", "SIGQUIT"] as const;

export const exec = command({
  name: "exec",
  also: ["container exec"],
  args: ["CONTAINER", "COMMAND", "[ARG...]"],
  doc: "run a program in a running container",
  example: "berth exec -it web sh",
  flags: {
    interactive: { type: "boolean", short: "i", doc: "pass stdin" },
    tty: { type: "boolean", short: "t", doc: "give the program a terminal" },
    detach: { type: "boolean", short: "d", doc: "leave it running" },
    env: { type: "list", short: "e", value: "KEY[=VALUE]", doc: "set an environment variable, or pass this shell's" },
    "env-file": { type: "list", value: "FILE", complete: "file", doc: "read environment variables from a file" },
    workdir: { type: "string", short: "w", value: "DIR", doc: "working directory in the container" },
    user: { type: "string", short: "u", value: "USER[:GROUP]", doc: "names or numbers" },
    privileged: { type: "boolean", doc: "give the program all capabilities" },
  },
  stopAtArgument: true,
  run: async (context, [ref = "", ...argv], flags) => {
    if (flags.tty && flags.interactive && !flags.detach) requireTerminal();
    const files = flags["env-file"].flatMap((path) =>
      parseLines(readFileSync(resolve(context.cwd, path), "utf8"), path),
    );
    const engine = await context.engine();
    const ignore = (): void => {};
    if (!flags.detach) for (const name of FOR_THE_PROGRAM) process.on(name, ignore);
    try {
      const code = await engine.exec(ref, {
        command: argv,
        env: parseEnv([...files, ...flags.env], context.env),
        user: flags.user,
        workdir: flags.workdir,
        terminal: flags.tty,
        stdin: flags.interactive,
        detach: flags.detach,
        privileged: flags.privileged,
      });
      return { code };
    } finally {
      for (const name of FOR_THE_PROGRAM) process.off(name, ignore);
    }
  },
});
