import { readFileSync } from "node:fs";
import { BerthError, errnoOf, formatBytes } from "@berth/base";
import { command } from "../command.ts";
import { usageError } from "../errors.ts";
import { formatTable } from "../print/table.ts";
import { routeSignals } from "../session/signals.ts";
import { forEach } from "./each.ts";

const DEFAULT_ADDRESS = "127.0.0.1:5000";

export const registryServe = command({
  name: "registry serve",
  args: [],
  doc: "serve repositories of this data root as an OCI registry, until interrupted",
  example: "berth registry serve --listen 127.0.0.1:5000",
  flags: {
    listen: {
      type: "string",
      short: "l",
      value: "[ADDRESS:]PORT",
      doc: `where to listen; default: ${DEFAULT_ADDRESS}; port 0 takes any free one`,
    },
    "tls-cert": { type: "string", value: "FILE", complete: "file", doc: "PEM certificate with its chain: speak TLS" },
    "tls-key": { type: "string", value: "FILE", complete: "file", doc: "PEM key of the certificate" },
    htpasswd: { type: "string", value: "FILE", complete: "file", doc: "let in only users of this file (htpasswd -B)" },
    "read-only": { type: "boolean", doc: "refuse everything that changes a repository" },
    "require-blobs": { type: "boolean", doc: "refuse manifests that name blobs which were not pushed before" },
  },
  run: async (context, _args, flags) => {
    const { host, port } = parseAddress(flags.listen ?? DEFAULT_ADDRESS);
    const tls = readTls(flags["tls-cert"], flags["tls-key"]);
    const engine = await context.engine();
    const { openRegistryServer } = await import("@berth/registry-server");
    using router = routeSignals();
    await using server = await openRegistryServer({
      repositories: engine.repositories,
      collect: () => engine.collect(),
      host,
      port,
      tls,
      htpasswd: flags.htpasswd,
      readOnly: flags["read-only"],
      requireBlobs: flags["require-blobs"],
      onFault: (line) => context.notice(`berth: ${line}\n`),
    });
    if (!server.isLocal) warn(context.notice, tls !== undefined, flags.htpasswd !== undefined);
    context.notice(`serving on ${server.url}\n`);
    await aborted(router.signal);
    return {};
  },
});

function warn(notice: (text: string) => void, hasTls: boolean, hasUsers: boolean): void {
  if (!hasUsers)
    notice("warning: everybody who reaches this address may read and change its repositories (--htpasswd)\n");
  if (!hasTls) notice("warning: without TLS everybody on the way can read and change what is sent (--tls-cert)\n");
}

function parseAddress(text: string): { readonly host: string; readonly port: number } {
  const match = /^(?:(\[[0-9a-fA-F:.]+\]|[^:[\]]*):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[2] ?? -1);
  if (match === null || port > 65_535) throw usageError(`"${text}" is no address with a port`, "registry serve", 1);
  const host = match[1]?.replace(/^\[|\]$/g, "");
  // A port alone must not open the registry to the world.
  return { host: host === undefined ? "127.0.0.1" : host === "" ? "0.0.0.0" : host, port };
}

function readTls(cert: string | undefined, key: string | undefined): { cert: string; key: string } | undefined {
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined) {
    throw usageError("--tls-cert and --tls-key belong together", "registry serve", 1);
  }
  return { cert: readText(cert), key: readText(key) };
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const errno = errnoOf(error) ?? "failed";
    throw new BerthError(errno === "ENOENT" ? "NotFound" : "PermissionDenied", `read ${path}: ${errno}`, {
      cause: error,
    });
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    // Nothing else may keep the process up while it waits: the server's sockets do.
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

export const registryTags = command({
  name: "registry tags",
  args: ["REPOSITORY"],
  doc: "list the tags that a registry has of a repository",
  example: "berth registry tags docker.io/library/debian",
  flags: {},
  run: async function* (context, [repository = ""]) {
    const engine = await context.engine();
    using router = routeSignals();
    for await (const tag of engine.remotes.tags(repository, router.signal)) yield { to: "stdout", data: `${tag}\n` };
    return 0;
  },
});

export const registryRm = command({
  name: "registry rm",
  args: ["NAME..."],
  doc: "delete tags, or manifests by digest, in their registry",
  example: "berth registry rm 127.0.0.1:5000/app:old",
  flags: {},
  run: async (context, names) => {
    const engine = await context.engine();
    return forEach(context, names, async (name) => {
      await engine.remotes.remove(name);
      return `${name}\n`;
    });
  },
});

export const registryReferrers = command({
  name: "registry referrers",
  args: ["IMAGE"],
  doc: "list what refers to an image in its registry: signatures, bills of materials and so on",
  example: "berth registry referrers --type application/vnd.example.sbom 127.0.0.1:5000/app:1",
  flags: {
    type: { type: "string", value: "TYPE", doc: "only artifacts of this type" },
    format: { type: "string", value: "FORMAT", choices: ["table", "json"], doc: "default: table" },
  },
  run: async (context, [name = ""], flags) => {
    const engine = await context.engine();
    using router = routeSignals();
    const found = await engine.remotes.referrers(name, { artifactType: flags.type, signal: router.signal });
    if (flags.format === "json") return { text: found.map((one) => `${JSON.stringify(one)}\n`).join("") };
    const rows = found.map(({ digest, artifactType = "", size }) => [digest, formatBytes(size), artifactType]);
    return { text: formatTable([["DIGEST", "SIZE", "TYPE"], ...rows]) };
  },
});
