import { createHmac, randomBytes } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { BerthError, errnoOf } from "@berth/base";
import { compare } from "bcryptjs";
import { Refusal } from "./errors.ts";

const MAX_FILE_BYTES = 4 * 1024 * 1024;
const HASH = /^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$/;
/** Compared with the passwords of users that are not there, so that the time does not tell. */
const NOBODY = "$2b$10$YUO9T3Dzj19Re4W.pQwoLuLQB/aBdD3qkfUWMx2rpZ7ovsvVecV4m";
/** Passwords that wait for their turn: each costs tens of milliseconds. */
const MAX_WAITING = 32;

/** The users of an htpasswd file with bcrypt hashes. */
export class Users {
  readonly #path: string;
  readonly #key = randomBytes(32);
  #seen = "";
  #hashes: ReadonlyMap<string, string> = new Map();
  /** HMAC of what was right before, so that the slow hash is computed once per user and password. */
  #known = new Set<string>();
  #waiting = 0;
  #turn: Promise<unknown> = Promise.resolve();

  /** @throws {BerthError} when the file cannot be read or has other than bcrypt hashes */
  constructor(path: string) {
    this.#path = path;
    this.#refresh();
  }

  /** True if the Authorization header has a user of the file and the right password. */
  async check(header: string | undefined): Promise<boolean> {
    const encoded = /^basic +([A-Za-z0-9+/=]{1,4096})$/i.exec(header ?? "")?.[1];
    if (encoded === undefined) return false;
    this.#refresh();
    const plain = Buffer.from(encoded, "base64").toString("utf8");
    const proof = createHmac("sha256", this.#key).update(plain).digest("hex");
    if (this.#known.has(proof)) return true;
    const colon = plain.indexOf(":");
    if (colon < 0) return false;
    const hash = this.#hashes.get(plain.slice(0, colon));
    const isRight = await this.#compare(plain.slice(colon + 1), hash ?? NOBODY);
    if (!isRight || hash === undefined) return false;
    this.#known.add(proof);
    return true;
  }

  async #compare(password: string, hash: string): Promise<boolean> {
    if (this.#waiting >= MAX_WAITING) {
      throw new Refusal(429, "TOOMANYREQUESTS", "too many logins at once", { headers: { "retry-after": 1 } });
    }
    this.#waiting++;
    const mine = this.#turn.then(() => compare(password, hash));
    this.#turn = mine.catch(() => {});
    try {
      return await mine;
    } finally {
      this.#waiting--;
    }
  }

  /** Reads the file when it has changed; who is no longer in it is out at once. */
  #refresh(): void {
    let seen: string;
    let text: string;
    try {
      const stat = statSync(this.#path);
      seen = `${stat.ino} ${stat.size} ${stat.mtimeMs}`;
      if (seen === this.#seen) return;
      if (stat.size > MAX_FILE_BYTES) throw unusable(this.#path, "too large");
      text = readFileSync(this.#path, "utf8");
    } catch (error) {
      if (error instanceof BerthError) throw error;
      throw unusable(this.#path, errnoOf(error) ?? String(error));
    }
    this.#hashes = parseUsers(text, this.#path);
    this.#known = new Set();
    this.#seen = seen;
  }
}

function parseUsers(text: string, path: string): ReadonlyMap<string, string> {
  const lines = text.split("\n").map((line) => line.trim());
  const users = new Map<string, string>();
  for (const [i, line] of lines.entries()) {
    if (line === "" || line.startsWith("#")) continue;
    const colon = line.indexOf(":");
    const hash = line.slice(colon + 1);
    if (colon < 1 || !HASH.test(hash)) throw unusable(path, `line ${i + 1} is no user with a bcrypt hash`);
    users.set(line.slice(0, colon), hash);
  }
  return users;
}

const unusable = (path: string, why: string): BerthError =>
  new BerthError("FailedPrecondition", `read users of ${path}: ${why}`, {
    hint: "write it with htpasswd -B",
  });
