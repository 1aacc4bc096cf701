/** `images` with a thousand images, which both programs load from the same archive. */
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BERTH, type Contender, interleave, run } from "../measure.ts";
import { printComparison } from "../report.ts";
import { startDocker } from "./peers.ts";

const IMAGES = 1000;
const ROUNDS = 20;

export async function listingRow(dir: string): Promise<boolean> {
  const archive = makeArchive(join(dir, "thousand"));
  const berth = [BERTH, "--root", join(dir, "list-root"), "--run-root", join(dir, "list-run")];
  const [program = "", ...roots] = berth;
  run(program, ...roots, "load", "-q", "-i", archive);
  const docker = await startDocker(join(dir, "list-docker"));
  try {
    if (docker.skip === undefined) run("docker", ...docker.client.slice(1), "load", "-q", "-i", archive);
    const contenders: Contender[] = [
      { name: "berth images", commands: [[...berth, "images"]] },
      { name: "docker images", skip: docker.skip, commands: [[...docker.client, "images"]] },
    ];
    return printComparison(`images, of ${IMAGES}`, contenders, interleave(contenders, ROUNDS), [
      { ours: "berth images", peer: "docker images", what: "wall", atMost: 1 },
    ]);
  } finally {
    docker.stop();
  }
}

/** A docker archive whose images have one layer in common. */
function makeArchive(dir: string): string {
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, "file"), "content\n");
  run("tar", "-C", dir, "-cf", join(dir, "layer.tar"), "file");
  const diffId = `sha256:${run("sha256sum", join(dir, "layer.tar")).slice(0, 64)}`;
  const architecture = process.arch === "x64" ? "amd64" : process.arch;
  const manifest = Array.from({ length: IMAGES }, (_, i) => {
    const created = new Date(1_700_000_000_000 + i * 60_000).toISOString();
    const config = JSON.stringify({
      architecture,
      os: "linux",
      created,
      rootfs: { type: "layers", diff_ids: [diffId] },
    });
    const name = `${createHash("sha256").update(config).digest("hex")}.json`;
    writeFileSync(join(dir, name), config);
    return { Config: name, RepoTags: [`bench/image${i}:1`], Layers: ["layer.tar"] };
  });
  writeFileSync(join(dir, "manifest.json"), JSON.stringify(manifest));
  run("sh", "-c", 'cd "$1" && rm file && tar -cf ../thousand.tar *', "sh", dir);
  return `${dir}.tar`;
}
