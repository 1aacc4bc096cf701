import { BerthError } from "@berth/base";

const SQLITE_BUSY = 5;
const SQLITE_READONLY = 8;
const SQLITE_IOERR = 10;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_CANTOPEN = 14;
const SQLITE_NOTADB = 26;

/** The primary result code of an error that SQLite reported, or undefined. */
export function sqliteCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("errcode" in error) || typeof error.errcode !== "number") return undefined;
  return error.errcode & 0xff;
}

/** True when another connection has the lock. */
export function isBusy(error: unknown): boolean {
  return sqliteCode(error) === SQLITE_BUSY;
}

/** What the user can act on of SQLite's errors as BerthError; anything else is returned as it is. */
export function translate(error: unknown, path: string): unknown {
  const cause = error instanceof Error ? error.message : String(error);
  const fail = (code: ConstructorParameters<typeof BerthError>[0], hint: string): BerthError =>
    new BerthError(code, `use database ${path}: ${cause}`, { hint, cause: error });
  switch (sqliteCode(error)) {
    case SQLITE_BUSY:
      return fail("Unavailable", "another process keeps the database locked; try again");
    case SQLITE_IOERR:
      return fail("Unavailable", "the disk is full or failing: free space, and look into the kernel's log");
    case SQLITE_FULL:
      return fail("ResourceExhausted", "the disk is full: free space on its file system");
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
      return fail("PermissionDenied", "run as the user who owns the data directory, usually root");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return fail("DataLoss", "restore the file from a backup, or move the data directory away to start afresh");
    default:
      return error;
  }
}

/** The database has migrations that this program does not know. */
export const newerDatabase = (path: string, unknown: readonly string[]): BerthError =>
  new BerthError(
    "FailedPrecondition",
    `open database ${path}: a newer version of Berth made it (${unknown.join(", ")})`,
    {
      hint: "use that version, or another data directory",
    },
  );

/** A lease was not released in time. */
export const leaseTimeout = (name: string, owner: string, timeoutMs: number): BerthError =>
  new BerthError(
    "DeadlineExceeded",
    `wait for lease ${name}: process ${owner.split(":")[0]} held it for ${timeoutMs} ms`,
    {
      hint: "wait for that process to finish, or end it",
      details: { owner },
    },
  );
