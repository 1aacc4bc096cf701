import { pluginBroken } from "./errors.ts";
import type { PluginConfig } from "./plugin.ts";
import type { NetworkResult, PublishedPort } from "./types.ts";

/** The newest version that plugins since 0.8 (2019) know, and those of today still do. */
const CNI_VERSION = "0.4.0";

export interface PluginsInput {
  /** Of the network; also of its bridge. */
  readonly name: string;
  /** `address/prefix`. */
  readonly subnet: string;
  /** Where host-local keeps the addresses in use: one place for all who use the bridge. */
  readonly ipamDir: string;
  readonly ports: readonly PublishedPort[];
  /** The firewall plugin is there: it lets traffic through where the host's policy is to drop it, as with docker. */
  readonly firewall: boolean;
}

/** Configurations of the plugins in the order of ADD. */
export function planPlugins(input: PluginsInput): readonly PluginConfig[] {
  const common = { cniVersion: CNI_VERSION, name: input.name };
  const bridge = {
    ...common,
    type: "bridge",
    bridge: input.name,
    isGateway: true,
    ipMasq: true,
    hairpinMode: true,
    ipam: {
      type: "host-local",
      dataDir: input.ipamDir,
      ranges: [[{ subnet: input.subnet }]],
      routes: [{ dst: "0.0.0.0/0" }],
    },
  };
  const firewall = { ...common, type: "firewall" };
  const portmap = {
    ...common,
    type: "portmap",
    snat: true,
    runtimeConfig: { portMappings: input.ports.map(toMapping) },
  };
  return [bridge, ...(input.firewall ? [firewall] : []), ...(input.ports.length > 0 ? [portmap] : [])];
}

function toMapping({ hostIp, hostPort, containerPort, protocol }: PublishedPort): PluginConfig {
  const address = isAny(hostIp) ? {} : { hostIP: hostIp };
  return { hostPort, containerPort, protocol, ...address };
}

/** True for the address that stands for all of the host's. */
export function isAny(hostIp: string): boolean {
  return hostIp === "" || hostIp === "0.0.0.0";
}

/**
 * Reads a plugin's result (CNI specification 0.4.0, "Result").
 *
 * @throws {BerthError} FailedPrecondition if it has no IPv4 address
 */
export function readResult(reply: unknown, ports: readonly PublishedPort[]): NetworkResult {
  const { ips, interfaces } = (reply ?? {}) as { readonly ips?: unknown; readonly interfaces?: unknown };
  const list = (Array.isArray(ips) ? ips : []) as readonly Readonly<Record<string, unknown>>[];
  const ip = list.find((one) => typeof one["address"] === "string" && /^[\d.]+\/\d+$/.test(one["address"]));
  if (ip === undefined) throw pluginBroken("bridge", "ADD", "its result has no IPv4 address");
  const links = (Array.isArray(interfaces) ? interfaces : []) as readonly Readonly<Record<string, unknown>>[];
  const [ipAddress = "", prefix = ""] = String(ip["address"]).split("/");
  return {
    ipAddress,
    prefixLength: Number(prefix),
    gateway: String(ip["gateway"] ?? ""),
    macAddress: String(links[Number(ip["interface"])]?.["mac"] ?? ""),
    ports,
  };
}
