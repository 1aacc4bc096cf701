import { command } from "../command.ts";
import { routeSignals } from "../session/signals.ts";
import { keyValues } from "./push.ts";

export const artifactPush = command({
  name: "artifact push",
  args: ["NAME", "[FILE[:MEDIATYPE]...]"],
  doc: "upload files to a registry as one artifact",
  example: "berth artifact push --type application/vnd.example.sbom 127.0.0.1:5000/app:sbom sbom.json:application/json",
  flags: {
    type: { type: "string", value: "TYPE", doc: "what the artifact is; default: application/vnd.unknown.artifact.v1" },
    annotation: { type: "list", value: "KEY=VALUE", doc: "annotation of the artifact" },
    subject: { type: "string", value: "IMAGE", doc: "what it is about: an image of the same repository" },
    quiet: { type: "boolean", short: "q", doc: "print the digest only" },
  },
  run: async (context, [name = "", ...files], flags) => {
    const engine = await context.engine();
    using router = routeSignals();
    const progress = flags.quiet ? undefined : context.progress();
    const pushed = await engine.remotes.pushArtifact(name, files.map(parseFile), {
      artifactType: flags.type ?? "application/vnd.unknown.artifact.v1",
      annotations: keyValues(flags.annotation, "--annotation"),
      subject: flags.subject,
      signal: router.signal,
      onProgress: progress?.onPush,
    });
    progress?.end();
    return {
      text: flags.quiet ? `${pushed.digest}\n` : `${pushed.name}: digest: ${pushed.digest} size: ${pushed.size}\n`,
    };
  },
});

/** `path:type/subtype`; other colons belong to the path. */
function parseFile(text: string): { readonly path: string; readonly mediaType: string | undefined } {
  const match = /^(.+):([a-z0-9][\w.+-]*\/[\w.+-]+)$/.exec(text);
  return { path: match?.[1] ?? text, mediaType: match?.[2] };
}

export const artifactPull = command({
  name: "artifact pull",
  args: ["NAME"],
  doc: "download the files of an artifact",
  example: "berth artifact pull --output /tmp 127.0.0.1:5000/app:sbom",
  flags: {
    output: { type: "string", short: "o", value: "DIR", complete: "directory", doc: "where to; default: here" },
    overwrite: { type: "boolean", doc: "replace files that are there" },
  },
  run: async (context, [name = ""], flags) => {
    const engine = await context.engine();
    using router = routeSignals();
    const pulled = await engine.remotes.pullArtifact(name, {
      directory: flags.output ?? context.cwd,
      overwrite: flags.overwrite,
      signal: router.signal,
    });
    context.notice(`Digest: ${pulled.digest}\n`);
    return { text: pulled.files.map((path) => `${path}\n`).join("") };
  },
});
