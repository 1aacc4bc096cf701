import type { Change, MountedImage } from "@berth/engine";
import { familiarName } from "@berth/oci";
import { command } from "../command.ts";
import { badValue, usageError } from "../errors.ts";
import { toJson } from "../template/functions.ts";
import { forEach } from "./each.ts";

const JSON_FORMAT = { type: "string", choices: ["json"], doc: "json instead of text" } as const;

export const imageDiff = command({
  name: "image diff",
  args: ["IMAGE"],
  doc: "show what an image's top layer adds (A), changes (C) and deletes (D)",
  example: "berth image diff docker.io/library/nginx",
  flags: { format: JSON_FORMAT },
  run: async (context, [ref = ""], flags) => {
    const engine = await context.engine();
    const changes = await engine.diffImage(ref);
    if (flags.format === "json") return { text: `${toJson(byKind(changes))}\n` };
    return { text: changes.map(({ kind, path }) => `${kind} ${path}\n`).join("") };
  },
});

/** As podman's; a kind that does not occur is left out. */
function byKind(changes: readonly Change[]): Readonly<Record<string, readonly string[]>> {
  const kinds = { changed: "C", added: "A", deleted: "D" } as const;
  const lists = Object.entries(kinds).map(
    ([name, kind]) => [name, changes.filter((change) => change.kind === kind).map(({ path }) => path)] as const,
  );
  return Object.fromEntries(lists.filter(([, paths]) => paths.length > 0));
}

export const imageMount = command({
  name: "image mount",
  args: ["[IMAGE...]"],
  doc: "show images' file systems, read-only, and print where; without images list those that are mounted",
  example: "berth image mount docker.io/library/debian:12",
  flags: {
    all: { type: "boolean", short: "a", doc: "all images" },
    format: JSON_FORMAT,
  },
  run: async (context, refs, flags) => {
    if (flags.all && refs.length > 0) throw badValue("true", "--all", "images cannot be named with it");
    const engine = await context.engine();
    const wanted = flags.all ? engine.images().map(({ id }) => id) : refs;
    const mounted: MountedImage[] = [];
    for (const ref of wanted) mounted.push(await engine.mountImage(ref));
    const shown = wanted.length === 0 ? await engine.mountedImages() : mounted;
    if (flags.format === "json") return { text: `${toJson(shown.map(toRow))}\n` };
    const isOne = refs.length === 1;
    return { text: shown.map((one) => (isOne ? `${one.path}\n` : `${nameOf(one)} ${one.path}\n`)).join("") };
  },
});

function nameOf({ image }: MountedImage): string {
  const [name] = image.names;
  return name === undefined ? image.id.slice("sha256:".length) : familiarName(name);
}

/** As podman's. */
function toRow({ image, path }: MountedImage): object {
  return { id: image.id.slice("sha256:".length), Repositories: image.names.map(familiarName), mountpoint: path };
}

export const imageUnmount = command({
  name: "image unmount",
  also: ["image umount"],
  args: ["[IMAGE...]"],
  doc: "end what image mount began",
  example: "berth image unmount --all",
  flags: { all: { type: "boolean", short: "a", doc: "all that are mounted" } },
  run: async (context, refs, flags) => {
    if (flags.all === refs.length > 0) throw usageError("name images, or use --all", "image unmount", 1);
    const engine = await context.engine();
    const wanted = flags.all ? (await engine.mountedImages()).map(({ image }) => image.id) : refs;
    return forEach(context, wanted, async (ref) => `${(await engine.unmountImage(ref)).id.slice("sha256:".length)}\n`);
  },
});
