import { formatBytes, formatDuration, shortId } from "@berth/base";
import type { DiskUsage } from "@berth/engine";
import { command } from "../command.ts";
import { usageError } from "../errors.ts";
import { formatTable } from "../print/table.ts";
import { formatRows, type RowKind } from "../view/format.ts";
import { imageRows } from "../view/images.ts";

export const systemDf = command({
  name: "system df",
  args: [],
  doc: "show how much disk images, containers and volumes use; what images share counts once",
  example: "berth system df -v",
  flags: {
    format: { type: "string", value: "FORMAT", doc: "table, json, or a Go template such as '{{.Type}} {{.Size}}'" },
    verbose: { type: "boolean", short: "v", doc: "each image, container and volume" },
  },
  run: async (context, _args, flags) => {
    if (flags.verbose && flags.format) throw usageError("--verbose has no --format", "system df", 1);
    const engine = await context.engine();
    const usage = await engine.diskUsage();
    return { text: flags.verbose ? verboseText(usage) : formatRows(summary(usage), KIND, { ...flags, quiet: false }) };
  },
});

interface Summary {
  readonly type: string;
  readonly total: number;
  readonly active: number;
  readonly sizeBytes: number;
  readonly reclaimableBytes: number;
}

const sum = (items: readonly { readonly sizeBytes: number }[]): number =>
  items.reduce((total, item) => total + item.sizeBytes, 0);

function summary({ images, containers, volumes, imageBytes, reclaimableImageBytes }: DiskUsage): readonly Summary[] {
  const idle = containers.filter(({ container }) => container.status !== "running" && container.status !== "paused");
  const unused = volumes.filter(({ links }) => links === 0);
  return [
    {
      type: "Images",
      total: images.length,
      active: images.filter((image) => image.containers > 0).length,
      sizeBytes: imageBytes,
      reclaimableBytes: reclaimableImageBytes,
    },
    {
      type: "Containers",
      total: containers.length,
      active: containers.length - idle.length,
      sizeBytes: sum(containers),
      reclaimableBytes: sum(idle),
    },
    {
      type: "Local Volumes",
      total: volumes.length,
      active: volumes.length - unused.length,
      sizeBytes: sum(volumes),
      reclaimableBytes: sum(unused),
    },
  ];
}

const KIND: RowKind<Summary> = {
  fields: {
    Type: { header: "TYPE", value: (row) => row.type },
    TotalCount: { header: "TOTAL", value: (row) => String(row.total) },
    Active: { header: "ACTIVE", value: (row) => String(row.active) },
    Size: { header: "SIZE", value: (row) => formatBytes(row.sizeBytes) },
    Reclaimable: {
      header: "RECLAIMABLE",
      value: ({ sizeBytes, reclaimableBytes }) => {
        const share = sizeBytes === 0 ? "" : ` (${Math.floor((reclaimableBytes * 100) / sizeBytes)}%)`;
        return `${formatBytes(reclaimableBytes)}${share}`;
      },
    },
  },
  table: ["Type", "TotalCount", "Active", "Size", "Reclaimable"],
  id: "Type",
};

function verboseText({ images, containers, volumes }: DiskUsage): string {
  const nowMs = Date.now();
  const ago = (ms: number): string => (ms === 0 ? "N/A" : `${formatDuration(nowMs - ms)} ago`);
  const imageLines = images.map((usage) => {
    const [row] = imageRows([usage.image]);
    const sizes = [usage.sizeBytes, usage.sharedBytes, usage.uniqueBytes].map((bytes) => formatBytes(bytes));
    const names = [row?.repository ?? "", row?.tag ?? "", shortId(usage.image.id)];
    return [...names, ago(usage.image.createdAtMs), ...sizes, String(usage.containers)];
  });
  const containerLines = containers.map(({ container, sizeBytes }) => {
    const { id, imageName, createdAtMs, status, name } = container;
    return [shortId(id), imageName, formatBytes(sizeBytes), ago(createdAtMs), status, name];
  });
  const volumeLines = volumes.map(({ name, links, sizeBytes }) => [name, String(links), formatBytes(sizeBytes)]);
  const imageTitles = ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS"];
  return [
    "Images space usage:\n\n",
    formatTable([imageTitles, ...imageLines]),
    "\nContainers space usage:\n\n",
    formatTable([["CONTAINER ID", "IMAGE", "SIZE", "CREATED", "STATUS", "NAMES"], ...containerLines]),
    "\nLocal Volumes space usage:\n\n",
    formatTable([["VOLUME NAME", "LINKS", "SIZE"], ...volumeLines]),
  ].join("");
}
