import { command } from "../command.ts";
import { containerRows, filterContainers, filtersNeedAll } from "../view/containers.ts";
import { formatRows } from "../view/format.ts";

export const ps = command({
  name: "ps",
  also: ["container ls", "container list", "container ps"],
  args: [],
  doc: "list containers",
  example: "berth ps -a --filter status=exited --format '{{.Names}} {{.Status}}'",
  flags: {
    all: { type: "boolean", short: "a", doc: "stopped ones too" },
    quiet: { type: "boolean", short: "q", doc: "ids only" },
    "no-trunc": { type: "boolean", doc: "whole ids and commands" },
    format: {
      type: "string",
      value: "FORMAT",
      doc: "table, json, or a Go template such as '{{.ID}}'; 'table TEMPLATE' with headers",
    },
    filter: {
      type: "list",
      short: "f",
      value: "KEY=VALUE",
      doc: "name, id, label, status, exited, ancestor, network, volume",
    },
    last: { type: "integer", short: "n", doc: "the last N made, of any state" },
    latest: { type: "boolean", short: "l", doc: "the last one made, of any state" },
  },
  run: async (context, _args, flags) => {
    const engine = await context.engine();
    const count = flags.latest ? 1 : flags.last !== undefined && flags.last >= 0 ? flags.last : undefined;
    const all = flags.all || count !== undefined || filtersNeedAll(flags.filter);
    const listed = [...(await engine.list({ all }))].sort((a, b) => b.createdAtMs - a.createdAtMs);
    const found = filterContainers(listed, flags.filter, (ref) => engine.findImage(ref)).slice(0, count);
    const kind = containerRows({ noTrunc: flags["no-trunc"], nowMs: Date.now() });
    return { text: formatRows(found, kind, flags) };
  },
});
