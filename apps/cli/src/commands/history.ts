import { formatBytes, formatDuration, shortId } from "@berth/base";
import type { HistoryEntry } from "@berth/engine";
import { familiarName } from "@berth/oci";
import { command } from "../command.ts";
import { ellipsis, formatRows, formatTime, type RowKind } from "../view/format.ts";

const CREATED_BY_WIDTH = 45;

interface Row extends HistoryEntry {
  readonly id: string;
}

export const history = command({
  name: "history",
  also: ["image history"],
  args: ["IMAGE"],
  doc: "show the steps that made an image",
  example: "berth history --no-trunc docker.io/library/debian:12",
  flags: {
    format: { type: "string", value: "FORMAT", doc: "table, json, or a Go template such as '{{.CreatedBy}}'" },
    human: { type: "boolean", short: "H", initial: true, doc: "sizes and times for people; default: true" },
    "no-trunc": { type: "boolean", doc: "whole ids and commands" },
    quiet: { type: "boolean", short: "q", doc: "ids only" },
  },
  run: async (context, [ref = ""], flags) => {
    const engine = await context.engine();
    const { id } = engine.image(ref);
    const entries = await engine.history(ref);
    const rows = entries.map((entry, i) => ({ ...entry, id: i === 0 ? id : "<missing>" }));
    return { text: formatRows(rows, rowKind(flags["no-trunc"], flags.human, Date.now()), flags) };
  },
});

function rowKind(noTrunc: boolean, human: boolean, nowMs: number): RowKind<Row> {
  const createdAt = ({ created }: Row): string => (created === "" ? "N/A" : rfc3339(created));
  return {
    fields: {
      ID: { header: "IMAGE", value: ({ id }) => (noTrunc || id === "<missing>" ? id : shortId(id)) },
      CreatedSince: {
        header: "CREATED",
        value: (row) =>
          human && row.created !== "" ? `${formatDuration(nowMs - Date.parse(row.created))} ago` : createdAt(row),
      },
      CreatedAt: {
        header: "CREATED AT",
        value: (row) => (human && row.created !== "" ? formatTime(Date.parse(row.created)) : createdAt(row)),
      },
      CreatedBy: {
        header: "CREATED BY",
        value: ({ createdBy }) => {
          const line = createdBy.replaceAll(/\s+/g, " ");
          return noTrunc ? line : ellipsis(line, CREATED_BY_WIDTH);
        },
      },
      Size: {
        header: "SIZE",
        value: ({ sizeBytes }) => (human ? formatBytes(sizeBytes, 3) : String(sizeBytes)),
      },
      Comment: { header: "COMMENT", value: ({ comment }) => comment },
    },
    table: ["ID", "CreatedSince", "CreatedBy", "Size", "Comment"],
    id: "ID",
  };
}

/** Without fractions of a second, as docker has it. */
const rfc3339 = (text: string): string => new Date(text).toISOString().replace(/\.\d+Z$/, "Z");

export const untag = command({
  name: "untag",
  also: ["image untag"],
  args: ["IMAGE", "[NAME...]"],
  doc: "take names from an image, all of them when none are given; the image stays",
  example: "berth untag app:1 app:latest",
  flags: {},
  run: async (context, [ref = "", ...names]) => {
    const engine = await context.engine();
    return {
      text: engine
        .untag(ref, names)
        .map((name) => `Untagged: ${familiarName(name)}\n`)
        .join(""),
    };
  },
});
