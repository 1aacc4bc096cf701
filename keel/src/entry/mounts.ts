import { checkId, parseArgs } from "../lib/args.ts";
import { context } from "../lib/context.ts";
import { runtimeError } from "../lib/errors.ts";
import { parseJson, readJson, readStdin } from "../lib/files.ts";
import { runCommand } from "../lib/report.ts";
import { addMounts, removeMounts } from "../run/mounts.ts";
import { validateMounts } from "../spec/validate.ts";

/** crun's command: mounts of a running container, from a JSON array as in config.json. */
function mounts(): number {
  const { rest } = parseArgs(context().args, { flags: {} });
  const [verb, id, file] = rest;
  if ((verb !== "add" && verb !== "remove") || id === undefined || file === undefined || rest.length > 3)
    throw runtimeError(
      "InvalidArgument",
      '"keel mounts" takes add or remove, the container id, and a file with the mounts',
    );
  const raw = file === "-" ? parseJson(readStdin(), "mounts from stdin") : readJson(file, "mounts");
  const list = validateMounts(raw, "mounts");
  if (verb === "add") addMounts(checkId(id), list);
  else removeMounts(checkId(id), list);
  return 0;
}

runCommand(mounts, 1);
