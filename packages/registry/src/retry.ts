import { setTimeout as sleep } from "node:timers/promises";
import { cancelled, TransientError } from "./errors.ts";

const ATTEMPTS = 5;
const FIRST_WAIT_MS = 200;
const MAX_WAIT_MS = 30_000;

/** How long to wait after failed attempt `attempt` (from 0): doubling, with jitter, or what the server asked for. */
export function planWait(attempt: number, retryAfterMs: number | undefined, random: number): number {
  const own = FIRST_WAIT_MS * 2 ** attempt * (0.5 + random / 2);
  return Math.min(Math.max(own, retryAfterMs ?? 0), MAX_WAIT_MS);
}

/** Waits before another attempt, or throws the error that the user shall see when none is left. */
export async function backOff(error: unknown, attempt: number, signal: AbortSignal | undefined): Promise<void> {
  if (!(error instanceof TransientError)) throw error;
  if (attempt >= ATTEMPTS - 1) throw error.final;
  const ms = planWait(attempt, error.retryAfterMs, Math.random());
  try {
    await sleep(ms, undefined, signal === undefined ? {} : { signal });
  } catch (stopped) {
    throw cancelled(error.final.message, stopped);
  }
}

/** Does something until it succeeds, fails for good, or has failed too often. */
export async function persist<T>(signal: AbortSignal | undefined, body: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await body();
    } catch (error) {
      await backOff(error, attempt, signal);
    }
  }
}
