import type { Pushed } from "@berth/engine";
import { familiarName } from "@berth/oci";
import { command } from "../command.ts";
import { badValue } from "../errors.ts";
import { routeSignals } from "../session/signals.ts";

const CHUNK = {
  type: "bytes",
  value: "SIZE",
  doc: "send blobs in pieces of this size, each acknowledged; default: whole",
} as const;
const QUIET = { type: "boolean", short: "q", doc: "print the digest only" } as const;

const lines = (pushed: readonly Pushed[], quiet: boolean): string =>
  pushed
    .map(({ name, digest, size }) => {
      const tag = name.slice(name.lastIndexOf(":") + 1);
      return quiet ? `${digest}\n` : `${tag}: digest: ${digest} size: ${size}\n`;
    })
    .join("");

export const push = command({
  name: "push",
  also: ["image push"],
  args: ["IMAGE"],
  doc: "upload an image to its registry",
  example: "berth push 127.0.0.1:5000/app:1",
  flags: {
    "all-tags": { type: "boolean", short: "a", doc: "all images of the repository" },
    platform: { type: "string", value: "OS/ARCH[/VARIANT]", doc: "default: the one that is unpacked here" },
    "all-platforms": { type: "boolean", doc: "the whole index, with all that it leads to" },
    "chunk-size": CHUNK,
    quiet: QUIET,
  },
  run: async (context, [ref = ""], flags) => {
    const engine = await context.engine();
    using router = routeSignals();
    const progress = flags.quiet ? undefined : context.progress();
    const pushed = await engine.push(ref, {
      allTags: flags["all-tags"],
      platform: flags.platform,
      allPlatforms: flags["all-platforms"],
      chunkBytes: flags["chunk-size"],
      signal: router.signal,
      onProgress: progress?.onPush,
    });
    progress?.end();
    return { text: lines(pushed, flags.quiet) };
  },
});

export const tag = command({
  name: "tag",
  also: ["image tag"],
  args: ["SOURCE", "NAME"],
  doc: "give an image another name",
  example: "berth tag debian:12 127.0.0.1:5000/debian:12",
  flags: {},
  run: async (context, [source = "", name = ""]) => {
    (await context.engine()).tag(source, name);
    return {};
  },
});

export const copy = command({
  name: "copy",
  also: ["image copy"],
  args: ["SOURCE", "TARGET"],
  doc: "copy an image from registry to registry, with all its platforms, without unpacking it",
  example: "berth copy docker.io/library/debian:12 127.0.0.1:5000/debian:12",
  flags: {
    platform: { type: "string", value: "OS/ARCH[/VARIANT]", doc: "only the image of this platform" },
    referrers: { type: "boolean", doc: "and what refers to it: signatures, bills of materials" },
    "chunk-size": CHUNK,
    quiet: QUIET,
  },
  run: async (context, [source = "", target = ""], flags) => {
    const engine = await context.engine();
    using router = routeSignals();
    const progress = flags.quiet ? undefined : context.progress();
    const copied = await engine.remotes.copy(source, target, {
      platform: flags.platform,
      referrers: flags.referrers,
      chunkBytes: flags["chunk-size"],
      signal: router.signal,
      onProgress: progress?.onPush,
    });
    progress?.end();
    if (!flags.quiet) context.notice(`Copied to ${familiarName(copied.name)}\n`);
    return { text: lines([copied], flags.quiet) };
  },
});

/** `KEY=VALUE` of a flag that may be given again. */
export function keyValues(texts: readonly string[], flag: string): Readonly<Record<string, string>> | undefined {
  if (texts.length === 0) return undefined;
  return Object.fromEntries(
    texts.map((text) => {
      const equals = text.indexOf("=");
      if (equals < 1) throw badValue(text, flag, "write KEY=VALUE");
      return [text.slice(0, equals), text.slice(equals + 1)];
    }),
  );
}
