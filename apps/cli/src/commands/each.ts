import type { Chunk, Context } from "../command.ts";
import { describeError, exitCodeFor } from "../errors.ts";

/**
 * Does the same to several objects: what `act` returns goes to stdout, an error to stderr and on to the next one.
 *
 * @param together all at once, for what waits; else one after the other
 */
export async function* forEach(
  context: Context,
  refs: readonly string[],
  act: (ref: string) => Promise<string>,
  together = false,
): AsyncGenerator<Chunk, number> {
  const attempt = async (ref: string): Promise<Chunk & { readonly code: number }> => {
    try {
      return { to: "stdout", data: await act(ref), code: 0 };
    } catch (error) {
      return { to: "stderr", data: describeError(error, context.debug), code: exitCodeFor(error, false) };
    }
  };
  const running = together ? refs.map(attempt) : [];
  let code = 0;
  for (const [i, ref] of refs.entries()) {
    const done = await (running[i] ?? attempt(ref));
    yield done;
    if (done.code !== 0) code = done.code;
  }
  return code;
}
