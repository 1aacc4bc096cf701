import * as c from "../lib/consts.ts";
import { callError, must, mustGet, runtimeError } from "../lib/errors.ts";
import { findProgram } from "./become.ts";

/** What the host's ps(1) prints with these arguments, cut to its heading and the lines of the given processes. */
export function psTable(pids: readonly number[], args: readonly string[]): string {
  const argv = ["ps"].concat(args.length > 0 ? args : ["-ef"]);
  const lines = outputOf(argv).split("\n");
  const column = words(lines[0] as string).indexOf("PID");
  if (column < 0)
    throw runtimeError(
      "InvalidArgument",
      `${argv.join(" ")}: couldn't find PID field in ps output`,
      "ask for the column pid",
    );
  let text = `${lines[0]}\n`;
  for (let i = 1; i < lines.length; i++) {
    const pid = words(lines[i] as string)[column];
    if (pid !== undefined && pids.indexOf(Number(pid)) >= 0) text += `${lines[i]}\n`;
  }
  return text;
}

function words(line: string): string[] {
  return line.split(/\s+/).filter((word) => word !== "");
}

function outputOf(argv: readonly string[]): string {
  const env = sys.environ();
  const program = findProgram(argv[0] as string, env);
  const [reader, writer] = mustGet(sys.pipe(), "make a pipe");
  const pid = must(sys.clone(0, -1), `start ${program}`);
  if (pid === 0) {
    sys.dup2(writer, 1);
    const result = sys.execve(program, argv, env);
    sys.writeAll(2, `${callError(`exec ${program}`, result).message}\n`);
    sys.exit(127);
  }
  sys.close(writer);
  let text = "";
  for (;;) {
    const piece = sys.read(reader, 65536);
    if (piece === -c.EINTR) continue;
    if (typeof piece === "number" || piece === "") break;
    text += piece;
  }
  sys.close(reader);
  const out = [0];
  sys.waitpid(pid, 0, out);
  if (out[0] !== 0)
    throw runtimeError("FailedPrecondition", `${argv.join(" ")}: it ended with status ${(out[0] as number) >> 8}`);
  return text;
}
