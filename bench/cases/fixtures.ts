/** Images of the machine's own files, made alike at every call, as they lie in a registry. */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../measure.ts";

const CONFIG_TYPE = "application/vnd.oci.image.config.v1+json";
const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip";
const TAR = ["--numeric-owner", "--owner=0", "--group=0", "--mtime=@1700000000", "--format=gnu"];

interface Blob {
  readonly digest: string;
  readonly size: number;
}

export interface Layer extends Blob {
  /** The compressed file. */
  readonly path: string;
  readonly diffId: string;
  readonly tarBytes: number;
}

/** Sizes of the layers of an image like Debian's with some software on it, shares of the whole. */
const SHARES: readonly number[] = [0.4, 0.25, 0.2, 0.1, 0.05];

/** Five layers of files of /usr, `bytes` in all before compression; no file is in two of them. */
export function systemLayers(dir: string, bytes: number): readonly Layer[] {
  const find = ["/usr/bin", "/usr/lib", "/usr/share", "-xdev", "-type", "f", "-size", "-16M", "-printf", "%s %P %H\\n"];
  const files = run("find", ...find)
    .trim()
    .split("\n")
    .map((line) => line.split(" "))
    .filter((words) => words.length === 3)
    .map(([size, path, top]) => ({ size: Number(size), name: `${top}/${path}`.slice(1) }));
  // The order of the names' digests takes some of every kind; in a layer they stand as in a directory.
  const key = new Map(files.map(({ name }) => [name, createHash("sha256").update(dirOf(name)).digest("hex")]));
  files.sort((a, b) => ((key.get(a.name) ?? "") < (key.get(b.name) ?? "") ? -1 : 1));
  let next = 0;
  return SHARES.map((share, i) => {
    const names: string[] = [];
    for (let taken = 0; taken < share * bytes && next < files.length; next++) {
      taken += files[next]?.size ?? 0;
      names.push(files[next]?.name ?? "");
    }
    const list = join(dir, `layer${i}.list`);
    writeFileSync(list, `${withDirectories(names).join("\n")}\n`);
    return makeLayer(join(dir, `layer${i}`), ["-C", "/", "--no-recursion", "-T", list]);
  });
}

const dirOf = (name: string): string => name.slice(0, name.lastIndexOf("/"));

/** As tools write layers: each directory stands before what is in it. */
function withDirectories(names: readonly string[]): readonly string[] {
  const all = new Set<string>();
  for (const name of [...names].sort()) {
    const parts = name.split("/");
    for (let n = 1; n <= parts.length; n++) all.add(parts.slice(0, n).join("/"));
  }
  return [...all];
}

/** One layer of so many files of 100 to 4000 bytes, a hundred in a directory. */
export function smallFilesLayer(dir: string, count: number): Layer {
  const root = join(dir, "small");
  for (let i = 0; i < count; i++) {
    const place = join(root, `node_modules/package${Math.floor(i / 100)}`);
    if (i % 100 === 0) mkdirSync(place, { recursive: true });
    const line = `export const value${i} = ${JSON.stringify(createHash("sha256").update(String(i)).digest("hex"))};\n`;
    writeFileSync(join(place, `file${i}.js`), line.repeat(1 + (i % 40)));
  }
  return makeLayer(join(dir, "small-layer"), ["-C", root, "--sort=name", "node_modules"]);
}

/** One layer with one file of that many bytes, of which gzip saves a half. */
export function bigFileLayer(dir: string, bytes: number): Layer {
  const file = join(dir, `big-${bytes}`);
  const noise =
    'openssl enc -aes-128-ctr -nosalt -K 00 -iv 00 -in /dev/zero 2>/dev/null | basenc --base16 -w0 | head -c "$1"';
  run("sh", "-c", `(${noise}) > "$2"`, "sh", String(bytes), file);
  const layer = makeLayer(`${file}-layer`, ["-C", dir, `big-${bytes}`], 1);
  run("rm", file);
  return layer;
}

function makeLayer(path: string, tar: readonly string[], level = 6): Layer {
  run("tar", ...TAR, "-cf", `${path}.tar`, ...tar);
  const diffId = digestOf(`${path}.tar`);
  const tarBytes = statSync(`${path}.tar`).size;
  run("gzip", `-${level}`, "-n", "-f", `${path}.tar`);
  return { path: `${path}.tar.gz`, ...blobOf(`${path}.tar.gz`), diffId, tarBytes };
}

/** The image of these layers as an OCI layout at `dir`, for tools that read one, under the name `name`. */
export function writeLayout(dir: string, name: string, layers: readonly Layer[]): void {
  mkdirSync(join(dir, "blobs/sha256"), { recursive: true });
  const { config, manifest } = documentsOf(layers);
  const all = [config, manifest].map((text) => ({ text, digest: sha256(text) }));
  for (const { text, digest } of all) writeFileSync(blobPath(dir, digest), text);
  for (const { path, digest } of layers) run("cp", path, blobPath(dir, digest));
  const annotations = { "org.opencontainers.image.ref.name": name };
  const entry = { mediaType: MANIFEST_TYPE, digest: sha256(manifest), size: manifest.length, annotations };
  writeFileSync(join(dir, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(join(dir, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [entry] }));
}

/** Puts the image of these layers into a registry as `repository`:1. */
export async function pushFixture(host: string, repository: string, layers: readonly Layer[]): Promise<void> {
  const base = `http://${host}/v2/${repository}`;
  const { config, manifest } = documentsOf(layers);
  const upload = async (digest: string, body: Buffer): Promise<void> => {
    const opened = await fetch(`${base}/blobs/uploads/`, { method: "POST" });
    const place = new URL(opened.headers.get("location") ?? "", base);
    place.searchParams.set("digest", digest);
    await expectOk(
      await fetch(place, { method: "PUT", body, headers: { "content-type": "application/octet-stream" } }),
    );
  };
  for (const { digest, path } of layers) await upload(digest, readFileSync(path));
  await upload(sha256(config), Buffer.from(config));
  const headers = { "content-type": MANIFEST_TYPE };
  await expectOk(await fetch(`${base}/manifests/1`, { method: "PUT", body: manifest, headers }));
}

async function expectOk(answer: Response): Promise<void> {
  if (!answer.ok) throw new Error(`${answer.url}: ${answer.status} ${await answer.text()}`);
}

function documentsOf(layers: readonly Layer[]): { readonly config: string; readonly manifest: string } {
  const architecture = process.arch === "x64" ? "amd64" : process.arch;
  const rootfs = { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) };
  const config = JSON.stringify({ architecture, os: "linux", config: { Cmd: ["/bin/true"] }, rootfs });
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: { mediaType: CONFIG_TYPE, digest: sha256(config), size: config.length },
    layers: layers.map(({ digest, size }) => ({ mediaType: LAYER_TYPE, digest, size })),
  });
  return { config, manifest };
}

const sha256 = (text: string): string => `sha256:${createHash("sha256").update(text).digest("hex")}`;
const blobPath = (dir: string, digest: string): string => join(dir, "blobs/sha256", digest.slice(7));

function digestOf(path: string): string {
  return `sha256:${run("sha256sum", path).slice(0, 64)}`;
}

function blobOf(path: string): Blob {
  return { digest: digestOf(path), size: statSync(path).size };
}
