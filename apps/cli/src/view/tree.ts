import { formatBytes, shortId } from "@berth/base";
import type { Image, ImageSummary } from "@berth/engine";
import type { ImageRow } from "./images.ts";

interface Node {
  readonly digest: string;
  readonly sizeBytes: number;
  readonly names: string[];
  readonly below: Map<string, Node>;
}

/** Layers as a tree, lowest outermost; the images' names are at their top layers. */
export function imageTree(
  rows: readonly ImageRow[],
  layersOf: (image: ImageSummary) => Image["layers"],
  noTrunc: boolean,
): string {
  const roots = new Map<string, Node>();
  for (const { image, repository, tag } of rows) {
    let level = roots;
    let top: Node | undefined;
    for (const { digest, size } of layersOf(image)) {
      top = level.get(digest) ?? { digest, sizeBytes: size, names: [], below: new Map() };
      level.set(digest, top);
      level = top.below;
    }
    top?.names.push(tag === "<none>" ? `${repository} (${shortId(image.id)})` : `${repository}:${tag}`);
  }
  return lines(roots, "", noTrunc).join("");
}

function lines(level: ReadonlyMap<string, Node>, indent: string, noTrunc: boolean): readonly string[] {
  const nodes = [...level.values()];
  return nodes.flatMap((node, i) => {
    const isLast = i === nodes.length - 1;
    const id = noTrunc ? node.digest : shortId(node.digest);
    const names = node.names.length === 0 ? "" : `  ${node.names.join(", ")}`;
    const own = `${indent}${isLast ? "└─" : "├─"} ${id} ${formatBytes(node.sizeBytes, 3)}${names}\n`;
    return [own, ...lines(node.below, `${indent}${isLast ? "   " : "│  "}`, noTrunc)];
  });
}
