import { BerthError, formatBytes } from "@berth/base";
import type { Container, Engine, Image } from "@berth/engine";
import { familiarName } from "@berth/oci";
import { type Context, command, type Outcome } from "../command.ts";
import { ask } from "../session/ask.ts";
import { hasLabel, parseFilters } from "../view/format.ts";
import { parseTime } from "./logs.ts";

const FORCE = { type: "boolean", short: "f", doc: "do not ask" } as const;
const FILTER = {
  type: "list",
  value: "KEY=VALUE",
  doc: "until=TIME or duration, label=KEY[=VALUE], label!=KEY[=VALUE]",
} as const;

/** What of it is subject to filters: when it was made, and its labels. */
interface Filtered {
  readonly createdAtMs: number;
  readonly labels: Readonly<Record<string, string>>;
}

export const imagePrune = command({
  name: "image prune",
  args: [],
  doc: "remove images without a name",
  example: "berth image prune -a --filter until=240h",
  flags: {
    all: { type: "boolean", short: "a", doc: "named ones too, if no container uses them" },
    filter: FILTER,
    force: FORCE,
  },
  run: async (context, _args, flags) => {
    const fits = compileFilters(flags.filter);
    const what = flags.all ? "all images without at least one container associated to them" : "all dangling images";
    if (!(await confirmed(context, `This will remove ${what}.`, flags.force))) return {};
    return report(await pruneImages(await context.engine(), flags.all, fits));
  },
});

export const containerPrune = command({
  name: "container prune",
  args: [],
  doc: "remove all containers that are not running",
  example: "berth container prune -f --filter until=24h",
  flags: { filter: FILTER, force: FORCE },
  run: async (context, _args, flags) => {
    const fits = compileFilters(flags.filter);
    if (!(await confirmed(context, "This will remove all stopped containers.", flags.force))) return {};
    return report(await pruneContainers(await context.engine(), fits));
  },
});

export const systemPrune = command({
  name: "system prune",
  args: [],
  doc: "remove containers that are not running, images that nobody needs, and what downloads left behind",
  example: "berth system prune --all --volumes --force",
  flags: {
    all: { type: "boolean", short: "a", doc: "all images that no container uses, not only those without a name" },
    volumes: { type: "boolean", doc: "anonymous volumes that no container mounts, too" },
    filter: FILTER,
    force: FORCE,
  },
  run: async (context, _args, flags) => {
    const fits = compileFilters(flags.filter);
    const doomed = [
      "all stopped containers",
      flags.all ? "all images without at least one container associated to them" : "all dangling images",
      ...(flags.volumes ? ["all anonymous volumes not used by at least one container"] : []),
    ];
    const question = `This will remove:\n${doomed.map((line) => `  - ${line}\n`).join("")}`;
    if (!(await confirmed(context, question, flags.force))) return {};
    const engine = await context.engine();
    const containers = await pruneContainers(engine, fits);
    const volumes = flags.volumes ? await pruneVolumes(engine) : undefined;
    const images = await pruneImages(engine, flags.all, fits);
    return report(containers, ...(volumes === undefined ? [] : [volumes]), images);
  },
});

/** Lines below a title, and what they freed. */
interface Part {
  readonly title: string;
  readonly lines: readonly string[];
  readonly bytes: number;
}

async function pruneContainers(engine: Engine, fits: (one: Filtered) => boolean): Promise<Part> {
  const labelsOf = ({ spec, createdAtMs }: Container): Filtered => ({ createdAtMs, labels: spec.labels });
  const { removed, reclaimedBytes } = await engine.pruneContainers((container) => fits(labelsOf(container)));
  return { title: "Deleted Containers:", lines: removed, bytes: reclaimedBytes };
}

async function pruneVolumes(engine: Engine): Promise<Part> {
  const { removed, reclaimedBytes } = await engine.pruneVolumes();
  return { title: "Deleted Volumes:", lines: removed, bytes: reclaimedBytes };
}

async function pruneImages(engine: Engine, all: boolean, fits: (one: Filtered) => boolean): Promise<Part> {
  const factsOf = ({ createdAtMs, config }: Image): Filtered => ({
    createdAtMs,
    labels: config.config?.Labels ?? {},
  });
  const pruned = await engine.pruneImages({ all, fits: (image) => fits(factsOf(image)) });
  const lines = [
    ...pruned.untagged.map((name) => `untagged: ${familiarName(name)}`),
    ...pruned.removed.map((id) => `deleted: ${id}`),
  ];
  return { title: "Deleted Images:", lines, bytes: pruned.reclaimedBytes };
}

function report(...parts: readonly Part[]): Outcome {
  const texts = parts
    .filter((part) => part.lines.length > 0)
    .map(({ title, lines }) => `${title}\n${lines.map((line) => `${line}\n`).join("")}\n`);
  const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
  return { text: `${texts.join("")}Total reclaimed space: ${formatBytes(bytes)}\n` };
}

async function confirmed(context: Context, question: string, force: boolean): Promise<boolean> {
  if (force) return true;
  const text = `WARNING! ${question}\nAre you sure you want to continue? [y/N] `;
  if (!process.stdin.isTTY)
    throw new BerthError("FailedPrecondition", "stdin is no terminal: nobody can be asked", {
      hint: "give --force to go on without a question",
    });
  return /^y(es)?$/i.test(await ask(context.notice, text, true));
}

/** All filters must hold; `until` keeps what is younger. */
function compileFilters(items: readonly string[]): (one: Filtered) => boolean {
  const tests = parseFilters(items).map(([key, value]): ((one: Filtered) => boolean) => {
    switch (key) {
      case "until": {
        const until = parseTime(value, "--filter until", Date.now());
        return ({ createdAtMs }) => createdAtMs < until;
      }
      case "label":
        return ({ labels }) => hasLabel(labels, value);
      case "label!":
        return ({ labels }) => !hasLabel(labels, value);
      default:
        throw new BerthError("InvalidArgument", `invalid filter '${key}'`, {
          hint: "the filters are until, label, label!",
        });
    }
  });
  return (one) => tests.every((test) => test(one));
}
