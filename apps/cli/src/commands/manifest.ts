import { type Context, command } from "../command.ts";
import { routeSignals } from "../session/signals.ts";
import { keyValues } from "./push.ts";

const indexesOf = async (context: Context) => (await context.engine()).remotes.indexes();

export const manifestCreate = command({
  name: "manifest create",
  args: ["LIST", "IMAGE..."],
  doc: "begin a manifest list of images that are in registries",
  example: "berth manifest create 127.0.0.1:5000/app:1 127.0.0.1:5000/app:1-amd64 127.0.0.1:5000/app:1-arm64",
  flags: { amend: { type: "boolean", short: "a", doc: "add to a list that was begun" } },
  run: async (context, [list = "", ...images], flags) => {
    const name = await (await indexesOf(context)).create(list, images, flags);
    return { text: `Created manifest list ${name}\n` };
  },
});

export const manifestAnnotate = command({
  name: "manifest annotate",
  args: ["LIST", "IMAGE"],
  doc: "change what a manifest list says of one of its images",
  example: "berth manifest annotate --arch arm --variant v7 127.0.0.1:5000/app:1 127.0.0.1:5000/app:1-arm",
  flags: {
    os: { type: "string", value: "OS", doc: "operating system" },
    arch: { type: "string", value: "ARCH", doc: "architecture" },
    variant: { type: "string", value: "VARIANT", doc: "variant of the architecture" },
    annotation: { type: "list", value: "KEY=VALUE", doc: "annotation of the image in the list" },
  },
  run: async (context, [list = "", image = ""], flags) => {
    const { os, arch: architecture, variant } = flags;
    const annotations = keyValues(flags.annotation, "--annotation");
    const indexes = await indexesOf(context);
    await indexes.annotate(list, image, { os, architecture, variant, annotations });
    return {};
  },
});

export const manifestInspect = command({
  name: "manifest inspect",
  args: ["NAME"],
  doc: "print a manifest list that was begun, else the manifest that the registry has",
  example: "berth manifest inspect docker.io/library/debian:12",
  flags: {},
  run: async (context, [name = ""]) => {
    using router = routeSignals();
    const text = await (await indexesOf(context)).inspect(name, router.signal);
    return { text: text.endsWith("\n") ? text : `${text}\n` };
  },
});

export const manifestPush = command({
  name: "manifest push",
  args: ["LIST"],
  doc: "upload a manifest list, with those of its images that the repository does not have",
  example: "berth manifest push --purge 127.0.0.1:5000/app:1",
  flags: { purge: { type: "boolean", short: "p", doc: "forget the list afterwards" } },
  run: async (context, [list = ""], flags) => {
    const indexes = await indexesOf(context);
    using router = routeSignals();
    const progress = context.progress();
    const { digest } = await indexes.push(list, {
      purge: flags.purge,
      signal: router.signal,
      onProgress: progress.onPush,
    });
    progress.end();
    return { text: `${digest}\n` };
  },
});

export const manifestRm = command({
  name: "manifest rm",
  args: ["LIST..."],
  doc: "forget manifest lists that were begun",
  example: "berth manifest rm 127.0.0.1:5000/app:1",
  flags: {},
  run: async (context, lists) => {
    const indexes = await indexesOf(context);
    for (const list of lists) await indexes.remove(list);
    return {};
  },
});
