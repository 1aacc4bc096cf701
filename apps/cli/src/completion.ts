import type { Command, FlagSpec, Flags } from "./command.ts";
import { usageError } from "./errors.ts";
import { GLOBAL_FLAGS } from "./help.ts";

export const SHELLS = ["bash", "zsh", "fish"] as const;

/** Answer that lets the shell complete a file name. */
export const FILES = ":files";

export interface KnownNames {
  containers(): Promise<readonly string[]>;
  images(): Promise<readonly string[]>;
}

/**
 * What the last word may become.
 *
 * @param words the command line after `berth`; the last one is the word at the cursor, maybe empty
 */
export async function completionCandidates(
  words: readonly string[],
  commands: readonly Command[],
  known: KnownNames,
): Promise<readonly string[]> {
  const current = words.at(-1) ?? "";
  const { name, rest } = splitCommand(words.slice(0, -1), commands);
  const command = commands.find((one) => one.name === name || one.also?.includes(name));
  const fits = (items: readonly string[]): readonly string[] => items.filter((item) => item.startsWith(current)).sort();
  if (command === undefined) {
    if (rest.length > 0) return [];
    return fits(current.startsWith("-") ? longFlags(GLOBAL_FLAGS) : commandWords(name, commands));
  }
  const { flag, args } = scan(rest, command);
  if (flag !== undefined) return valueCandidates(flag, known, fits);
  if (args > 0 && command.stopAtArgument) return args === 1 && command.args[1] === "COMMAND" ? [] : [FILES];
  if (current.startsWith("-")) return fits([...longFlags(command.flags), "--help"]);
  const last = command.args.at(-1) ?? "";
  return argumentCandidates(command.args[args] ?? (last.includes("...") ? last : ""), known, fits);
}

/** Global flags that are followed by a value. */
const VALUED: readonly string[] = ["--root", "--run-root", "--snapshotter"];

/** The words that name the command, and what follows. */
function splitCommand(
  words: readonly string[],
  commands: readonly Command[],
): { readonly name: string; readonly rest: readonly string[] } {
  let at = 0;
  for (let word = words[at]; word?.startsWith("-"); word = words[at]) at += VALUED.includes(word) ? 2 : 1;
  const first = words[at] ?? "";
  const isGroup = groupsOf(commands).includes(first);
  const length = isGroup && words.length > at + 1 ? 2 : 1;
  return { name: words.slice(at, at + length).join(" "), rest: words.slice(at + length) };
}

/** Words that are followed by a command. */
function groupsOf(commands: readonly Command[]): readonly string[] {
  const names = commands.filter((command) => !command.hidden).flatMap(({ name, also = [] }) => [name, ...also]);
  return [...new Set(names.filter((name) => name.includes(" ")).map((name) => name.split(" ", 1)[0] ?? ""))];
}

function commandWords(group: string, commands: readonly Command[]): readonly string[] {
  const names = commands
    .filter((command) => !command.hidden)
    .flatMap((command) => [command.name, ...(command.also ?? [])]);
  const prefix = group === "" ? "" : `${group} `;
  const below = names.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
  return [...new Set([...below.filter((name) => !name.includes(" ")), ...(group === "" ? groupsOf(commands) : [])])];
}

function longFlags(flags: Flags): readonly string[] {
  return Object.keys(flags).map((name) => `--${name}`);
}

/** How many arguments are complete, and the flag whose value is being typed. */
function scan(
  words: readonly string[],
  command: Command,
): { readonly flag: FlagSpec | undefined; readonly args: number } {
  let args = 0;
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? "";
    if (!word.startsWith("-")) {
      args++;
      continue;
    }
    if (args > 0 && command.stopAtArgument) continue;
    const flag = flagOf(word, command.flags);
    if (flag === undefined || flag.type === "boolean" || word.includes("=")) continue;
    if (i === words.length - 1) return { flag, args };
    i++;
  }
  return { flag: undefined, args };
}

function flagOf(word: string, flags: Flags): FlagSpec | undefined {
  if (word.startsWith("--")) return Object.hasOwn(flags, word.slice(2)) ? flags[word.slice(2)] : undefined;
  // In a cluster such as -it only the last letter can want a value.
  return Object.values(flags).find((flag) => flag.short === word.at(-1));
}

type Fits = (items: readonly string[]) => readonly string[];

async function valueCandidates(flag: FlagSpec, known: KnownNames, fits: Fits): Promise<readonly string[]> {
  if (flag.choices !== undefined) return fits(flag.choices);
  if (flag.complete === "file" || flag.complete === "directory") return [FILES];
  if (flag.complete === "container") return fits(await known.containers());
  if (flag.complete === "image") return fits(await known.images());
  return [];
}

async function argumentCandidates(argument: string, known: KnownNames, fits: Fits): Promise<readonly string[]> {
  if (argument.startsWith("SHELL")) return fits(SHELLS);
  if (argument.startsWith("CONTAINER")) return fits(await known.containers());
  if (argument.startsWith("IMAGE") || argument.startsWith("[REPOSITORY")) return fits(await known.images());
  if (argument.startsWith("FILE")) return [FILES];
  if (argument.startsWith("NAME")) return fits([...(await known.containers()), ...(await known.images())]);
  return [];
}

const SCRIPTS: Readonly<Record<(typeof SHELLS)[number], string>> = {
  bash: `# bash completion of berth
_berth() {
  local IFS=$'\\n' line=\${COMP_LINE:0:COMP_POINT} words
  # Words split by blanks only: bash's own split breaks names at colons.
  IFS=$' \\t' read -ra words <<<"$line"
  [[ $line == *[[:blank:]] ]] && words+=("")
  local current=\${words[-1]} found
  found=$("\${words[0]}" internal complete -- "\${words[@]:1}" 2>/dev/null)
  if [[ $found == :files ]]; then
    compopt -o filenames
    COMPREPLY=($(compgen -f -- "$current"))
    return
  fi
  COMPREPLY=($found)
  # What stands before a colon is a word of its own to bash, and already typed.
  if [[ $current == *:* && $COMP_WORDBREAKS == *:* ]]; then
    local prefix=\${current%"\${current##*:}"}
    COMPREPLY=("\${COMPREPLY[@]#"$prefix"}")
  fi
}
complete -F _berth berth
`,
  zsh: `#compdef berth
_berth() {
  local -a found
  found=("\${(@f)$("\${words[1]}" internal complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ $found[1] == :files ]]; then
    _files
  elif [[ -n $found[1] ]]; then
    compadd -a found
  fi
}
if [[ $funcstack[1] == _berth ]]; then _berth; else compdef _berth berth; fi
`,
  fish: `# fish completion of berth
function __berth_complete
  set -l words (commandline -opc) (commandline -ct)
  set -l found ($words[1] internal complete -- $words[2..] 2>/dev/null)
  if test "$found[1]" = ":files"
    __fish_complete_path (commandline -ct)
  else
    printf '%s\\n' $found
  end
end
complete -c berth -f -a '(__berth_complete)'
`,
};

/** @throws {BerthError} InvalidArgument for a shell that is not supported */
export function completionScript(shell: string): string {
  const known = SHELLS.find((name) => name === shell);
  if (known === undefined) throw usageError(`unknown shell "${shell}": one of ${SHELLS.join(", ")}`, "completion", 1);
  return SCRIPTS[known];
}
