import type { DatabaseSync } from "node:sqlite";
import type { Digest } from "@berth/oci";
import type { ExitRecord } from "@berth/protocol";
import type { Migration } from "@berth/state";
import type { ContainerMount, ContainerPhase, ContainerRow, ContainerSpec } from "./types.ts";

/** Tables of this package. */
export const migrations: readonly Migration[] = [
  {
    package: "containers",
    id: 1,
    name: "create container",
    sql: `
      CREATE TABLE container (
        id            TEXT PRIMARY KEY CHECK (length(id) = 64),
        name          TEXT NOT NULL UNIQUE,
        image_id      TEXT NOT NULL,
        image_name    TEXT NOT NULL,             -- as the user named it
        spec          TEXT NOT NULL,             -- JSON of ContainerSpec; never queried
        args          TEXT NOT NULL,             -- JSON, the whole command line
        mounts        TEXT NOT NULL,             -- JSON of ContainerMount[]
        created_at_ms INTEGER NOT NULL,          -- Unix time, UTC
        phase         TEXT NOT NULL CHECK (phase IN ('creating', 'created', 'starting', 'running', 'exited', 'removing')),
        owner         TEXT,                      -- process in the middle of creating, starting or removing
        own           TEXT,                      -- process that cleans up after the exit, if one does
        process       TEXT,                      -- token of the first process (pid:starttime:boot-id) while it may live
        started_at    TEXT NOT NULL,             -- RFC 3339; '' never
        finished_at   TEXT NOT NULL,
        exit_code     INTEGER NOT NULL,
        oom_killed    INTEGER NOT NULL CHECK (oom_killed IN (0, 1)),
        error         TEXT NOT NULL              -- why the last start failed
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX container_image ON container (image_id);`,
  },
];

export function addContainer(
  db: DatabaseSync,
  row: Pick<ContainerRow, "id" | "name" | "imageId" | "imageName" | "spec" | "args" | "createdAtMs">,
  owner: string,
): void {
  db.prepare(
    `INSERT INTO container (id, name, image_id, image_name, spec, args, mounts, created_at_ms, phase, owner,
                            started_at, finished_at, exit_code, oom_killed, error)
     VALUES (?, ?, ?, ?, ?, ?, '[]', ?, 'creating', ?, '', '', 0, 0, '')`,
  ).run(
    row.id,
    row.name,
    row.imageId,
    row.imageName,
    JSON.stringify(row.spec),
    JSON.stringify(row.args),
    row.createdAtMs,
    owner,
  );
}

/** All that belongs to it is there. `owner`: a process that is about to start it, and wants nothing left if it cannot. */
export function setCreated(
  db: DatabaseSync,
  id: string,
  mounts: readonly ContainerMount[],
  owner: string | undefined,
): void {
  db.prepare("UPDATE container SET phase = 'created', owner = ?, mounts = ? WHERE id = ?").run(
    owner ?? null,
    JSON.stringify(mounts),
    id,
  );
}

/** The next phase; `owner` only while a process is in the middle of it. */
export function setPhase(db: DatabaseSync, id: string, phase: ContainerPhase, owner?: string): void {
  db.prepare("UPDATE container SET phase = ?, owner = ? WHERE id = ?").run(phase, owner ?? null, id);
}

/** @param tokens of the container's first process, and of the process that cleans up after it if one does */
export function setRunning(
  db: DatabaseSync,
  id: string,
  startedAt: string,
  tokens: { readonly process: string | undefined; readonly own: string | undefined },
): void {
  db.prepare(
    `UPDATE container SET phase = 'running', owner = NULL, own = ?, process = ?, started_at = ?, finished_at = '',
            exit_code = 0, oom_killed = 0, error = '' WHERE id = ?`,
  ).run(tokens.own ?? null, tokens.process ?? null, startedAt, id);
}

export function setExited(db: DatabaseSync, id: string, exit: ExitRecord): void {
  db.prepare(
    `UPDATE container SET phase = 'exited', owner = NULL, own = NULL, process = NULL, finished_at = ?, exit_code = ?,
            oom_killed = ?, started_at = CASE WHEN ? = '' THEN started_at ELSE ? END WHERE id = ?`,
  ).run(exit.finishedAt, exit.exitCode, exit.oomKilled ? 1 : 0, exit.startedAt ?? "", exit.startedAt ?? "", id);
}

/** A start that did not succeed: docker keeps the container, with the code that `run` ended with. */
export function setStartFailed(db: DatabaseSync, id: string, error: string, exitCode: number): void {
  db.prepare(
    `UPDATE container SET owner = NULL, own = NULL, process = NULL, error = ?, exit_code = ?,
            phase = CASE WHEN started_at = '' THEN 'created' ELSE 'exited' END WHERE id = ?`,
  ).run(error, exitCode, id);
}

export function removeContainer(db: DatabaseSync, id: string): void {
  db.prepare("DELETE FROM container WHERE id = ?").run(id);
}

export function findContainer(db: DatabaseSync, id: string): ContainerRow | undefined {
  const row = db.prepare("SELECT * FROM container WHERE id = ?").get(id);
  return row === undefined ? undefined : toRow(row);
}

export function findByName(db: DatabaseSync, name: string): ContainerRow | undefined {
  const row = db.prepare("SELECT * FROM container WHERE name = ?").get(name);
  return row === undefined ? undefined : toRow(row);
}

/** At most two containers whose ids begin so: more than one is ambiguous. `prefix` is hex. */
export function findByPrefix(db: DatabaseSync, prefix: string): readonly ContainerRow[] {
  return db.prepare("SELECT * FROM container WHERE id >= ? AND id < ? LIMIT 2").all(prefix, `${prefix}g`).map(toRow);
}

/** Newest first. */
export function listContainers(db: DatabaseSync): readonly ContainerRow[] {
  return db.prepare("SELECT * FROM container ORDER BY created_at_ms DESC, id").all().map(toRow);
}

/** Those that may have been left in the middle of something. */
export function listUnsettled(db: DatabaseSync): readonly ContainerRow[] {
  return db
    .prepare("SELECT * FROM container WHERE phase NOT IN ('created', 'exited') OR owner IS NOT NULL")
    .all()
    .map(toRow);
}

export function listImagesInUse(db: DatabaseSync): ReadonlySet<Digest> {
  return new Set(
    db
      .prepare("SELECT DISTINCT image_id FROM container")
      .all()
      .map((row) => String(row["image_id"]) as Digest),
  );
}

function toRow(row: Readonly<Record<string, unknown>>): ContainerRow {
  const text = (field: string): string => String(row[field]);
  const optional = (field: string): string | undefined => (row[field] === null ? undefined : String(row[field]));
  return {
    id: text("id"),
    name: text("name"),
    imageId: text("image_id") as Digest,
    imageName: text("image_name"),
    spec: JSON.parse(text("spec")) as ContainerSpec,
    args: JSON.parse(text("args")) as readonly string[],
    mounts: JSON.parse(text("mounts")) as readonly ContainerMount[],
    createdAtMs: Number(row["created_at_ms"]),
    phase: text("phase") as ContainerPhase,
    owner: optional("owner"),
    own: optional("own"),
    process: optional("process"),
    startedAt: text("started_at"),
    finishedAt: text("finished_at"),
    exitCode: Number(row["exit_code"]),
    oomKilled: row["oom_killed"] === 1,
    error: text("error"),
  };
}
