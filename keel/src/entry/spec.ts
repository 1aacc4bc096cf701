import { isUnified } from "../cgroup/layout.ts";
import { parseArgs } from "../lib/args.ts";
import * as c from "../lib/consts.ts";
import { context } from "../lib/context.ts";
import { callError, runtimeError } from "../lib/errors.ts";
import { print, runCommand } from "../lib/report.ts";
import { defaultSpec, features } from "../spec/defaults.ts";

function spec(): number {
  const { command, args } = context();
  if (command === "features") {
    print(`${JSON.stringify(features(), undefined, 2)}\n`);
    return 0;
  }
  const { values } = parseArgs(args, {
    flags: { bundle: "string", rootless: "bool", file: "string" },
    short: { b: "bundle", f: "file" },
  });
  const path = values["file"] || `${values["bundle"] || "."}/config.json`;
  const facts = {
    rootless: values["rootless"] === "true",
    uid: sys.geteuid(),
    gid: sys.getgid(),
    unified: isUnified(),
  };
  const text = `${JSON.stringify(defaultSpec(facts), undefined, "\t")}\n`;
  const result = sys.writeFileAt(c.AT_FDCWD, path, text, c.O_WRONLY | c.O_CREAT | c.O_EXCL, 0o666);
  if (result === -c.EEXIST) throw runtimeError("AlreadyExists", `File ${path} exists. Remove it first`);
  if (result < 0) throw callError(`write ${path}`, result);
  return 0;
}

runCommand(spec, 1);
