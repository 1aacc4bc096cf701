import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { file, tar } from "../../keel/test/tar-writer.ts";
import { tool } from "./harness.ts";

/** An OCI layout of small images made by umoci from busybox: name → tag in the layout. */
export function busyboxLayout(dir: string): string {
  const layout = join(dir, "layout");
  const busybox = existsSync("/bin/busybox") ? "/bin/busybox" : "/usr/bin/busybox";
  tool("umoci", "init", "--layout", layout);
  tool("umoci", "new", "--image", `${layout}:busybox`);
  const root = join(dir, "base");
  for (const sub of ["bin", "tmp", "etc", "www"]) mkdirSync(join(root, sub), { recursive: true });
  copyFileSync(busybox, join(root, "bin/busybox"));
  tool("chroot", root, "/bin/busybox", "--install", "-s", "/bin");
  writeFileSync(join(root, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33::/www:/bin/sh\n");
  writeFileSync(join(root, "etc/group"), "root:x:0:\nwww:x:33:\nextra:x:50:www\n");
  writeFileSync(join(root, "www/index.html"), "served from a container\n");
  writeFileSync(join(root, "etc/removed"), "x");
  chmodSync(join(root, "tmp"), 0o1777);
  const tar = join(dir, "base.tar");
  tool("tar", "-C", root, "-cf", tar, ".");
  tool("umoci", "raw", "add-layer", "--image", `${layout}:busybox`, tar);
  tool(
    "umoci",
    "config",
    "--image",
    `${layout}:busybox`,
    "--config.cmd",
    "sh",
    "--config.env",
    "PATH=/bin",
    "--config.label",
    "made.by=berth-test",
  );
  return layout;
}

/** Adds a layer on `from` that `change` makes in an unpacked root (umoci computes the whiteouts). */
export function derive(layout: string, from: string, to: string, change: (root: string) => void): void {
  const bundle = mkdtempSync(join(tmpdir(), "berth-umoci-"));
  tool("umoci", "unpack", "--image", `${layout}:${from}`, bundle);
  change(join(bundle, "rootfs"));
  tool("umoci", "repack", "--image", `${layout}:${to}`, bundle);
  rmSync(bundle, { recursive: true, force: true });
}

/** What a second layer may do: whiteout, opaque-like replacement, hard link to a lower file, set-id bit, symlink. */
export function changeEverything(root: string): void {
  rmSync(join(root, "etc/removed"));
  rmSync(join(root, "www"), { recursive: true });
  mkdirSync(join(root, "www"));
  writeFileSync(join(root, "www/new"), "new\n");
  linkSync(join(root, "etc/passwd"), join(root, "etc/passwd-link"));
  copyFileSync(join(root, "bin/busybox"), join(root, "bin/su-busybox"));
  chmodSync(join(root, "bin/su-busybox"), 0o4755);
  symlinkSync("/etc/passwd", join(root, "etc/abs"));
}

/** Puts an index of two platforms under `tag`: the present one as it is, and one that only differs in its config. */
export function twoPlatforms(layout: string, from: string, tag: string): void {
  const index = readJson(join(layout, "index.json"));
  const own = index.manifests.find((m: Loose) => m.annotations?.["org.opencontainers.image.ref.name"] === from);
  const manifest = readJson(blobPath(layout, own.digest));
  const config = readJson(blobPath(layout, manifest.config.digest));
  const present = config.architecture;
  const other = present === "amd64" ? "arm64" : "amd64";
  const otherConfig = putBlob(layout, { ...config, architecture: other });
  const otherManifest = putBlob(layout, { ...manifest, config: { ...manifest.config, ...otherConfig } });
  const list = putBlob(layout, {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [
      { mediaType: own.mediaType, ...otherManifest, platform: { os: "linux", architecture: other } },
      {
        mediaType: own.mediaType,
        digest: own.digest,
        size: own.size,
        platform: { os: "linux", architecture: present },
      },
    ],
  });
  index.manifests.push({
    mediaType: "application/vnd.oci.image.index.v1+json",
    ...list,
    annotations: { "org.opencontainers.image.ref.name": tag },
  });
  writeFileSync(join(layout, "index.json"), JSON.stringify(index));
}

// biome-ignore lint/suspicious/noExplicitAny: fixtures take image documents apart
type Loose = any;

function readJson(path: string): Loose {
  return JSON.parse(readFileSync(path, "utf8"));
}

export function blobPath(layout: string, digest: string): string {
  return join(layout, "blobs", digest.replace(":", "/"));
}

function putBlob(layout: string, value: unknown): { digest: string; size: number } {
  return putBytes(layout, Buffer.from(JSON.stringify(value)));
}

function putBytes(layout: string, bytes: Uint8Array): { digest: string; size: number } {
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  writeFileSync(`${blobPath(layout, digest)}.tmp`, bytes);
  renameSync(`${blobPath(layout, digest)}.tmp`, blobPath(layout, digest));
  return { digest, size: bytes.length };
}

/** Adds `count` layers to an image: each a file `deep/N` and its number in `top`. */
export function deepen(layout: string, from: string, to: string, count: number): void {
  const index = readJson(join(layout, "index.json"));
  const named = (m: Loose): string => m.annotations?.["org.opencontainers.image.ref.name"];
  const own = index.manifests.find((m: Loose) => named(m) === from);
  const manifest = readJson(blobPath(layout, own.digest));
  const config = readJson(blobPath(layout, manifest.config.digest));
  for (let i = 0; i < count; i++) {
    const layer = putBytes(layout, tar(file(`deep/${i}`, `${i}\n`), file("top", `${i}\n`)));
    manifest.layers.push({ mediaType: "application/vnd.oci.image.layer.v1.tar", ...layer });
    config.rootfs.diff_ids.push(layer.digest);
  }
  delete config.history;
  manifest.config = { ...manifest.config, ...putBlob(layout, config) };
  const annotations = { "org.opencontainers.image.ref.name": to };
  index.manifests.push({ mediaType: own.mediaType, ...putBlob(layout, manifest), annotations });
  writeFileSync(join(layout, "index.json"), JSON.stringify(index));
}
