import { readFileSync } from "node:fs";
import { BerthError, errnoOf } from "@berth/base";
import { isLoopback } from "@berth/engine";
import { command } from "../command.ts";
import { usageError } from "../errors.ts";
import { routeSignals } from "../session/signals.ts";

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
    if (!isLoopback(host)) warn(context.notice, tls !== undefined, flags.htpasswd !== undefined);
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
