import { BerthError, isCode } from "@berth/base";
import { persist } from "./retry.ts";
import type { Session } from "./session.ts";

/**
 * Asks the registry's root with the credentials.
 *
 * @throws {BerthError} Unauthenticated when they are wrong
 */
export async function checkLogin(session: Session, signal: AbortSignal | undefined): Promise<void> {
  const what = `log in to ${session.domain}`;
  try {
    await persist(signal, () => session.ask({ at: "", scope: "", ok: [200], what, signal }));
  } catch (error) {
    if (isCode(error, "Unauthenticated") || isCode(error, "PermissionDenied")) {
      throw new BerthError("Unauthenticated", `${what}: wrong user name or password`, { cause: error });
    }
    if (isCode(error, "NotFound")) {
      throw new BerthError("Unavailable", `${what}: there is no OCI registry`, { cause: error });
    }
    throw error;
  }
}
