import { runtimeError } from "../lib/errors.ts";
import { parseJson } from "../lib/files.ts";
import type { HostMount } from "../run/hostmount.ts";
import { checkShape, prepared, type Shape } from "../spec/shape.ts";

/** state.json below `<root>/<id>`: all that later commands need without reading config.json. */
export interface Record {
  readonly id: string;
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: with the pid it names one process for ever. */
  readonly startTime: string;
  readonly bundle: string;
  readonly rootfs: string;
  readonly created: string;
  readonly ociVersion: string;
  readonly annotations: { readonly [key: string]: string };
  /** Directories of the container's cgroup, one per hierarchy. */
  readonly cgroups: readonly string[];
  /** The unit of systemd that they lie in; absent or "" for none. */
  readonly scope?: string;
  /** There is one, of version 2. */
  readonly unified: boolean;
  /** That of version 2 beside those of version 1, the last of `cgroups`; "" for none. */
  readonly hybrid: string;
  /** Its processes are in a pid namespace of its own, which dies with init. */
  readonly ownPids: boolean;
  /** For a container without a mount namespace of its own: what delete unmounts. */
  readonly hostMount: HostMount | undefined;
  readonly poststart: boolean;
  readonly poststop: boolean;
  readonly userNamespace: boolean;
  /** resctrl groups the runtime made; the first is the container's. */
  readonly resctrl: readonly string[];
  /** CLONE_NEW* of all namespaces that config.json names, made or joined: what exec joins. */
  readonly namespaces: number;
}

const recordShape: Shape = prepared({
  "!": "",
  id: "s!",
  pid: "u!",
  startTime: "s!",
  bundle: "s!",
  rootfs: "s!",
  created: "s!",
  ociVersion: "s!",
  annotations: { "!": "", "*": "s" },
  cgroups: ["s"],
  scope: "s",
  unified: "b",
  hybrid: "s",
  ownPids: "b",
  hostMount: { path: "s!", below: "s!" },
  poststart: "b",
  poststop: "b",
  userNamespace: "b",
  resctrl: ["s"],
  namespaces: "n",
});

/** @throws DataLoss for what a crash or a full disk may have left of a state */
export function parseRecord(text: string, id: string): Record {
  const problems: string[] = [];
  let record: unknown;
  try {
    record = parseJson(text, "it");
    checkShape(record, recordShape, "", problems);
  } catch (thrown) {
    problems.push((thrown as { message: string }).message);
  }
  const { pid, cgroups } = (record || {}) as { pid?: number; cgroups?: unknown };
  if (problems.length === 0 && (!pid || !cgroups)) problems.push(pid ? "cgroups: is required" : "pid: must not be 0");
  if (problems.length > 0)
    throw runtimeError(
      "DataLoss",
      `read the state of container ${id}: ${problems[0]}`,
      `keel delete --force ${id} removes it; what still runs must be ended by hand`,
    );
  // a container that an older keel made has no list of them
  const made = record as { resctrl?: readonly string[] };
  if (!made.resctrl) made.resctrl = [];
  return record as Record;
}
