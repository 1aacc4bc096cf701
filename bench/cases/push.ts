/** berth, skopeo and docker send the same image to a registry that has nothing of it. */
import { join } from "node:path";
import { BERTH, type Contender, interleave, missing, run } from "../measure.ts";
import { printComparison } from "../report.ts";
import { type Layer, writeLayout } from "./fixtures.ts";
import { startDocker } from "./peers.ts";

const ROUNDS = 5;

export async function pushRow(dir: string, host: string, layers: readonly Layer[]): Promise<boolean> {
  const layout = join(dir, "layout");
  writeLayout(layout, "big", layers);
  const berth = [BERTH, "--root", join(dir, "push-root"), "--run-root", join(dir, "push-run")];
  const [program = "", ...roots] = berth;
  run(program, ...roots, "load", "-q", "-i", layout);
  run(program, ...roots, "tag", "big", `${host}/push-berth:1`);
  const docker = await startDocker(join(dir, "push-docker"));
  try {
    if (docker.skip === undefined) {
      run("docker", ...docker.client.slice(1), "pull", "-q", `${host}/system:1`);
      run("docker", ...docker.client.slice(1), "tag", `${host}/system:1`, `${host}/push-docker:1`);
    }
    // The registry has nothing of the image before each round.
    const storage = join(dir, "../storage/docker/registry/v2");
    const fresh = [["sh", "-c", `rm -rf ${storage}/repositories/push-* ${storage}/blobs/sha256/*`]];
    const copy = ["skopeo", "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"];
    const contenders: Contender[] = [
      { name: "berth push", prepare: fresh, commands: [[...berth, "push", "-q", `${host}/push-berth:1`]] },
      {
        name: "skopeo copy",
        skip: missing("skopeo"),
        prepare: fresh,
        commands: [[...copy, `oci:${layout}:big`, `docker://${host}/push-skopeo:1`]],
      },
      {
        name: "docker push",
        skip: docker.skip,
        prepare: fresh,
        commands: [[...docker.client, "push", "-q", `${host}/push-docker:1`]],
      },
    ];
    const title = "push of the same image to docker-registry";
    return printComparison(title, contenders, interleave(contenders, ROUNDS, 1), [
      { ours: "berth push", peer: "skopeo copy", what: "wall", atMost: 0.7 },
      { ours: "berth push", peer: "docker push", what: "wall", atMost: 0.7 },
    ]);
  } finally {
    docker.stop();
  }
}
