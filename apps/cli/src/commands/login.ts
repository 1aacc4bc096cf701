import { text } from "node:stream/consumers";
import { BerthError } from "@berth/base";
import { parseReference } from "@berth/oci";
import { command } from "../command.ts";
import { usageError } from "../errors.ts";
import { ask } from "../session/ask.ts";
import { routeSignals } from "../session/signals.ts";

const DEFAULT_SERVER = "docker.io";
const AUTH_FILE = {
  type: "string",
  value: "FILE",
  complete: "file",
  doc: "file of the credentials; default: $REGISTRY_AUTH_FILE or docker's config.json",
} as const;

export const login = command({
  name: "login",
  args: ["[SERVER]"],
  doc: "log in to a registry; the password comes from stdin or is asked for, never from an argument",
  example: "berth login -u me --password-stdin 127.0.0.1:5000 <password.txt",
  flags: {
    username: { type: "string", short: "u", value: "NAME", doc: "user name" },
    "password-stdin": { type: "boolean", doc: "read the password from stdin" },
    authfile: AUTH_FILE,
    insecure: { type: "boolean", doc: "the registry may be spoken to by plain HTTP or with any certificate" },
  },
  run: async (context, [server = DEFAULT_SERVER], flags) => {
    const domain = domainOf(server);
    const isTerminal = process.stdin.isTTY === true;
    if (flags["password-stdin"] && flags.username === undefined) {
      throw usageError("--password-stdin needs --username", "login", 1);
    }
    if (!flags["password-stdin"] && !isTerminal) {
      throw usageError("stdin is no terminal to ask on: use --password-stdin", "login", 1);
    }
    const username = flags.username ?? (await ask(context.notice, "Username: ", true));
    const password = flags["password-stdin"]
      ? (await text(process.stdin)).replace(/\r?\n$/, "")
      : await ask(context.notice, "Password: ", false);
    if (username === "" || username.includes(":")) {
      throw new BerthError("InvalidArgument", `log in to ${domain}: a user name is not empty and has no colon`);
    }
    if (password === "") throw new BerthError("InvalidArgument", `log in to ${domain}: the password is empty`);
    const engine = await context.engine();
    using router = routeSignals();
    const options = { authFile: flags.authfile, insecure: flags.insecure, signal: router.signal };
    const kept = await engine.remotes.login(domain, { username, password }, options);
    const where = kept.helper === undefined ? `${kept.path} (not encrypted)` : `docker-credential-${kept.helper}`;
    context.notice(`the password is kept in ${where}\n`);
    return { text: "Login Succeeded\n" };
  },
});

export const logout = command({
  name: "logout",
  args: ["[SERVER]"],
  doc: "forget the login to a registry",
  example: "berth logout 127.0.0.1:5000",
  flags: { authfile: AUTH_FILE },
  run: async (context, [server = DEFAULT_SERVER], flags) => {
    const domain = domainOf(server);
    const engine = await context.engine();
    const wasThere = await engine.remotes.logout(domain, { authFile: flags.authfile });
    return { text: wasThere ? `Removing login credentials for ${domain}\n` : `Not logged in to ${domain}\n` };
  },
});

/** docker's users write URLs too. */
function domainOf(server: string): string {
  const host = server.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
  // A name with a dot, a port or `localhost` is a host; any other one is so too when it stands alone.
  const { domain } = parseReference(`${/[.:[]/.test(host) || host === "localhost" ? host : `${host}:443`}/x/y`);
  return domain === `${host}:443` ? host : domain;
}
