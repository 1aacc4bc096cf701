import type { HostFacts } from "@berth/linux";
import { CAPABILITIES } from "@berth/linux";
import { noCommand } from "./errors.ts";
import type { ResolvedUser, RuntimeProcess } from "./plan-types.ts";
import { mergeEnv, planCapabilitySets, planRlimits } from "./process.ts";
import type { ContainerSpec } from "./types.ts";

/** What `exec` was asked for. */
export interface ExecWish {
  readonly command: readonly string[];
  readonly env: readonly string[];
  readonly workdir?: string | undefined;
  readonly terminal: boolean;
  readonly privileged: boolean;
}

export interface ExecInput {
  readonly spec: ContainerSpec;
  /** Of the container's config.json. */
  readonly first: RuntimeProcess;
  readonly wish: ExecWish;
  /** Undefined: the first process's. */
  readonly user: ResolvedUser | undefined;
  readonly host: Pick<HostFacts, "capabilities">;
}

/**
 * A further process of a container: like the first, but for what was asked. Another user gets that user's home and no
 * capability that the first process's user had (CVE-2022-29162: nothing is inheritable).
 *
 * @throws {BerthError} InvalidArgument if there is no command
 */
export function planExec(input: ExecInput): RuntimeProcess {
  const { spec, first, wish, user, host } = input;
  if (wish.command.length === 0) throw noCommand(spec.image);
  const { rlimits: _rounded, apparmorProfile, ...rest } = first;
  const ids = user ?? first.user;
  const bounding = wish.privileged
    ? CAPABILITIES.filter((cap) => host.capabilities.includes(cap))
    : first.capabilities.bounding;
  return {
    ...rest,
    ...(apparmorProfile === undefined || wish.privileged ? {} : { apparmorProfile }),
    ...planRlimits(spec),
    terminal: wish.terminal,
    user: { uid: ids.uid, gid: ids.gid, additionalGids: ids.additionalGids },
    args: wish.command,
    env: mergeEnv([
      ...(wish.terminal ? ["TERM=xterm"] : []),
      ...first.env,
      ...(user === undefined ? [] : [`HOME=${user.home || "/"}`]),
      ...wish.env,
    ]),
    cwd: wish.workdir ?? first.cwd,
    capabilities: planCapabilitySets(bounding, ids.uid),
  };
}
