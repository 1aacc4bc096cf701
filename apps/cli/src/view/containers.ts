import { BerthError, formatDuration, shortId } from "@berth/base";
import type { BoundPort, Container, Image } from "@berth/engine";
import { ellipsis, formatTime, hasLabel, parseFilters, type RowKind } from "./format.ts";

export interface ContainerRowOptions {
  readonly noTrunc: boolean;
  readonly nowMs: number;
}

const COMMAND_WIDTH = 20;
const MOUNT_WIDTH = 15;

/** Rows of `ps`. */
export function containerRows(options: ContainerRowOptions): RowKind<Container> {
  const { noTrunc, nowMs } = options;
  return {
    fields: {
      ID: { header: "CONTAINER ID", value: (c) => (noTrunc ? c.id : shortId(c.id)) },
      Image: { header: "IMAGE", value: (c) => c.imageName },
      Command: {
        header: "COMMAND",
        value: (c) => JSON.stringify(noTrunc ? commandOf(c) : ellipsis(commandOf(c), COMMAND_WIDTH)),
      },
      CreatedAt: { header: "CREATED AT", value: (c) => formatTime(c.createdAtMs) },
      RunningFor: { header: "CREATED", value: (c) => `${formatDuration(nowMs - c.createdAtMs)} ago` },
      Status: { header: "STATUS", value: (c) => statusOf(c, nowMs) },
      State: { header: "STATE", value: (c) => c.status },
      Ports: { header: "PORTS", value: (c) => formatPorts(c.ports) },
      // Counting would walk the whole writable layer.
      Size: { header: "SIZE", value: () => "N/A" },
      Names: { header: "NAMES", value: (c) => c.name },
      Labels: { header: "LABELS", value: (c) => pairs(c.spec.labels) },
      Mounts: { header: "MOUNTS", value: (c) => mountsOf(c, noTrunc) },
      LocalVolumes: {
        header: "LOCAL VOLUMES",
        value: (c) => String(c.mounts.filter((m) => m.kind === "volume").length),
      },
      Networks: { header: "NETWORKS", value: (c) => c.spec.network },
    },
    methods: { Label: (c, key) => (Object.hasOwn(c.spec.labels, key) ? (c.spec.labels[key] ?? "") : "") },
    table: ["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"],
    id: "ID",
  };
}

function pairs(record: Readonly<Record<string, string>>): string {
  return Object.entries(record)
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join(",");
}

function commandOf(container: Container): string {
  const [program = "", ...args] = container.args;
  return [program, ...args.map((arg) => (arg.includes(" ") ? `'${arg}'` : arg))].join(" ");
}

function mountsOf(container: Container, noTrunc: boolean): string {
  return container.mounts
    .filter((mount) => mount.kind !== "tmpfs")
    .map((mount) => mount.name || mount.source)
    .map((name) => (noTrunc ? name : ellipsis(name, MOUNT_WIDTH)))
    .join(",");
}

/** Docker's words: `Up 3 minutes`, `Exited (0) About an hour ago`, `Created`. */
export function statusOf(container: Container, nowMs: number): string {
  const since = (time: string): string => formatDuration(nowMs - Date.parse(time));
  switch (container.status) {
    case "created":
      return "Created";
    case "running":
      return `Up ${since(container.startedAt)}`;
    case "paused":
      return `Up ${since(container.startedAt)} (Paused)`;
    case "exited":
      return `Exited (${container.exitCode}) ${since(container.finishedAt)} ago`;
    case "removing":
      return "Removal In Progress";
    case "dead":
      return "Dead";
  }
}

/** `0.0.0.0:8080->80/tcp, 443/tcp` */
export function formatPorts(ports: readonly BoundPort[]): string {
  return ports
    .map((port) => {
      const ip = port.hostIp === "" ? "0.0.0.0" : port.hostIp;
      const host = ip.includes(":") ? `[${ip}]` : ip;
      const inside = `${port.containerPort}/${port.protocol}`;
      return port.hostPort === 0 ? inside : `${host}:${port.hostPort}->${inside}`;
    })
    .join(", ");
}

type Test = (container: Container) => boolean;

const STATUSES = ["created", "running", "paused", "restarting", "removing", "exited", "dead"];

function testFor(key: string, value: string, find: (ref: string) => Image | undefined): Test {
  switch (key) {
    case "name": {
      const pattern = patternOf(value);
      return (c) => pattern.test(c.name) || pattern.test(`/${c.name}`);
    }
    case "id":
      return (c) => c.id.startsWith(value);
    case "label":
      return (c) => hasLabel(c.spec.labels, value);
    case "status":
      if (!STATUSES.includes(value)) throw invalidFilter(`status=${value}`, `one of ${STATUSES.join(", ")}`);
      return (c) => c.status === value;
    case "exited":
      if (!/^\d+$/.test(value)) throw invalidFilter(`exited=${value}`, "write an exit code");
      return (c) => c.status === "exited" && c.exitCode === Number(value);
    case "ancestor": {
      const id = find(value)?.id;
      return (c) => c.imageName === value || (id !== undefined && c.imageId === id);
    }
    case "network":
      return (c) => c.spec.network === value;
    case "volume":
      return (c) => c.mounts.some((mount) => mount.name === value || mount.target === value || mount.source === value);
    default:
      throw invalidFilter(key, "the filters are name, id, label, status, exited, ancestor, network, volume");
  }
}

function patternOf(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (error) {
    throw invalidFilter(`name=${text}`, error instanceof Error ? error.message : String(error));
  }
}

function invalidFilter(what: string, hint: string): BerthError {
  return new BerthError("InvalidArgument", `invalid filter '${what}'`, { hint });
}

/** Containers that fit: of one key any value, of different keys all (labels: all). */
export function filterContainers(
  containers: readonly Container[],
  filters: readonly string[],
  find: (ref: string) => Image | undefined,
): readonly Container[] {
  const byKey = Map.groupBy(parseFilters(filters), ([key]) => key);
  const groups = [...byKey].map(([key, items]) => ({
    key,
    tests: items.map(([, value]) => testFor(key, value, find)),
  }));
  return containers.filter((container) =>
    groups.every(({ key, tests }) => {
      const fits = (test: Test): boolean => test(container);
      return key === "label" ? tests.every(fits) : tests.some(fits);
    }),
  );
}

/** Filters by state ask for stopped containers too. */
export function filtersNeedAll(filters: readonly string[]): boolean {
  return parseFilters(filters).some(([key]) => key === "status" || key === "exited");
}
