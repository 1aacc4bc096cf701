import type { MonitorConfig } from "@berth/protocol";
import { runtimeError } from "../lib/errors.ts";
import { checkShape, type Shape } from "../spec/shape.ts";

const RANGES: Shape = [{ containerID: "u!", hostID: "u!", size: "u!" }];

const SHAPE: Shape = {
  "!": "s",
  id: "s!",
  bundle: "s!",
  runtime: ["s"],
  terminal: "b!",
  stdin: "b!",
  stdinOnce: "b!",
  logPath: "s!",
  exitPath: "s!",
  socketPath: "s!",
  pidFile: "s!",
  mounts: [
    { type: "s!", source: "s!", target: "s!", options: ["s"], idmap: { uid: RANGES, gid: RANGES, layers: "s!" } },
  ],
  netnsPath: "s!",
  userns: { path: "s!", uid: RANGES, gid: RANGES },
  autoCreate: "b!",
  exitCommand: ["s"],
};

/** The monitor's orders from their JSON text. Throws InvalidArgument, naming every field that is wrong. */
export function parseConfig(text: string): MonitorConfig {
  let value: MonitorConfig;
  try {
    value = JSON.parse(text) as MonitorConfig;
  } catch (e) {
    throw runtimeError("InvalidArgument", `parse monitor configuration: ${(e as Error).message}`);
  }
  const problems: string[] = [];
  checkShape(value, SHAPE, "", problems);
  if (problems.length === 0) checkPaths(value, problems);
  if (problems.length > 0) throw runtimeError("InvalidArgument", `read monitor configuration: ${problems.join("; ")}`);
  return value;
}

function checkPaths(config: MonitorConfig, problems: string[]): void {
  const lists = ["runtime", "mounts", "exitCommand"] as const;
  for (let i = 0; i < lists.length; i++) {
    if (!config[lists[i] as (typeof lists)[number]]) problems.push(`${lists[i]}: is required`);
  }
  if (problems.length > 0) return;
  if (!/^[A-Za-z0-9_+-][A-Za-z0-9_+.-]*$/.test(config.id)) problems.push("id: must be letters, digits and _+.- only");
  if (config.runtime.length === 0) problems.push("runtime: must not be empty");
  const needed = [config.bundle, config.exitPath, config.socketPath, config.pidFile, config.runtime[0] || "/"];
  const optional = [config.logPath, config.netnsPath, config.exitCommand[0] || ""];
  for (let i = 0; i < config.mounts.length; i++) needed.push((config.mounts[i] as { target: string }).target);
  for (let i = 0; i < optional.length; i++) if (optional[i] !== "") needed.push(optional[i] as string);
  for (let i = 0; i < needed.length; i++) {
    if ((needed[i] as string).charAt(0) !== "/") problems.push(`"${needed[i]}": must be an absolute path`);
  }
}
