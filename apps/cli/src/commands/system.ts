import { formatBinaryBytes } from "@berth/base";
import type { EngineInfo } from "@berth/engine";
import { command } from "../command.ts";
import { compileTemplate } from "../template/evaluate.ts";
import { toJson } from "../template/functions.ts";
import { VERSION } from "../version.ts";

const FORMAT = { type: "string", short: "f", value: "FORMAT", doc: "json, or a Go template" } as const;

function formatData(data: object, format: string | undefined, text: () => string): { readonly text: string } {
  if (format === undefined || format === "") return { text: text() };
  return { text: `${format === "json" ? toJson(data) : compileTemplate(format).render(data)}\n` };
}

export const version = command({
  name: "version",
  args: [],
  doc: "print the version",
  example: "berth version --format '{{.Client.Version}}'",
  flags: { format: FORMAT },
  run: (_context, _args, flags) => {
    const part = { Version: VERSION, NodeVersion: process.version, Os: process.platform, Arch: process.arch };
    return formatData({ Client: part, Server: part }, flags.format, () =>
      [`berth ${VERSION}`, `node  ${process.version}`, `on    ${process.platform}/${process.arch}`, ""].join("\n"),
    );
  },
});

export const info = command({
  name: "info",
  also: ["system info"],
  args: [],
  doc: "print facts about this host and Berth's storage",
  example: "berth info --format json",
  flags: { format: FORMAT },
  run: async (context, _args, flags) => {
    const engine = await context.engine();
    const facts = await engine.info();
    return formatData(dockerInfo(facts), flags.format, () => infoText(facts));
  },
});

/** Under docker's names where it has them. */
function dockerInfo(info: EngineInfo): object {
  return {
    Name: info.hostname,
    ServerVersion: info.version,
    Containers: info.containers.total,
    ContainersRunning: info.containers.running,
    ContainersPaused: 0,
    ContainersStopped: info.containers.stopped,
    Images: info.images,
    Driver: info.storage.driver,
    DriverStatus: [
      ["Reason", info.storage.reason],
      ["Id-mapped layers", info.storage.idmap === "" ? "true" : `false: ${info.storage.idmap}`],
    ],
    CgroupDriver: info.cgroupDriver,
    CgroupVersion: info.cgroupVersion,
    DefaultRuntime: info.runtime,
    SecurityOptions: info.securityOptions,
    KernelVersion: info.kernel,
    OperatingSystem: info.operatingSystem,
    OSType: "linux",
    Architecture: info.architecture,
    NCPU: info.cpus,
    MemTotal: info.memoryBytes,
    DockerRootDir: info.root,
    RunRoot: info.runRoot,
    CniPlugins: info.cniPlugins,
    Warnings: info.warnings,
  };
}

function infoText(info: EngineInfo): string {
  const lines = [
    `Version: ${info.version}`,
    `Containers: ${info.containers.total}`,
    ` Running: ${info.containers.running}`,
    ` Stopped: ${info.containers.stopped}`,
    `Images: ${info.images}`,
    `Data root: ${info.root}`,
    `Run root: ${info.runRoot}`,
    `Storage Driver: ${info.storage.driver}`,
    ` Reason: ${info.storage.reason}`,
    ` Id-mapped layers: ${info.storage.idmap === "" ? "yes" : `no: ${info.storage.idmap}`}`,
    `Runtime: ${info.runtime}`,
    `Cgroup driver: ${info.cgroupDriver}`,
    `Cgroup version: ${info.cgroupVersion}`,
    `CNI plugins: ${info.cniPlugins}`,
    `Security options: ${info.securityOptions.join(", ")}`,
    `Kernel: ${info.kernel}`,
    `Operating system: ${info.operatingSystem}`,
    `Architecture: ${info.architecture}`,
    `CPUs: ${info.cpus}`,
    `Memory: ${formatBinaryBytes(info.memoryBytes)}`,
    `Name: ${info.hostname}`,
    ...info.warnings.map((warning) => `Warning: ${warning}`),
  ];
  return lines.map((line) => `${line}\n`).join("");
}
