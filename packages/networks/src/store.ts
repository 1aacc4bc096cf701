import type { DatabaseSync } from "node:sqlite";
import type { Migration } from "@berth/state";
import type { NetworkResult, PublishedPort } from "./types.ts";

/** Tables of the machine's database. */
export const migrations: readonly Migration[] = [
  {
    package: "networks",
    id: 1,
    name: "create network, attachment, port",
    sql: `
      CREATE TABLE network (
        name   TEXT PRIMARY KEY,
        subnet TEXT NOT NULL                      -- address/prefix
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE attachment (
        container_id TEXT PRIMARY KEY,
        netns_path   TEXT NOT NULL,
        plugins      TEXT NOT NULL,               -- JSON: configurations of the plugins, in the order of ADD
        cni_result   TEXT,                        -- JSON: the last plugin's result so far
        result       TEXT                         -- JSON of NetworkResult, once all plugins are through
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE port (
        container_id   TEXT NOT NULL REFERENCES attachment (container_id) ON DELETE CASCADE,
        protocol       TEXT NOT NULL CHECK (protocol IN ('tcp', 'udp', 'sctp')),
        host_ip        TEXT NOT NULL,             -- '' all
        host_port      INTEGER NOT NULL CHECK (host_port BETWEEN 1 AND 65535),
        PRIMARY KEY (protocol, host_port, host_ip)
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX port_container ON port (container_id);`,
  },
];

/** What an undo needs to know. */
export interface AttachmentRow {
  readonly containerId: string;
  readonly netnsPath: string;
  /** Objects of the CNI specification's "Plugin configuration objects". */
  readonly plugins: readonly Readonly<Record<string, unknown>>[];
  readonly cniResult: unknown;
  readonly result: NetworkResult | undefined;
}

function toRow(row: Readonly<Record<string, unknown>>): AttachmentRow {
  const parse = (value: unknown): unknown => (typeof value === "string" ? JSON.parse(value) : undefined);
  return {
    containerId: String(row["container_id"]),
    netnsPath: String(row["netns_path"]),
    plugins: parse(row["plugins"]) as AttachmentRow["plugins"],
    cniResult: parse(row["cni_result"]),
    result: parse(row["result"]) as NetworkResult | undefined,
  };
}

export function findSubnet(db: DatabaseSync, network: string): string | undefined {
  const row = db.prepare("SELECT subnet FROM network WHERE name = ?").get(network);
  return row === undefined ? undefined : String(row["subnet"]);
}

export function addSubnet(db: DatabaseSync, network: string, subnet: string): void {
  db.prepare("INSERT INTO network (name, subnet) VALUES (?, ?)").run(network, subnet);
}

export function findAttachment(db: DatabaseSync, containerId: string): AttachmentRow | undefined {
  const row = db.prepare("SELECT * FROM attachment WHERE container_id = ?").get(containerId);
  return row === undefined ? undefined : toRow(row);
}

export function listAttachments(db: DatabaseSync): readonly AttachmentRow[] {
  return db.prepare("SELECT * FROM attachment").all().map(toRow);
}

export function addAttachment(db: DatabaseSync, containerId: string, netnsPath: string): void {
  db.prepare("INSERT INTO attachment (container_id, netns_path, plugins) VALUES (?, ?, '[]')").run(
    containerId,
    netnsPath,
  );
}

export function setPlugins(db: DatabaseSync, containerId: string, plugins: AttachmentRow["plugins"]): void {
  db.prepare("UPDATE attachment SET plugins = ? WHERE container_id = ?").run(JSON.stringify(plugins), containerId);
}

export function setCniResult(db: DatabaseSync, containerId: string, result: unknown): void {
  db.prepare("UPDATE attachment SET cni_result = ? WHERE container_id = ?").run(JSON.stringify(result), containerId);
}

export function setResult(db: DatabaseSync, containerId: string, result: NetworkResult): void {
  db.prepare("UPDATE attachment SET result = ? WHERE container_id = ?").run(JSON.stringify(result), containerId);
}

export function removeAttachment(db: DatabaseSync, containerId: string): void {
  db.prepare("DELETE FROM attachment WHERE container_id = ?").run(containerId);
}

export function addPort(db: DatabaseSync, containerId: string, port: PublishedPort): void {
  db.prepare("INSERT INTO port (container_id, protocol, host_ip, host_port) VALUES (?, ?, ?, ?)").run(
    containerId,
    port.protocol,
    port.hostIp,
    port.hostPort,
  );
}

export function removePort(db: DatabaseSync, port: PublishedPort): void {
  db.prepare("DELETE FROM port WHERE protocol = ? AND host_port = ? AND host_ip = ?").run(
    port.protocol,
    port.hostPort,
    port.hostIp,
  );
}

/** Container that has the port on this address, on all, or, if this is all addresses, on any. */
export function findPortHolder(db: DatabaseSync, port: PublishedPort): string | undefined {
  const row = db
    .prepare(
      `SELECT container_id FROM port
       WHERE protocol = ? AND host_port = ? AND (host_ip IN (?, '') OR ? = '') LIMIT 1`,
    )
    .get(port.protocol, port.hostPort, port.hostIp, port.hostIp);
  return row === undefined ? undefined : String(row["container_id"]);
}
