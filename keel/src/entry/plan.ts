import { parseArgs } from "../lib/args.ts";
import { context } from "../lib/context.ts";
import { runtimeError } from "../lib/errors.ts";
import { print, runCommand } from "../lib/report.ts";
import { describePlan, sentence } from "../plan/describe.ts";
import { planCreate } from "../run/plan.ts";

/** Prints what `run` would do with a bundle, and does none of it. */
function plan(): number {
  const { values, rest } = parseArgs(context().args, {
    flags: { bundle: "string", config: "string", format: "string", id: "string", "no-pivot": "bool" },
    short: { b: "bundle", f: "format" },
  });
  if (rest.length > 1) throw runtimeError("InvalidArgument", `"keel plan" takes one bundle, got ${rest.length}`);
  const format = values["format"] || "text";
  if (format !== "text" && format !== "json")
    throw runtimeError("InvalidArgument", `--format: must be text or json, is "${format}"`);
  const steps = describePlan(
    planCreate({
      id: values["id"] || "ID",
      bundle: rest[0] || values["bundle"] || "",
      config: values["config"] || "",
      noPivot: values["no-pivot"] === "true",
      dry: true,
    }),
  );
  if (format === "json") {
    print(`${JSON.stringify(steps, undefined, 2)}\n`);
    return 0;
  }
  let text = "";
  for (let i = 0; i < steps.length; i++) {
    const step = steps[i] as (typeof steps)[0];
    text += `${i + 1}\t${step.by}\t${sentence(step)}\n`;
  }
  print(text);
  return 0;
}

runCommand(plan, 1);
