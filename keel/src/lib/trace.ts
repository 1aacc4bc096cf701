/** Who does a step: the runtime itself, or the container's first process before it becomes its program. */
export type Actor = "runtime" | "init";

let actor: Actor | "" = "";

/** `--trace`: from here on every step is told on stderr. Init begins anew in its own process. */
export function startTrace(by: Actor): void {
  actor = by;
}

export function isTracing(): boolean {
  return actor !== "";
}

/** Does one step; with a trace its name, time and result are told. */
export function traced<T>(op: string, action: () => T, detail?: () => string): T {
  if (actor === "") return action();
  const began = sys.clockMonotonicUs();
  const by = actor;
  const tell = (result: string): void => {
    const took = Math.round(sys.clockMonotonicUs() - began);
    sys.writeAll(
      2,
      `${pad(String(took), 7)} us  ${by === "init" ? "init   " : "runtime"}  ${op}${detail ? ` ${detail()}` : ""}: ${result}\n`,
    );
  };
  try {
    const value = action();
    tell("ok");
    return value;
  } catch (thrown) {
    tell((thrown as { message?: string }).message || "failed");
    throw thrown;
  }
}

function pad(text: string, width: number): string {
  let padded = text;
  while (padded.length < width) padded = ` ${padded}`;
  return padded;
}
