import { formatBytes, shortId } from "@berth/base";
import type { PullProgress, PushProgress } from "@berth/engine";

/** Draws a pull or a push on stderr. */
export interface Progress {
  readonly onProgress: (event: PullProgress) => void;
  readonly onPush: (event: PushProgress) => void;
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

type State =
  | "Waiting"
  | "Downloading"
  | "Extracting"
  | "Pull complete"
  | "Already exists"
  | "Pushing"
  | "Pushed"
  | "Layer already exists"
  | "Mounted from another repository";

interface Layer {
  readonly size: number;
  state: State;
  doneBytes: number;
}

const MOVING: readonly State[] = ["Downloading", "Pushing"];
const FINISHED: readonly State[] = [
  "Pull complete",
  "Already exists",
  "Pushed",
  "Layer already exists",
  "Mounted from another repository",
];

/** What an event makes of a layer. */
const STATE_AFTER = {
  pull: { exists: "Already exists", download: "Downloading", unpack: "Extracting", done: "Pull complete" },
  push: {
    upload: "Pushing",
    exists: "Layer already exists",
    mounted: "Mounted from another repository",
    pushed: "Pushed",
  },
} as const;

/** An event as the state of one layer. */
interface Change {
  readonly digest: string;
  readonly state: State;
  readonly doneBytes: number | undefined;
}

/** Faster than this no eye can follow, and each redraw costs the pull time. */
const REDRAW_MS = 80;

/** A pull or push as docker draws it: one line per layer, with bars on a terminal. */
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
  const add = (blobs: readonly { readonly digest: string; readonly size: number }[]): void => {
    for (const { digest, size } of blobs) {
      if (!layers.has(digest)) layers.set(digest, { size, state: "Waiting", doneBytes: 0 });
    }
  };
  const change = ({ digest, state, doneBytes }: Change): void => {
    const layer = layers.get(digest);
    if (layer === undefined || !advance(layer, state, doneBytes ?? layer.doneBytes)) return;
    const finished = FINISHED.includes(state);
    if (options.terminal) {
      if (finished || options.now() - lastDraw >= REDRAW_MS) draw();
    } else if (finished) {
      options.write(`${shortId(digest)}: ${state}\n`);
    }
  };
  const doneOf = (event: object): number | undefined =>
    "doneBytes" in event ? (event.doneBytes as number) : undefined;
  return {
    onProgress: (event) => {
      if (event.kind === "resolved") add(event.layers);
      else change({ digest: event.digest, state: STATE_AFTER.pull[event.kind], doneBytes: doneOf(event) });
    },
    onPush: (event) => {
      if (event.kind === "planned") add(event.blobs);
      else change({ digest: event.digest, state: STATE_AFTER.push[event.kind], doneBytes: doneOf(event) });
    },
    end: () => options.terminal && layers.size > 0 && draw(),
  };
}

/** @returns whether anything changed */
function advance(layer: Layer, state: State, doneBytes: number): boolean {
  const isChange = layer.state !== state || (MOVING.includes(state) && layer.doneBytes !== doneBytes);
  layer.state = state;
  layer.doneBytes = doneBytes;
  return isChange;
}

function drawLayers(layers: ReadonlyMap<string, Layer>, options: ProgressOptions): readonly string[] {
  const { rows, columns } = options.size();
  const all = [...layers];
  // More lines than the terminal has cannot be redrawn: what is finished gives way first.
  const room = Math.max(1, rows - 2);
  const isDone = ([, layer]: readonly [string, Layer]): boolean => FINISHED.includes(layer.state);
  const shown = all.length <= room ? all : all.filter((layer) => !isDone(layer)).slice(0, room - 1);
  const lines = shown.map(([digest, layer]) => drawLayer(digest, layer, columns, options.colour));
  if (shown.length < all.length)
    lines.push(`${all.filter(isDone).length} of ${all.length} layers complete`.slice(0, columns - 1));
  return lines;
}

function drawLayer(digest: string, layer: Layer, columns: number, colour: boolean): string {
  const done = FINISHED.includes(layer.state);
  const paint = (text: string): string => (colour && done ? `\x1b[32m${text}\x1b[0m` : text);
  const head = `${shortId(digest)}: `;
  if (!MOVING.includes(layer.state)) return head + paint(layer.state.slice(0, Math.max(0, columns - 1 - head.length)));
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
