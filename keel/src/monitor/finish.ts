import * as c from "../lib/consts.ts";
import type { Client } from "./clients.ts";
import { acceptClients } from "./loop.ts";
import { removeLog, spawn } from "./runtime.ts";
import { dropClient, type World } from "./world.ts";

/** The end: nobody can connect any more, the exit command runs unless an owner is there to clean up. */
export function endMonitor(w: World, exitCommand: boolean): void {
  if (w.listenFd >= 0) {
    sys.unlinkat(c.AT_FDCWD, w.config.socketPath, 0);
    acceptClients(w);
  }
  removeLog(w.config);
  emptySockets(w);
  if (!exitCommand || w.config.exitCommand.length === 0 || w.machine.owners.length > 0) return;
  try {
    spawn(w.config.exitCommand, [0, 1, 2], w.oomScore);
  } catch {
    // no process to be had: the next engine command finds the exit record and cleans up
  }
}

/** Unread input would turn the clients' end of stream into ECONNRESET; and who has left owns nothing. */
function emptySockets(w: World): void {
  const clients = w.clients.list.slice();
  for (let i = 0; i < clients.length; i++) {
    const client = clients[i] as Client;
    let left = 64;
    let chunk: Uint8Array | number;
    do chunk = sys.readBytes(client.fd, 65536);
    while (typeof chunk !== "number" && chunk.length > 0 && --left > 0);
    if (chunk !== -c.EAGAIN && left > 0) dropClient(w, client);
  }
}
