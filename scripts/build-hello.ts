/** Builds dist/hello.tar: the image berth.local/hello as an OCI image layout, from this machine's static busybox. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { type TarEntry, writeTar } from "./tar.ts";

const ROOT = resolve(import.meta.dirname, "..");
const BUSYBOX = "/bin/busybox";
const NAME = "berth.local/hello:latest";
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
}

const sha256 = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");

/** The root file system: busybox under all its names, the greeting, and what a shell user expects to find. */
function rootfs(): TarEntry[] {
  const applets = execFileSync(BUSYBOX, ["--list"], { encoding: "utf8" }).split("\n");
  const text = (path: string, data: string): TarEntry => ({ kind: "file", path, mode: 0o644, data });
  return [
    ...["bin", "dev", "etc", "proc", "root", "sys", "usr", "usr/bin", "var"].map(
      (path): TarEntry => ({ kind: "directory", path, mode: path === "root" ? 0o700 : 0o755 }),
    ),
    { kind: "directory", path: "tmp", mode: 0o1777 },
    { kind: "file", path: "bin/busybox", mode: 0o755, data: readFileSync(BUSYBOX) },
    ...applets
      .filter((name) => name !== "" && name !== "busybox")
      .sort()
      .map((name): TarEntry => ({ kind: "symlink", path: `bin/${name}`, target: "busybox" })),
    { kind: "symlink", path: "usr/bin/env", target: "/bin/busybox" },
    text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
    text("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    { kind: "file", path: "hello", mode: 0o755, data: readFileSync(join(ROOT, "scripts/hello.sh")) },
  ];
}

/** The image layout of one image with one layer. */
function layout(): Buffer {
  const layer = writeTar(rootfs());
  const blobs: TarEntry[] = [];
  const add = (mediaType: string, data: Buffer): Descriptor => {
    const hex = sha256(data);
    blobs.push({ kind: "file", path: `blobs/sha256/${hex}`, mode: 0o644, data });
    return { mediaType, digest: `sha256:${hex}`, size: data.length };
  };
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  const config = {
    architecture: ARCHITECTURES[process.arch] ?? process.arch,
    os: "linux",
    created: "1970-01-01T00:00:00Z",
    config: { Env: ["PATH=/bin"], Cmd: ["/hello"], WorkingDir: "/" },
    rootfs: { type: "layers", diff_ids: [`sha256:${sha256(layer)}`] },
    history: [{ created: "1970-01-01T00:00:00Z", created_by: "scripts/build-hello.ts" }],
  };
  const manifest = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: add("application/vnd.oci.image.config.v1+json", json(config)),
    layers: [add("application/vnd.oci.image.layer.v1.tar+gzip", gzipSync(layer, { level: 9 }))],
  };
  const index = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [
      {
        ...add(manifest.mediaType, json(manifest)),
        platform: { architecture: config.architecture, os: config.os },
        annotations: { "org.opencontainers.image.ref.name": NAME, "io.containerd.image.name": NAME },
      },
    ],
  };
  return writeTar([
    { kind: "file", path: "oci-layout", mode: 0o644, data: json({ imageLayoutVersion: "1.0.0" }) },
    { kind: "file", path: "index.json", mode: 0o644, data: json(index) },
    { kind: "directory", path: "blobs", mode: 0o755 },
    { kind: "directory", path: "blobs/sha256", mode: 0o755 },
    ...blobs,
  ]);
}

const output = join(ROOT, "dist/hello.tar");
writeFileSync(`${output}.new`, layout());
renameSync(`${output}.new`, output);
