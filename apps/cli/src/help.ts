import type { Command, FlagSpec, Flags } from "./command.ts";

/** Flags of berth itself; they stand before the command. */
export const GLOBAL_FLAGS = {
  debug: { type: "boolean", short: "D", doc: "print causes and stack of errors" },
  root: {
    type: "string",
    value: "DIR",
    complete: "directory",
    doc: "data root; default: $BERTH_ROOT or /var/lib/berth",
  },
  "run-root": {
    type: "string",
    value: "DIR",
    complete: "directory",
    doc: "run root; default: $BERTH_RUN_ROOT or /run/berth",
  },
  snapshotter: {
    type: "string",
    choices: ["auto", "overlayfs", "fuse-overlayfs", "native"],
    doc: "how layers are shown as one tree; default: $BERTH_SNAPSHOTTER or auto",
  },
  version: { type: "boolean", short: "v", doc: "print the version and exit" },
} as const satisfies Flags;

const HELP_FLAG: FlagSpec = { type: "boolean", doc: "print this help" };
const WIDTH = 100;

/** `berth run [OPTIONS] IMAGE [COMMAND] [ARG...]` */
export function usageOf(command: Command): string {
  return ["berth", command.name, ...(Object.keys(command.flags).length > 0 ? ["[OPTIONS]"] : []), ...command.args].join(
    " ",
  );
}

/** Help of one command. */
export function commandHelp(command: Command): string {
  const names = [command.name, ...(command.also ?? [])].map((name) => `berth ${name}`);
  return [
    `Usage:  ${usageOf(command)}`,
    "",
    sentence(command.doc),
    "",
    ...(names.length > 1 ? ["Aliases:", `  ${names.join(", ")}`, ""] : []),
    `Example:`,
    `  ${command.example}`,
    "",
    "Options:",
    ...flagLines({ ...command.flags, help: HELP_FLAG }),
    "",
  ].join("\n");
}

/** Help of berth itself. */
export function mainHelp(commands: readonly Command[]): string {
  const shown = commands.filter((command) => !command.hidden && !command.name.includes(" "));
  const width = Math.max(...shown.map((command) => command.name.length)) + 2;
  return [
    "Usage:  berth [OPTIONS] COMMAND",
    "",
    "Runs containers, without a daemon.",
    "",
    "Commands:",
    ...shown.map((command) => `  ${command.name.padEnd(width)}${command.doc}`),
    "",
    "Groups, as docker has them:",
    `  ${"container".padEnd(width)}ls, run, create, start, exec, logs, stop, kill, rm, export, inspect and so on`,
    `  ${"image".padEnd(width)}ls, pull, push, tag, copy, load, save, import, rm, untag, history, prune, inspect`,
    `  ${"system".padEnd(width)}info, df, prune, check`,
    `  ${"artifact".padEnd(width)}push, pull`,
    `  ${"manifest".padEnd(width)}create, annotate, inspect, push, rm`,
    `  ${"registry".padEnd(width)}serve, tags, rm, referrers`,
    "",
    "Options:",
    ...flagLines({ ...GLOBAL_FLAGS, help: HELP_FLAG }),
    "",
    "Run 'berth COMMAND --help' for more about a command.",
    "",
  ].join("\n");
}

/** Help of a group such as `berth container`. */
export function groupHelp(group: string, commands: readonly Command[]): string {
  const rows = commands.flatMap((command) =>
    [command.name, ...(command.also ?? [])]
      .filter((name) => name.startsWith(`${group} `))
      .map((name) => [name.slice(group.length + 1), command.doc] as const),
  );
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  return [
    `Usage:  berth ${group} COMMAND`,
    "",
    "Commands:",
    ...rows.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, doc]) => `  ${name.padEnd(width)}${doc}`),
    "",
  ].join("\n");
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

/** What the value of a flag is called; empty for a boolean. */
export function valueName(flag: FlagSpec): string {
  if (flag.type === "boolean") return "";
  if (flag.choices !== undefined) return flag.choices.join("|");
  return flag.value ?? (flag.type === "list" ? "VALUE" : flag.type === "string" ? "STRING" : flag.type.toUpperCase());
}

function flagLines(flags: Flags): readonly string[] {
  const rows = Object.entries(flags)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, flag]) => {
      const short = flag.short === undefined ? "    " : `-${flag.short}, `;
      return [`  ${short}--${name} ${valueName(flag)}`.trimEnd(), docOf(flag)] as const;
    });
  const width = Math.min(34, Math.max(...rows.map(([left]) => left.length)) + 2);
  return rows.flatMap(([left, doc]) => {
    const [first = "", ...more] = wrap(doc, WIDTH - width);
    const indent = " ".repeat(width);
    const rest = more.map((line) => indent + line);
    return left.length > width - 2 ? [left, indent + first, ...rest] : [left.padEnd(width) + first, ...rest];
  });
}

/** What help says of a flag. */
export function docOf(flag: FlagSpec): string {
  const notes = [flag.type === "list" ? "may be given again" : "", flag.initial ? "default true" : ""].filter(Boolean);
  return notes.length === 0 ? flag.doc : `${flag.doc} (${notes.join(", ")})`;
}

function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}
