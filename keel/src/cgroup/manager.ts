import { socketPaths } from "../dbus/address.ts";
import { type Connection, callMethod, closeConnection, openConnection } from "../dbus/connection.ts";
import type { Value, Variant } from "../dbus/marshal.ts";
import type { Message } from "../dbus/message.ts";
import { runtimeError } from "../lib/errors.ts";

/** A connection to the manager of systemd, the system's or a user's. */
export interface Manager {
  readonly connection: Connection;
  /** Its name on a bus; "" on its own socket, where nobody stands between. */
  readonly destination: string;
}

const NAME = "org.freedesktop.systemd1";
const PATH = "/org/freedesktop/systemd1";
const INTERFACE = "org.freedesktop.systemd1.Manager";
const BUS = "org.freedesktop.DBus";

/**
 * Connects to systemd: on its own socket, which needs no message bus and saves the way through it, else on the bus.
 */
export function openManager(rootless: boolean): Manager {
  const runtime = environment("XDG_RUNTIME_DIR");
  const own = rootless ? (runtime ? `${runtime}/systemd/private` : "") : "/run/systemd/private";
  const direct = own === "" ? undefined : openConnection(own);
  if (direct) return { connection: direct, destination: "" };
  const buses = rootless
    ? socketPaths(environment("DBUS_SESSION_BUS_ADDRESS")).concat(runtime ? [`${runtime}/bus`] : [])
    : socketPaths(environment("DBUS_SYSTEM_BUS_ADDRESS")).concat(["/run/dbus/system_bus_socket"]);
  for (let i = 0; i < buses.length; i++) {
    const connection = openConnection(buses[i] as string);
    if (connection) return joinBus(connection);
  }
  const tried = (own === "" ? buses : [own].concat(buses)).join(", ");
  throw rootless
    ? runtimeError(
        "FailedPrecondition",
        `connect to the user's systemd: nobody listens at ${tried || "any address: XDG_RUNTIME_DIR is not set"}`,
        "log in through PAM, or: loginctl enable-linger USER; else use --cgroup-manager cgroupfs",
      )
    : runtimeError(
        "FailedPrecondition",
        `connect to systemd: nobody listens at ${tried}`,
        "this machine was not booted with systemd, or its sockets are not here; leave out --systemd-cgroup",
      );
}

function environment(name: string): string {
  const env = sys.environ();
  for (let i = 0; i < env.length; i++) {
    const entry = env[i] as string;
    if (entry.indexOf(`${name}=`) === 0) return entry.substring(name.length + 1);
  }
  return "";
}

/** On a bus we need a name of our own, and have to say which signals we want. */
function joinBus(connection: Connection): Manager {
  callBus(connection, "Hello", "", []);
  callBus(connection, "AddMatch", "s", [`type='signal',sender='${NAME}',interface='${INTERFACE}',member='JobRemoved'`]);
  return { connection, destination: NAME };
}

function callBus(connection: Connection, member: string, signature: string, body: readonly Value[]): void {
  const call = { destination: BUS, path: "/org/freedesktop/DBus", interface: BUS, member, signature, body };
  callMethod(connection, call, "join the message bus");
}

export function closeManager(manager: Manager): void {
  closeConnection(manager.connection);
}

/** Calls a method of systemd's manager; `what` begins the sentence of an error. */
export function callManager(
  manager: Manager,
  member: string,
  signature: string,
  body: readonly Value[],
  what: string,
): Message["body"] {
  const { connection, destination } = manager;
  return callMethod(connection, { destination, path: PATH, interface: INTERFACE, member, signature, body }, what);
}

/** Cgroup of the manager, which those of all its units lie in; "" for the root. */
export function managerCgroup(manager: Manager): string {
  const [answer] = callMethod(
    manager.connection,
    {
      destination: manager.destination,
      path: PATH,
      interface: "org.freedesktop.DBus.Properties",
      member: "Get",
      signature: "ss",
      body: [INTERFACE, "ControlGroup"],
    },
    "ask systemd for its cgroup",
  );
  const { value } = (answer || { value: "" }) as Variant;
  // the root manager says "" or, where systemd runs in a container, "/"
  return typeof value === "string" && value !== "/" ? value : "";
}
