/** berth against skopeo: an image of Debian's size goes up to a registry on loopback. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BERTH, type Contender, interleave, missing, run } from "../measure.ts";
import { printComparison } from "../report.ts";

const ROUNDS = 10;
const LAYERS = 5;
const LAYER_BYTES = 24_000_000;

export async function imagesCase(): Promise<boolean> {
  const skip = missing("docker-registry");
  if (skip !== undefined) {
    console.log(`\npush is left out: ${skip}`);
    return true;
  }
  const dir = mkdtempSync(join(tmpdir(), "berth-bench-"));
  const registry = await startRegistry(dir);
  try {
    return pushCase(dir, registry.host);
  } finally {
    registry.child.kill("SIGKILL");
    rmSync(dir, { recursive: true, force: true });
  }
}

function pushCase(dir: string, host: string): boolean {
  const layout = makeLayout(dir);
  const berth = [BERTH, "--root", join(dir, "root"), "--run-root", join(dir, "run")];
  const [program = "", ...roots] = berth;
  run(program, ...roots, "load", "-q", "-i", layout);
  run(program, ...roots, "tag", "big", `${host}/berth:1`);
  // The registry has nothing of the image before each round.
  const fresh = (command: string): readonly string[] => ["sh", "-c", `rm -rf ${dir}/storage/docker; exec ${command}`];
  const copy = "skopeo copy --quiet --insecure-policy --dest-tls-verify=false";
  const contenders: Contender[] = [
    { name: "berth push", commands: [fresh(`${berth.join(" ")} push -q ${host}/berth:1`)] },
    {
      name: "skopeo copy",
      skip: missing("skopeo"),
      commands: [fresh(`${copy} oci:${layout}:big docker://${host}/skopeo:1`)],
    },
  ];
  return printComparison(
    `push of ${LAYERS} layers, 120 MB, to docker-registry`,
    contenders,
    interleave(contenders, ROUNDS),
    [{ ours: "berth push", peer: "skopeo copy", what: "wall", atMost: 0.7 }],
  );
}

/** An OCI layout with an image of incompressible layers. */
function makeLayout(dir: string): string {
  const layout = join(dir, "layout");
  mkdirSync(join(layout, "blobs/sha256"), { recursive: true });
  const put = (bytes: Buffer): { digest: string; size: number } => {
    const hex = createHash("sha256").update(bytes).digest("hex");
    writeFileSync(join(layout, "blobs/sha256", hex), bytes);
    return { digest: `sha256:${hex}`, size: bytes.length };
  };
  const layers = Array.from({ length: LAYERS }, (_, i) => {
    writeFileSync(join(dir, `file${i}`), randomBytes(LAYER_BYTES));
    const tar = spawnSync("tar", ["-C", dir, "-cf", "-", `file${i}`], { maxBuffer: 1 << 26 }).stdout;
    return { mediaType: "application/vnd.oci.image.layer.v1.tar", ...put(tar) };
  });
  const architecture = process.arch === "x64" ? "amd64" : process.arch;
  const rootfs = { type: "layers", diff_ids: layers.map(({ digest }) => digest) };
  const config = put(Buffer.from(JSON.stringify({ architecture, os: "linux", rootfs })));
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const configType = "application/vnd.oci.image.config.v1+json";
  const manifest = put(
    Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config: { mediaType: configType, ...config }, layers })),
  );
  const annotations = { "org.opencontainers.image.ref.name": "big" };
  writeFileSync(join(layout, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(
    join(layout, "index.json"),
    JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType, ...manifest, annotations }] }),
  );
  return layout;
}

async function startRegistry(dir: string): Promise<{ readonly host: string; readonly child: ChildProcess }> {
  const host = `127.0.0.1:${await freePort()}`;
  const config = join(dir, "registry.yml");
  mkdirSync(join(dir, "storage"));
  const storage = `storage: {filesystem: {rootdirectory: ${dir}/storage}}`;
  writeFileSync(config, ["version: 0.1", "log: {level: error}", storage, `http: {addr: ${host}}`].join("\n"));
  const child = spawn("docker-registry", ["serve", config], { stdio: "ignore" });
  for (let tries = 0; tries < 200; tries++) {
    const isUp = await fetch(`http://${host}/v2/`).then(
      (answer) => answer.ok,
      () => false,
    );
    if (isUp) return { host, child };
    await new Promise((done) => setTimeout(done, 50));
  }
  child.kill("SIGKILL");
  throw new Error("docker-registry does not answer");
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  await new Promise((done) => server.close(done));
  return typeof address === "object" && address !== null ? address.port : 0;
}
