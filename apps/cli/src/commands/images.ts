import type { BerthError } from "@berth/base";
import type { Image, ImageSummary, PullPolicy } from "@berth/engine";
import { familiarName, formatReference, parseReference } from "@berth/oci";
import { type Context, command, type Outcome } from "../command.ts";
import { usageError } from "../errors.ts";
import { routeSignals } from "../session/signals.ts";
import { PULL_POLICIES } from "../spec/flags.ts";
import { formatRows } from "../view/format.ts";
import { filterImages, imageRowKind, imageRows } from "../view/images.ts";
import { imageTree } from "../view/tree.ts";
import { forEach } from "./each.ts";

export const images = command({
  name: "images",
  also: ["image ls", "image list"],
  args: ["[REPOSITORY[:TAG]]"],
  doc: "list images",
  example: "berth images --format '{{.Repository}}:{{.Tag}} {{.Size}}'",
  flags: {
    all: { type: "boolean", short: "a", doc: "for docker's sake: there are no hidden images" },
    quiet: { type: "boolean", short: "q", doc: "ids only" },
    digests: { type: "boolean", doc: "show digests" },
    "no-trunc": { type: "boolean", doc: "whole ids" },
    tree: { type: "boolean", doc: "layers below the images that stand on them, each once" },
    format: {
      type: "string",
      value: "FORMAT",
      doc: "table, json, or a Go template such as '{{.ID}}'; 'table TEMPLATE' with headers",
    },
    filter: { type: "list", short: "f", value: "KEY=VALUE", doc: "reference, label, dangling, before, since, until" },
  },
  run: async (context, [name], flags) => {
    const engine = await context.engine();
    let known: ReadonlyMap<string, Image> | undefined;
    const whole = ({ id }: ImageSummary): Image | undefined => {
      known ??= new Map(engine.wholeImages().map((image) => [image.id, image]));
      return known.get(id);
    };
    const labelsOf = (image: ImageSummary) => whole(image)?.config.config?.Labels ?? {};
    const rows = filterImages(imageRows(engine.images()), flags.filter, name, labelsOf);
    if (flags.tree) return { text: imageTree(rows, (image) => whole(image)?.layers ?? [], flags["no-trunc"]) };
    const kind = imageRowKind({ noTrunc: flags["no-trunc"], digests: flags.digests, nowMs: Date.now() });
    return { text: formatRows(rows, kind, flags) };
  },
});

export const rmi = command({
  name: "rmi",
  also: ["image rm", "image remove"],
  args: ["IMAGE..."],
  doc: "remove images",
  example: "berth rmi docker.io/library/debian:12",
  flags: { force: { type: "boolean", short: "f", doc: "even if a stopped container uses it, and all names of an id" } },
  run: async (context, refs, flags) => {
    const engine = await context.engine();
    return forEach(context, refs, async (ref) => {
      const { untagged, deleted } = await engine.removeImage(ref, flags);
      const lines = [
        ...untagged.map((name) => `Untagged: ${familiarName(name)}`),
        ...deleted.map((id) => `Deleted: ${id}`),
      ];
      return lines.map((line) => `${line}\n`).join("");
    });
  },
});

export const pull = command({
  name: "pull",
  also: ["image pull"],
  args: ["IMAGE"],
  doc: "download an image and unpack it",
  example: "berth pull docker.io/library/debian:12",
  flags: {
    platform: { type: "string", value: "OS/ARCH[/VARIANT]", doc: "default: this host's" },
    "all-platforms": { type: "boolean", doc: "keep the images of all platforms, for save and push; one is unpacked" },
    policy: { type: "string", choices: PULL_POLICIES, doc: "default always; newer makes do with what is here" },
    quiet: { type: "boolean", short: "q", doc: "print the name only" },
  },
  run: pullImage,
});

/** Says why the registry's image is not the one that is used. */
export function tellUnreachable(context: Context, ref: string): (error: BerthError) => void {
  return ({ message }) => context.notice(`Using the image that is here for '${ref}': ${message}\n`);
}

interface PullFlags {
  readonly platform: string | undefined;
  readonly "all-platforms": boolean;
  readonly policy: string | undefined;
  readonly quiet: boolean;
}

async function pullImage(context: Context, [ref = ""]: readonly string[], flags: PullFlags): Promise<Outcome> {
  const engine = await context.engine();
  let name = formatReference(parseReference(ref));
  using router = routeSignals();
  const before = engine.findImage(ref)?.id;
  const progress = flags.quiet ? undefined : context.progress();
  let digest = "";
  const image = await engine.pull(ref, {
    pull: (flags.policy ?? "always") as PullPolicy,
    platform: flags.platform,
    allPlatforms: flags["all-platforms"],
    onUnreachable: tellUnreachable(context, ref),
    signal: router.signal,
    onProgress: (event) => {
      // Short names may have aliases.
      if (event.kind === "resolved") ({ digest, ref: name } = event);
      progress?.onProgress(event);
    },
  });
  progress?.end();
  if (!flags.quiet) {
    const status = before === image.id ? "Image is up to date for" : "Downloaded newer image for";
    context.notice(`${digest === "" ? "" : `Digest: ${digest}\n`}Status: ${status} ${familiarName(name)}\n`);
  }
  return { text: `${name}\n` };
}

export const load = command({
  name: "load",
  also: ["image load"],
  args: [],
  doc: "load images from a docker archive, or an OCI layout (a directory or a tar)",
  example: "berth load -i image.tar",
  flags: {
    input: { type: "string", short: "i", value: "FILE", complete: "file", doc: "default: stdin" },
    platform: { type: "string", value: "OS/ARCH[/VARIANT]", doc: "default: this host's" },
    "all-platforms": { type: "boolean", doc: "keep the images of all platforms, for save and push; one is unpacked" },
    quiet: { type: "boolean", short: "q", doc: "do not show progress" },
  },
  run: async (context, _args, flags) => {
    if (flags.input === undefined && process.stdin.isTTY) {
      throw usageError("requested load from stdin, but stdin is a terminal", "load", 1);
    }
    const engine = await context.engine();
    using router = routeSignals();
    const progress = flags.quiet ? undefined : context.progress();
    const loaded = await engine.load(flags.input ?? "-", {
      platform: flags.platform,
      allPlatforms: flags["all-platforms"],
      signal: router.signal,
      onProgress: progress?.onProgress,
    });
    progress?.end();
    const lines = loaded.flatMap((image) =>
      image.names.length === 0
        ? [`Loaded image ID: ${image.id}\n`]
        : image.names.map((name) => `Loaded image: ${familiarName(name)}\n`),
    );
    return { text: lines.join("") };
  },
});
