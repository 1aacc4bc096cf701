import type { ContainerSpec, UserNamespaceSpec } from "@berth/engine";
import type { ContainerFlags } from "./flags.ts";
import { invalid } from "./values.ts";

type Range = Extract<UserNamespaceSpec, { kind: "map" }>["uid"][number];

/** Of a container that does not say how many ids it needs. */
const AUTO_SIZE = 65_536;

/** podman's `--userns`, `--uidmap` and `--gidmap`; undefined: the host's user namespace. */
export function parseUserns(flags: Pick<ContainerFlags, "userns" | "uidmap" | "gidmap">): ContainerSpec["userns"] {
  const { userns = "", uidmap, gidmap } = flags;
  const uid = uidmap.map((text) => parseRange(text, "--uidmap"));
  const gid = gidmap.map((text) => parseRange(text, "--gidmap"));
  if (uid.length + gid.length > 0) {
    if (userns !== "") throw invalid("--userns and --uidmap/--gidmap cannot be used together");
    return { kind: "map", uid: uid.length > 0 ? uid : gid, gid: gid.length > 0 ? gid : uid };
  }
  if (userns === "" || userns === "host") return undefined;
  const match = /^auto(?::size=(\d{1,10}))?$/.exec(userns);
  if (match === null) {
    throw invalid(`invalid argument "${userns}" for "--userns" flag: write host, auto or auto:size=N`);
  }
  return { kind: "auto", size: match[1] === undefined ? AUTO_SIZE : Number(match[1]) };
}

function parseRange(text: string, flag: string): Range {
  const match = /^(\d{1,10}):(\d{1,10}):(\d{1,10})$/.exec(text);
  if (match === null) throw invalid(`invalid argument "${text}" for "${flag}" flag: write ID:HOST:N, three numbers`);
  return { containerID: Number(match[1]), hostID: Number(match[2]), size: Number(match[3]) };
}
