import type { Migration, State } from "./types.ts";

/**
 * Opens or creates the database at `path` and brings its schema up to `migrations` (all packages' lists joined).
 *
 * @throws {BerthError} FailedPrecondition if a newer version of Berth made it
 */
export function openState(path: string, migrations: readonly Migration[]): State {
  throw new Error(`not there yet: ${path} ${migrations.length}`);
}
