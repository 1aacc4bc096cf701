import { formatBytes, shortId } from "@berth/base";
import type { PullProgress } from "@berth/engine";

/** Draws a pull on stderr. */
export interface Progress {
  readonly onProgress: (event: PullProgress) => void;
  /** Leaves the last state on the screen. */
  end(): void;
}

export interface ProgressOptions {
  readonly write: (text: string) => void;
  /** Redraw lines in place; else one line per finished step. */
  readonly terminal: boolean;
  readonly colour: boolean;
  /** Of the terminal now. */
  readonly size: () => { readonly rows: number; readonly columns: number };
  readonly now: () => number;
}

interface Layer {
  readonly size: number;
  state: "Waiting" | "Downloading" | "Extracting" | "Pull complete" | "Already exists";
  doneBytes: number;
}

/** Faster than this no eye can follow, and each redraw costs the pull time. */
const REDRAW_MS = 80;

/** A pull as docker draws it: one line per layer, with bars on a terminal. */
export function createProgress(options: ProgressOptions): Progress {
  const layers = new Map<string, Layer>();
  let drawn = 0;
  let lastDraw = Number.NEGATIVE_INFINITY;
  const draw = (): void => {
    lastDraw = options.now();
    const lines = drawLayers(layers, options);
    options.write(`${drawn > 0 ? `\x1b[${drawn}A` : ""}${lines.map((line) => `\x1b[2K${line}\n`).join("")}`);
    drawn = lines.length;
  };
  const onProgress = (event: PullProgress): void => {
    if (event.kind === "resolved") {
      for (const { digest, size } of event.layers) {
        if (!layers.has(digest)) layers.set(digest, { size, state: "Waiting", doneBytes: 0 });
      }
      return;
    }
    const layer = layers.get(event.digest);
    if (layer === undefined || !advance(layer, event)) return;
    const finished = layer.state === "Pull complete" || layer.state === "Already exists";
    if (options.terminal) {
      if (finished || options.now() - lastDraw >= REDRAW_MS) draw();
    } else if (finished) {
      options.write(`${shortId(event.digest)}: ${layer.state}\n`);
    }
  };
  return { onProgress, end: () => options.terminal && layers.size > 0 && draw() };
}

/** @returns whether anything changed */
function advance(layer: Layer, event: Exclude<PullProgress, { kind: "resolved" }>): boolean {
  const before = layer.state;
  switch (event.kind) {
    case "exists":
      layer.state = "Already exists";
      return before !== layer.state;
    case "download": {
      const changed = layer.doneBytes !== event.doneBytes || before === "Waiting";
      layer.doneBytes = event.doneBytes;
      layer.state = "Downloading";
      return changed;
    }
    case "unpack":
      layer.state = "Extracting";
      return before !== layer.state;
    case "done":
      layer.state = "Pull complete";
      return before !== layer.state;
  }
}

function drawLayers(layers: ReadonlyMap<string, Layer>, options: ProgressOptions): readonly string[] {
  const { rows, columns } = options.size();
  const all = [...layers];
  // More lines than the terminal has cannot be redrawn: what is finished gives way first.
  const room = Math.max(1, rows - 2);
  const isDone = ([, layer]: readonly [string, Layer]): boolean =>
    layer.state === "Pull complete" || layer.state === "Already exists";
  const shown = all.length <= room ? all : all.filter((layer) => !isDone(layer)).slice(0, room - 1);
  const lines = shown.map(([digest, layer]) => drawLayer(digest, layer, columns, options.colour));
  if (shown.length < all.length)
    lines.push(`${all.filter(isDone).length} of ${all.length} layers complete`.slice(0, columns - 1));
  return lines;
}

function drawLayer(digest: string, layer: Layer, columns: number, colour: boolean): string {
  const done = layer.state === "Pull complete" || layer.state === "Already exists";
  const paint = (text: string): string => (colour && done ? `\x1b[32m${text}\x1b[0m` : text);
  const head = `${shortId(digest)}: `;
  if (layer.state !== "Downloading") return head + paint(layer.state.slice(0, Math.max(0, columns - 1 - head.length)));
  const sizes = ` ${formatBytes(layer.doneBytes, 4)}/${formatBytes(layer.size, 4)}`;
  const room = columns - 1 - head.length - layer.state.length - 1 - sizes.length - 2;
  const text = room < 10 ? `${layer.state}${sizes}` : `${layer.state} ${bar(layer, Math.min(50, room))}${sizes}`;
  return (head + text).slice(0, columns - 1);
}

function bar(layer: Layer, width: number): string {
  const share = layer.size === 0 ? 1 : Math.min(1, layer.doneBytes / layer.size);
  const filled = Math.floor(share * width);
  return `[${filled === width ? "=".repeat(width) : `${"=".repeat(filled)}>`.padEnd(width)}]`;
}
