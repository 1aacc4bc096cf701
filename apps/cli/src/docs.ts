import type { Command, Flags } from "./command.ts";
import { docOf, GLOBAL_FLAGS, usageOf, valueName } from "./help.ts";

/** The reference of all commands, as Markdown. */
export function docsPage(commands: readonly Command[]): string {
  const shown = commands.filter((command) => !command.hidden);
  return [
    "# Commands",
    "",
    "Made from the commands themselves: `berth internal docs >docs/cli.md`. Flags, output and exit codes follow docker's.",
    "",
    "Before the command:",
    "",
    ...flagRows(GLOBAL_FLAGS),
    ...shown.flatMap(section),
  ].join("\n");
}

function section(command: Command): readonly string[] {
  const also = command.also ?? [];
  return [
    `## berth ${command.name}`,
    "",
    `${command.doc.charAt(0).toUpperCase()}${command.doc.slice(1)}.${also.length > 0 ? ` Also: ${also.map((name) => `\`berth ${name}\``).join(", ")}.` : ""}`,
    "",
    "```",
    usageOf(command),
    command.example,
    "```",
    "",
    ...flagRows(command.flags),
  ];
}

function flagRows(flags: Flags): readonly string[] {
  const escaped = (text: string): string => text.replaceAll("|", "\\|");
  const rows = Object.entries(flags)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, flag]) => {
      const written = `${flag.short === undefined ? "" : `-${flag.short}, `}--${name} ${valueName(flag)}`.trimEnd();
      return `| \`${escaped(written)}\` | ${escaped(docOf(flag))} |`;
    });
  return rows.length === 0 ? [] : ["| flag | what it does |", "|---|---|", ...rows, ""];
}
