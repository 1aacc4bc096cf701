import { readFileSync, writeFileSync } from "node:fs";
import { hostname as hostHostname } from "node:os";
import {
  type ContainerRow,
  formatSpec,
  planHostname,
  planSpec,
  type ResolvedDevice,
  type ResolvedUser,
  resolveUser,
} from "@berth/containers";
import type { Image } from "@berth/images";
import { listDevices, readDevices, readFileInRoot, readHostFacts } from "@berth/linux";
import { type NetworkResult, planHosts, planResolvConf, readHostResolvConf } from "@berth/networks";
import type { ContainerPaths, Context } from "./context.ts";
import { fillVolumes, giveToRoot } from "./fill.ts";

const MAX_USER_FILE_BYTES = 1 << 20;

/**
 * Everything between the mounted root file system and the runtime's create: network, volumes' first content, the
 * container's own files, config.json. Undone by `cleanUp`.
 */
export async function writeBundle(ctx: Context, row: ContainerRow, image: Image, paths: ContainerPaths): Promise<void> {
  const { spec } = row;
  const connected = spec.network === "bridge" ? connect(ctx, row, paths) : undefined;
  // Side by side, and neither may go on behind the clean-up that the other's failure brings.
  const [network, mounts] = await Promise.allSettled([connected, fillVolumes(ctx, row, paths)]);
  if (network.status === "rejected") throw network.reason;
  if (mounts.status === "rejected") throw mounts.reason;
  const hostname = planHostname(spec, row.id, hostHostname());
  writeFiles(row, paths, hostname, network.value);
  const config = planSpec({
    id: row.id,
    spec,
    image: image.config,
    host: readHostFacts(),
    user: userOf(row, image, paths),
    rootfs: paths.rootfs,
    mounts: mounts.value,
    devices: devicesOf(row),
    files: { hosts: paths.hosts, resolvConf: paths.resolvConf, hostname: paths.hostname },
    hostname,
    netnsPath: spec.network === "bridge" ? paths.netns : undefined,
    usernsPath: spec.userns !== undefined && spec.network === "bridge" ? paths.userns : undefined,
    cgroupsPath: `/berth/${row.id}`,
    keelPath: ctx.config.keelPath,
  });
  writeFileSync(`${paths.bundle}/config.json`, formatSpec(config), { mode: 0o600 });
}

function connect(ctx: Context, row: ContainerRow, paths: ContainerPaths): Promise<NetworkResult> {
  return ctx.networks.attach({ containerId: row.id, netnsPath: paths.netns, ports: row.spec.ports });
}

function userOf(row: ContainerRow, image: Image, paths: ContainerPaths): ResolvedUser {
  const read = (path: string): string | undefined => readFileInRoot(paths.rootfs, path, MAX_USER_FILE_BYTES);
  return resolveUser({
    user: row.spec.user ?? image.config.config?.User ?? "",
    groupAdd: row.spec.groupAdd,
    passwd: read("/etc/passwd"),
    group: read("/etc/group"),
  });
}

function writeFiles(
  row: ContainerRow,
  paths: ContainerPaths,
  hostname: string,
  network: NetworkResult | undefined,
): void {
  const { spec } = row;
  const isHost = spec.network === "host";
  const hosts = planHosts({
    hostname,
    ipAddress: network?.ipAddress,
    addHosts: spec.addHosts,
    gateway: network?.gateway,
    host: isHost ? readFileSync("/etc/hosts", "utf8") : undefined,
  });
  const resolvConf = planResolvConf({ host: readHostResolvConf(isHost), hostNetwork: isHost, dns: spec.dns });
  writeFileSync(paths.hosts, hosts, { mode: 0o644 });
  writeFileSync(paths.resolvConf, resolvConf, { mode: 0o644 });
  writeFileSync(paths.hostname, `${hostname}\n`, { mode: 0o644 });
  for (const path of [paths.hosts, paths.resolvConf, paths.hostname]) giveToRoot(row, path);
}

function devicesOf(row: ContainerRow): readonly ResolvedDevice[] {
  const { spec } = row;
  if (spec.privileged) return listDevices().map((device) => ({ ...device, access: "rwm" }));
  return spec.devices.flatMap((device) =>
    readDevices(device.hostPath).map((node) => ({
      ...node,
      path: `${device.containerPath}${node.path.slice(device.hostPath.length)}`,
      access: device.access,
    })),
  );
}
