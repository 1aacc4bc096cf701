import { isFrozen, listProcesses } from "../cgroup/apply.ts";
import { checkId, oneId, parseArgs } from "../lib/args.ts";
import * as c from "../lib/consts.ts";
import { context } from "../lib/context.ts";
import { callError, runtimeError } from "../lib/errors.ts";
import { print, runCommand } from "../lib/report.ts";
import { deleteContainer, killContainer, parseSignal, setFrozen } from "../run/kill.ts";
import { rare } from "../run/rare.ts";
import { startContainer } from "../run/start.ts";
import { findRecord, getRecord, isAlive, ociState, type Record, statusOf } from "../state/store.ts";

const NO_FLAGS = { flags: {} } as const;

const COMMANDS: { readonly [command: string]: (args: readonly string[]) => void } = {
  start: (args) => startContainer(oneId("start", parseArgs(args, NO_FLAGS).rest)),
  state: (args) => {
    const record = getRecord(oneId("state", parseArgs(args, NO_FLAGS).rest));
    print(`${JSON.stringify(ociState(record, statusOf(record)), undefined, 2)}\n`);
  },
  kill: (args) => {
    // -a is of old: KILL always reaches all. It still makes a stopped container no error
    const { values, rest } = parseArgs(args, { flags: { all: "bool" }, short: { a: "all" }, anywhere: true });
    if (rest.length < 1 || rest.length > 2)
      throw runtimeError("InvalidArgument", `"keel kill" requires 1 or 2 arguments, ID and SIGNAL, got ${rest.length}`);
    killContainer(checkId(rest[0] as string), parseSignal(rest[1] || "TERM"), values["all"] === "true");
  },
  delete: (args) => {
    const flags = { force: "bool", regex: "bool" } as const;
    const { values, rest } = parseArgs(args, { flags, short: { f: "force", r: "regex" }, anywhere: true });
    const force = values["force"] === "true";
    if (values["regex"] === "true") deleteMatching(rest[0] || "", force);
    else deleteContainer(oneId("delete", rest), force);
  },
  list,
  ps,
  pause: (args) => freeze(oneId("pause", parseArgs(args, NO_FLAGS).rest), true),
  resume: (args) => freeze(oneId("resume", parseArgs(args, NO_FLAGS).rest), false),
};

/** crun's: every container whose id the expression is found in. */
function deleteMatching(pattern: string, force: boolean): void {
  let expression: RegExp;
  try {
    expression = new RegExp(pattern);
  } catch (thrown) {
    throw runtimeError("InvalidArgument", `--regex: ${(thrown as Error).message}, is "${pattern}"`);
  }
  const records = listRecords();
  for (let i = 0; i < records.length; i++) {
    const { id } = records[i] as Record;
    if (expression.test(id)) deleteContainer(id, force);
  }
}

function list(args: readonly string[]): void {
  const { values } = parseArgs(args, {
    flags: { format: "string", quiet: "bool" },
    short: { f: "format", q: "quiet" },
  });
  const records = listRecords();
  if (values["quiet"] === "true") {
    print(records.map((record) => `${record.id}\n`).join(""));
    return;
  }
  const format = values["format"] || "table";
  if (format === "json") {
    print(
      `${records.length === 0 ? "null" : JSON.stringify(records.map((record) => ociState(record, statusOf(record))))}\n`,
    );
    return;
  }
  if (format !== "table")
    throw runtimeError("InvalidArgument", `invalid format option "${format}"`, "use table or json");
  const rows = [["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]];
  for (let i = 0; i < records.length; i++) {
    const record = records[i] as Record;
    const status = statusOf(record);
    rows.push([
      record.id,
      status === "stopped" ? "0" : String(record.pid),
      status,
      record.bundle,
      record.created,
      "root",
    ]);
  }
  print(table(rows));
}

function listRecords(): Record[] {
  const found: Record[] = [];
  const { root, rootGiven } = context();
  const fd = sys.open(root, c.O_RDONLY | c.O_DIRECTORY, 0);
  if (fd < 0 && rootGiven) throw callError(`open state root ${root}`, fd);
  if (fd < 0) return found;
  const names = sys.readdir(fd);
  sys.close(fd);
  if (typeof names === "number") return found;
  names.sort();
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string;
    try {
      const record = name.charAt(0) === "." ? undefined : findRecord(name);
      if (record) found.push(record);
    } catch (thrown) {
      // one broken state must not hide the others
      sys.writeAll(2, `warning: ${(thrown as { message: string }).message}\n`);
    }
  }
  return found;
}

function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i] as readonly string[];
    for (let k = 0; k < row.length; k++) widths[k] = Math.max(widths[k] || 0, (row[k] as string).length);
  }
  let text = "";
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i] as readonly string[];
    for (let k = 0; k < row.length; k++) {
      let cell = row[k] as string;
      if (k < row.length - 1) while (cell.length < (widths[k] as number) + 3) cell += " ";
      text += cell;
    }
    text += "\n";
  }
  return text;
}

function ps(args: readonly string[]): void {
  const { values, rest } = parseArgs(args, { flags: { format: "string" }, short: { f: "format" } });
  const record = getRecord(checkId(rest[0] || ""));
  const pids = record.cgroups[0] ? listProcesses(record.cgroups[0]) : isAlive(record) ? [record.pid] : [];
  print(values["format"] === "json" ? `${JSON.stringify(pids)}\n` : rare().psTable(pids, rest.slice(1)));
}

function freeze(id: string, frozen: boolean): void {
  const record = getRecord(id);
  const status = statusOf(record);
  if (frozen && status !== "running" && status !== "created")
    throw runtimeError("FailedPrecondition", "container not running");
  if (!frozen && status !== "paused") throw runtimeError("FailedPrecondition", "container not paused");
  if (!setFrozen(record, frozen))
    throw runtimeError(
      "FailedPrecondition",
      `${frozen ? "pause" : "resume"} container ${id}: its cgroup has no freezer`,
    );
  for (let attempt = 0; isFrozen(record.cgroups) !== frozen; attempt++) {
    if (attempt >= 500) throw callError(`${frozen ? "pause" : "resume"} container ${id}`, -c.EBUSY);
    sys.poll([], 2, []);
  }
}

/** The commands that look at a container or end it. */
export function control(): never {
  return runCommand(() => {
    const { command, args } = context();
    (COMMANDS[command] as (args: readonly string[]) => void)(args);
    return 0;
  }, 1);
}
