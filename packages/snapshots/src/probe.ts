import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import { runKeel } from "@berth/linux";
import type { LayerProbe } from "@berth/protocol";
import type { State } from "@berth/state";
import { noDriver } from "./errors.ts";
import { planChoice, planOptions } from "./plan.ts";
import type { Choice, Wanted } from "./types.ts";

export interface ProbeOptions {
  readonly state: State;
  /** The snapshots' directory; it must be there. */
  readonly dir: string;
  /** What was found is kept in this file. */
  readonly file: string;
  readonly keelPath: string;
  readonly wanted: Wanted;
}

/**
 * Tries which ways there are to show layers on this file system and takes one. What was found is kept until something
 * changes that it depends on (kernel, boot, user, file system); a fault is not, since a package may be installed.
 *
 * @throws {BerthError} FailedPrecondition if the one that is asked for does not work
 */
export async function chooseDriver(options: ProbeOptions): Promise<Choice> {
  const { wanted } = options;
  const mount = planOptions(isUserNamespace());
  const known = readKnown(options);
  const works = (probe: LayerProbe): boolean => (wanted === "fuse-overlayfs" ? probe.fuse : probe.overlayfs) === "";
  const probe = known !== undefined && (wanted === "native" || works(known)) ? known : await probeNow(options, mount);
  const choice = planChoice(probe, wanted, mount);
  if (choice === undefined) throw noDriver(wanted, wanted === "overlayfs" ? probe.overlayfs : probe.fuse);
  return choice;
}

async function probeNow(options: ProbeOptions, mount: readonly string[]): Promise<LayerProbe> {
  using _lease = await options.state.lease("snapshots:probe");
  const target = `${options.dir}/probe`;
  // A killed process may have left it.
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target, { mode: 0o700 });
  try {
    const args = ["probe", "--target", target, ...mount.flatMap((option) => ["--option", option])];
    const probe = JSON.parse((await runKeel(options.keelPath, args)).toString()) as LayerProbe;
    const path = options.file;
    writeFileSync(`${path}.new`, JSON.stringify({ key: keyOf(options.dir), probe }), { mode: 0o600 });
    renameSync(`${path}.new`, path);
    return probe;
  } finally {
    rmSync(target, { recursive: true, force: true });
  }
}

function readKnown({ dir, file }: ProbeOptions): LayerProbe | undefined {
  try {
    const { key, probe } = JSON.parse(readFileSync(file, "utf8")) as { key: string; probe: LayerProbe };
    return key === keyOf(dir) ? probe : undefined;
  } catch {
    // Not there, or half written by an older version: it is found out anew.
    return undefined;
  }
}

function keyOf(dir: string): string {
  const boot = readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
  return [boot, release(), process.geteuid?.(), readIdMap(), statSync(dir).dev].join(" ");
}

function isUserNamespace(): boolean {
  return !/^\s*0\s+0\s+4294967295$/.test(readIdMap());
}

function readIdMap(): string {
  return readFileSync("/proc/self/uid_map", "latin1").trim();
}
