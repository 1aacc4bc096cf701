import type { ArchiveFormat, SaveTarget } from "@berth/engine";
import { type Context, command } from "../command.ts";
import { badValue, usageError } from "../errors.ts";
import { routeSignals } from "../session/signals.ts";

export const save = command({
  name: "save",
  also: ["image save"],
  args: ["IMAGE..."],
  doc: "write images, with their names, to an archive or an OCI layout",
  example: "berth save -o images.tar docker.io/library/debian:12 app:1",
  flags: {
    output: { type: "string", short: "o", value: "FILE", complete: "file", doc: "file, or directory; default: stdout" },
    format: {
      type: "string",
      choices: ["oci-archive", "oci-dir", "docker-archive"],
      doc: "oci-archive (the default) keeps all digests, and docker load reads it too; docker-archive has plain layers",
    },
    platform: { type: "string", value: "OS/ARCH[/VARIANT]", doc: "default: the one that is unpacked here" },
    "all-platforms": { type: "boolean", doc: "the whole index, with all that it leads to" },
    quiet: { type: "boolean", short: "q", doc: "for podman's sake: nothing is printed" },
  },
  run: async (context, refs, flags) => {
    const { platform, format = "oci-archive" } = flags;
    const allPlatforms = flags["all-platforms"];
    if (allPlatforms && format === "docker-archive") {
      throw badValue(format, "--format", "a docker archive holds one platform: use oci-archive or oci-dir");
    }
    const target = saveTarget(context, format, flags.output);
    const engine = await context.engine();
    using router = routeSignals();
    await engine.save(refs, target, { platform, allPlatforms, signal: router.signal });
    return {};
  },
});

export const exportCommand = command({
  name: "export",
  also: ["container export"],
  args: ["CONTAINER"],
  doc: "write a container's file system as a tar, without volumes and other mounts",
  example: "berth export -o root.tar web",
  flags: {
    output: { type: "string", short: "o", value: "FILE", complete: "file", doc: "default: stdout" },
  },
  run: async (context, [ref = ""], flags) => {
    if (flags.output === undefined) refuseTerminal("export");
    const target =
      flags.output === undefined
        ? ({ kind: "stream", write: context.stdout } as const)
        : ({ kind: "file", path: flags.output } as const);
    const engine = await context.engine();
    using router = routeSignals();
    await engine.export(ref, target, router.signal);
    return {};
  },
});

export const importCommand = command({
  name: "import",
  also: ["image import"],
  args: ["FILE|-", "[REPOSITORY[:TAG]]"],
  doc: "make an image from a root file system in a tar (plain, gzip or zstd)",
  example: "berth import -c 'CMD [\"/bin/sh\"]' root.tar app:1",
  flags: {
    change: { type: "list", short: "c", value: "INSTRUCTION", doc: "Dockerfile instruction such as 'ENV A=1'" },
    message: { type: "string", short: "m", doc: "comment in the image's history" },
    platform: { type: "string", value: "OS/ARCH[/VARIANT]", doc: "default: this host's" },
  },
  run: async (context, [path = "", name], flags) => {
    if (path === "-" && process.stdin.isTTY) {
      throw usageError("requested import from stdin, but stdin is a terminal", "import", 1);
    }
    const engine = await context.engine();
    using router = routeSignals();
    const { change, message, platform } = flags;
    const image = await engine.import(path, name, { changes: change, message, platform, signal: router.signal });
    return { text: `${image.id}\n` };
  },
});

function saveTarget(context: Context, format: string, output: string | undefined): SaveTarget {
  if (format === "oci-dir") {
    if (output === undefined) throw badValue(format, "--format", "a directory is needed: --output DIR");
    return { kind: "directory", path: output };
  }
  const archive = format as ArchiveFormat;
  if (output !== undefined) return { kind: "file", path: output, format: archive };
  refuseTerminal("save");
  return { kind: "stream", write: context.stdout, format: archive };
}

function refuseTerminal(name: string): void {
  if (!process.stdout.isTTY) return;
  throw usageError("cowardly refusing to write an archive to a terminal: use --output FILE or redirect it", name, 1);
}
