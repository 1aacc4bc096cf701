import { BerthError } from "@berth/base";
import type { PublishedPort } from "./types.ts";

const INSTALL = "install the package containernetworking-plugins, or use --network none or host";

export const noPlugin = (name: string, dirs: readonly string[]): BerthError =>
  new BerthError("FailedPrecondition", `attach network: no CNI plugin ${name} in ${dirs.join(", ")}`, {
    hint: INSTALL,
  });

export const noRight = (cause: Error): BerthError =>
  new BerthError("PermissionDenied", `attach network: ${cause.message}`, {
    hint: "bridge networks need the host's root; use --network none or host",
    cause,
  });

/** A plugin could not be run, or ended without a CNI error. */
export const pluginBroken = (name: string, command: string, why: string, cause?: unknown): BerthError =>
  new BerthError("FailedPrecondition", `run CNI plugin ${name} ${command}: ${why}`, { hint: INSTALL, cause });

/** What a plugin reported (CNI specification, "Error"). */
export function pluginFailed(name: string, command: string, message: string): BerthError {
  const text = `run CNI plugin ${name} ${command}: ${message}`;
  if (/no IP addresses available/i.test(message)) {
    return new BerthError("ResourceExhausted", text, { hint: "remove containers that use the network" });
  }
  return new BerthError("FailedPrecondition", text, {
    hint: "bridge networks need root, a kernel with bridge and veth devices, and iptables; --network host needs none",
  });
}

export const pluginTimeout = (name: string, command: string, ms: number): BerthError =>
  new BerthError("DeadlineExceeded", `run CNI plugin ${name} ${command}: no end after ${ms} ms`);

export const cancelled = (containerId: string, cause: unknown): BerthError =>
  new BerthError("Cancelled", `attach container ${containerId.slice(0, 12)} to the network: interrupted`, { cause });

export const noNamespace = (path: string): BerthError =>
  new BerthError("FailedPrecondition", `attach network: no network namespace at ${path}`);

export const attached = (containerId: string): BerthError =>
  new BerthError("AlreadyExists", `attach container ${containerId.slice(0, 12)} to the network: it is attached`);

export const noSubnet = (): BerthError =>
  new BerthError("ResourceExhausted", "choose a network for the bridge: every range has a route on this host", {
    hint: "give the bridge an address of a free range: ip link add berth0 type bridge; ip address add 10.1.0.1/16 dev berth0; ip link set berth0 up",
  });

export const portTaken = (port: PublishedPort, by: string, cause?: unknown): BerthError =>
  new BerthError("FailedPrecondition", `publish port ${formatPort(port)}: port is already allocated (${by})`, {
    hint: "choose another host port, or end what uses this one",
    cause,
    details: { hostPort: port.hostPort },
  });

export const cannotBind = (port: PublishedPort, why: string, cause: unknown): BerthError =>
  new BerthError("FailedPrecondition", `publish port ${formatPort(port)}: cannot listen there: ${why}`, {
    hint: "the address must be one of this host's",
    cause,
  });

export const noFreePort = (port: PublishedPort): BerthError =>
  new BerthError("ResourceExhausted", `publish container port ${port.containerPort}: no free ${port.protocol} port`);

export const onlyIpv4 = (port: PublishedPort): BerthError =>
  new BerthError("Unimplemented", `publish port ${formatPort(port)}: only IPv4 addresses can be published`);

function formatPort({ hostIp, hostPort, protocol }: PublishedPort): string {
  return `${hostIp === "" ? "0.0.0.0" : hostIp}:${hostPort}/${protocol}`;
}
