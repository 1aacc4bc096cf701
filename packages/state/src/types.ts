import type { DatabaseSync } from "node:sqlite";

/** One step of the schema; the missing ones run in one transaction. `package` + `id` is unique, ids grow within a package. */
export interface Migration {
  readonly package: string;
  readonly id: number;
  readonly name: string;
  readonly sql: string;
}

/** The SQLite file of one data root, opened with WAL. Several processes may have it open. */
export interface State extends Disposable {
  readonly db: DatabaseSync;
  /**
   * BEGIN IMMEDIATE … COMMIT; rolls back when `body` throws. `body` must be synchronous. Nested calls join the outer one.
   * `durable`: on disk when it returns (else after a power cut the last ones may be missing, never half done): for rows
   * that go before what they name is removed.
   */
  transaction<T>(body: () => T, options?: { readonly durable?: boolean }): T;
  /**
   * Takes the named lease for this process (pid + start time) or waits for the holder to release it or die, at most
   * `timeoutMs` (default 60 000; then DeadlineExceeded naming the holder's pid). Released by dispose.
   */
  lease(name: string, options?: { readonly timeoutMs?: number; readonly signal?: AbortSignal }): Promise<Disposable>;
  /** True if the process that wrote this owner token (see `owner`) still lives. */
  ownerAlive(owner: string): boolean;
  /** Token of another process, by which it is told from a later one with the same pid; undefined if it is dead. */
  ownerOf(pid: number): string | undefined;
  /** Token `pid:starttime:boot-id` of this process, to store in rows that mark work in progress. */
  readonly owner: string;
  /**
   * Names things (digests, chain ids, …) that no garbage collection may remove until dispose or the end of this
   * process. Hold before asking whether the thing is there.
   */
  hold(names: readonly string[]): Disposable;
  /** The names that living processes hold; drops the holds of dead ones. */
  held(): ReadonlySet<string>;
}
