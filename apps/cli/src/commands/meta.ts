import { type Command, type Context, command } from "../command.ts";
import { completionCandidates, completionScript, SHELLS } from "../completion.ts";
import { docsPage } from "../docs.ts";
import { usageError } from "../errors.ts";
import { commandHelp, mainHelp } from "../help.ts";

/** Commands about commands. */
export function metaCommands(all: () => readonly Command[]): readonly Command[] {
  const help = command({
    name: "help",
    args: ["[COMMAND...]"],
    doc: "print help about a command",
    example: "berth help run",
    flags: {},
    run: (_context, words) => {
      if (words.length === 0) return { text: mainHelp(all()) };
      const name = words.join(" ");
      const found = all().find((candidate) => candidate.name === name || candidate.also?.includes(name));
      if (found === undefined) throw usageError(`unknown command: berth ${name}`, "", 1);
      return { text: commandHelp(found) };
    },
  });
  const completion = command({
    name: "completion",
    args: ["SHELL"],
    doc: `print a script that completes berth's command lines: ${SHELLS.join(", ")}`,
    example: "berth completion bash >/etc/bash_completion.d/berth",
    flags: {},
    run: (_context, [shell = ""]) => ({ text: completionScript(shell) }),
  });
  return [help, completion, ...internalCommands(all)];
}

/** For our own programs and scripts only. */
function internalCommands(all: () => readonly Command[]): readonly Command[] {
  const cleanup = command({
    name: "internal cleanup",
    args: ["CONTAINER"],
    doc: "clean up after a container that has ended; its monitor runs this",
    example: "berth internal cleanup 0123456789ab",
    flags: {},
    hidden: true,
    run: async (context, [ref = ""]) => {
      await (await context.engine()).finish(ref);
      return {};
    },
  });
  const complete = command({
    name: "internal complete",
    args: ["[WORD...]"],
    doc: "print what the last word may become; completion scripts run this",
    example: "berth internal complete run --pu",
    flags: {},
    stopAtArgument: true,
    hidden: true,
    run: async (context, words) => {
      const lines = await completionCandidates(words, all(), {
        containers: () => names(context, "containers"),
        images: () => names(context, "images"),
      });
      return { text: lines.map((line) => `${line}\n`).join("") };
    },
  });
  const docs = command({
    name: "internal docs",
    args: [],
    doc: "print the reference of all commands as Markdown",
    example: "berth internal docs >docs/cli.md",
    flags: {},
    hidden: true,
    run: () => ({ text: docsPage(all()) }),
  });
  return [cleanup, complete, docs];
}

/** Completion stays silent where the engine cannot be opened. */
async function names(context: Context, kind: "containers" | "images"): Promise<readonly string[]> {
  try {
    const engine = await context.engine();
    if (kind === "images") return engine.images().flatMap((image) => image.names);
    return (await engine.list({ all: true })).map((container) => container.name);
  } catch {
    return [];
  }
}
