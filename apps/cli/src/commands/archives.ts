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
    quiet: { type: "boolean", short: "q", doc: "for podman's sake: nothing is printed" },
  },
  run: async (context, refs, flags) => {
    const target = saveTarget(context, flags.format ?? "oci-archive", flags.output);
    const engine = await context.engine();
    using router = routeSignals();
    await engine.save(refs, target, router.signal);
    return {};
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
