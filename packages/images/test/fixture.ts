/** Images, a registry and a store for the system tests of this package. */
import { type ChildProcess, execFileSync, spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { startDockerRegistry } from "../../../test/docker-registry.ts";

export const KEEL: string = process.env["BERTH_KEEL"] ?? resolve(import.meta.dirname, "../../../keel/build/keel");
export const CHILD: string = join(import.meta.dirname, "child.ts");

/** Why the tests that unpack cannot run here, or false. */
export function whyNot(...tools: readonly string[]): string | false {
  if (process.getuid?.() !== 0) return "needs root: layers hold devices and owners";
  if (!existsSync(KEEL)) return "needs keel: node scripts/build.ts keel";
  const missing = tools.find((tool) => spawnSync("sh", ["-c", `command -v ${tool}`]).status !== 0);
  return missing === undefined ? false : `needs ${missing}`;
}

export interface Blob {
  readonly digest: string;
  readonly size: number;
}

/** An OCI layout that images are put into. */
export class Layout {
  readonly dir: string;
  readonly #manifests: unknown[] = [];

  constructor(dir: string) {
    this.dir = dir;
    mkdirSync(join(dir, "blobs/sha256"), { recursive: true });
    writeFileSync(join(dir, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  }

  path(digest: string): string {
    return join(this.dir, "blobs", digest.replace(":", "/"));
  }

  put(bytes: Uint8Array): Blob {
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    writeFileSync(this.path(digest), bytes);
    return { digest, size: bytes.length };
  }

  putJson(value: unknown): Blob {
    return this.put(Buffer.from(JSON.stringify(value)));
  }

  /** Adds the image of these directories' contents as layers, compressed as `suffixes` say in turn. */
  addImage(
    tag: string,
    dirs: readonly string[],
    change = (_config: Config): void => {},
    suffixes = ["+gzip", "+zstd", ""],
  ): Blob {
    const diffIds: string[] = [];
    const layers = dirs.map((dir, i) => {
      const tar = execFileSync("tar", ["-C", dir, "--numeric-owner", "-cf", "-", "."], { maxBuffer: 1 << 30 });
      diffIds.push(`sha256:${createHash("sha256").update(tar).digest("hex")}`);
      const suffix = suffixes[i % suffixes.length] ?? "";
      const bytes = suffix === "+gzip" ? gzipSync(tar) : suffix === "+zstd" ? zstdCompressSync(tar) : tar;
      return { mediaType: `application/vnd.oci.image.layer.v1.tar${suffix}`, ...this.put(bytes) };
    });
    const config = { architecture: ARCHITECTURE, os: "linux", rootfs: { type: "layers", diff_ids: diffIds } };
    change(config);
    const manifest = this.putJson({
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: { mediaType: "application/vnd.oci.image.config.v1+json", ...this.putJson(config) },
      layers,
    });
    this.name(tag, { mediaType: MANIFEST, ...manifest });
    return manifest;
  }

  name(tag: string, descriptor: object): void {
    this.#manifests.push({ ...descriptor, annotations: { "org.opencontainers.image.ref.name": tag } });
    writeFileSync(join(this.dir, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: this.#manifests }));
  }
}

export interface Config {
  architecture: string;
  os: string;
  rootfs: { type: string; diff_ids: string[] };
}

export const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const INDEX = "application/vnd.oci.image.index.v1+json";
export const ARCHITECTURE: string = process.arch === "x64" ? "amd64" : process.arch;

/** Three layers: files of every kind, incompressible data, and changes with whiteouts. */
export function makeTrees(dir: string): readonly string[] {
  const [base, data, change] = ["base", "data", "change"].map((name) => join(dir, name)) as [string, string, string];
  mkdirSync(join(base, "etc/sub"), { recursive: true });
  writeFileSync(join(base, "etc/one"), "one\n");
  linkSync(join(base, "etc/one"), join(base, "etc/hard"));
  symlinkSync("/etc/one", join(base, "etc/soft"));
  writeFileSync(join(base, "etc/gone"), "x");
  writeFileSync(join(base, "etc/sub/hidden"), "x");
  writeFileSync(join(base, "setuid"), "x");
  chmodSync(join(base, "setuid"), 0o4755);
  execFileSync("mknod", [join(base, "null"), "c", "1", "3"]);
  mkdirSync(join(data, "many"), { recursive: true });
  for (let i = 0; i < 300; i++) writeFileSync(join(data, `many/${i}`), `${i}\n`);
  writeFileSync(join(data, "big"), randomBytes(6_000_000));
  mkdirSync(join(change, "etc/sub"), { recursive: true });
  writeFileSync(join(change, "etc/.wh.gone"), "");
  writeFileSync(join(change, "etc/sub/.wh..wh..opq"), "");
  writeFileSync(join(change, "etc/sub/new"), "new\n");
  writeFileSync(join(change, "big2"), randomBytes(4_000_000));
  return [base, data, change];
}

/** docker-registry on a loopback port, its storage below `dir`. */
export class Registry implements AsyncDisposable {
  readonly host: string;
  readonly storage: string;
  readonly #child: ChildProcess;

  private constructor(host: string, storage: string, child: ChildProcess) {
    this.host = host;
    this.storage = storage;
    this.#child = child;
  }

  static async start(dir: string): Promise<Registry> {
    const { host, storage, child } = await startDockerRegistry(dir);
    return new Registry(host, storage, child);
  }

  /** Copies an image of a layout, with all platforms, to `name`. */
  fill(layout: Layout, tag: string, name: string): string {
    const args = ["copy", "--all", "--insecure-policy", "--quiet", "--dest-tls-verify=false"];
    execFileSync("skopeo", [...args, `oci:${layout.dir}:${tag}`, `docker://${this.host}/${name}`]);
    return `${this.host}/${name}`;
  }

  /** File in which the registry keeps a blob. */
  blobFile(digest: string): string {
    const hex = digest.slice("sha256:".length);
    return join(this.storage, "docker/registry/v2/blobs/sha256", hex.slice(0, 2), hex, "data");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((done) => this.#child.on("exit", done));
    this.#child.kill("SIGKILL");
    await ended;
  }
}

/** A directory that goes when disposed. */
export function scratch(): { readonly dir: string } & Disposable {
  const dir = mkdtempSync(join(tmpdir(), "berth-images-"));
  return { dir, [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }) };
}

/** Names in a directory of a data root that stand for something stored; the snapshotters' notes do not. */
export function stored(root: string, dir: string): readonly string[] {
  const path = join(root, dir);
  return existsSync(path) ? readdirSync(path).filter((name) => name !== "probe.json") : [];
}

/** Everything below `dir`, one line each: path, mode, owner, and content, target or device; times left out. */
export function listing(dir: string): readonly string[] {
  const names = readdirSync(dir, { recursive: true }) as string[];
  return names.sort().map((name) => {
    const path = join(dir, name);
    const stat = lstatSync(path);
    const what = stat.isFile()
      ? createHash("sha256").update(readFileSync(path)).digest("hex").slice(0, 12)
      : stat.isSymbolicLink()
        ? readlinkSync(path)
        : stat.rdev;
    return `${name} ${stat.mode.toString(8)} ${stat.uid}:${stat.gid} ${what}`;
  });
}

export const readJson = (path: string): unknown => JSON.parse(readFileSync(path, "utf8"));
