/**
 * What went wrong in container runtimes, what keel does about it, and which test shows it. Each `weaken` is a build of
 * keel without that guard, made by replacing a piece of its source, in which its test has to fail: `npm run mutants`.
 * docs/security-tests.md is written from this table.
 */
import { MOUNT_ROWS } from "./table-mounts.ts";
import { OTHER_ROWS } from "./table-rest.ts";
import type { Row } from "./types.ts";

export const ROWS: readonly Row[] = [...MOUNT_ROWS, ...OTHER_ROWS];
