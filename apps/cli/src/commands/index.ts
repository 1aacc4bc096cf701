import type { Command } from "../command.ts";
import { exportCommand, importCommand, save } from "./archives.ts";
import { artifactPull, artifactPush } from "./artifact.ts";
import { systemCheck } from "./check.ts";
import { systemDf } from "./df.ts";
import { exec } from "./exec.ts";
import { history, untag } from "./history.ts";
import { imageDiff, imageMount, imageUnmount } from "./image-tree.ts";
import { images, load, pull, rmi } from "./images.ts";
import { containerInspect, imageInspect, inspect } from "./inspect.ts";
import { kill, restart, rm, stop, wait } from "./lifecycle.ts";
import { login, logout } from "./login.ts";
import { logs } from "./logs.ts";
import { manifestAnnotate, manifestCreate, manifestInspect, manifestPush, manifestRm } from "./manifest.ts";
import { metaCommands } from "./meta.ts";
import { containerPrune, imagePrune, systemPrune } from "./prune.ts";
import { ps } from "./ps.ts";
import { copy, push, tag } from "./push.ts";
import { registryReferrers, registryRm, registryServe, registryTags } from "./registry.ts";
import { create, run } from "./run.ts";
import { attach, start } from "./start.ts";
import { info, version } from "./system.ts";

/** All commands, in the order of the help. */
export const COMMANDS: readonly Command[] = [
  run,
  create,
  start,
  ps,
  logs,
  exec,
  attach,
  stop,
  kill,
  restart,
  rm,
  wait,
  inspect,
  containerInspect,
  imageInspect,
  images,
  pull,
  push,
  tag,
  copy,
  load,
  save,
  importCommand,
  exportCommand,
  rmi,
  untag,
  history,
  imageDiff,
  imageMount,
  imageUnmount,
  imagePrune,
  containerPrune,
  systemDf,
  systemPrune,
  systemCheck,
  login,
  logout,
  artifactPush,
  artifactPull,
  manifestCreate,
  manifestAnnotate,
  manifestInspect,
  manifestPush,
  manifestRm,
  registryServe,
  registryTags,
  registryRm,
  registryReferrers,
  info,
  version,
  ...metaCommands(() => COMMANDS),
];

/** Words that are followed by a command, as in `berth container ls`. */
export const GROUPS = ["container", "image", "system", "artifact", "manifest", "registry", "internal"] as const;

/** The command of that name or alias. */
export function findCommand(name: string): Command | undefined {
  return COMMANDS.find((command) => command.name === name || command.also?.includes(name));
}
