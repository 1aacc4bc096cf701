import { invalid } from "./errors.ts";
import type { ResolvedUser } from "./plan-types.ts";

export interface UserInput {
  /** `user[:group]`; empty: root. */
  readonly user: string;
  /** Names or numbers. */
  readonly groupAdd: readonly string[];
  /** Texts of the container's /etc/passwd and /etc/group; undefined: absent. */
  readonly passwd: string | undefined;
  readonly group: string | undefined;
}

interface Passwd {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

interface Group {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

const MAX_ID = 2 ** 31 - 1;

/**
 * The ids that a user has in a container, as docker finds them: a number is always an id, never a name that looks like
 * one (CVE-2016-3697), and needs no entry; the first matching line counts; groups that list the user are added unless
 * a group is named.
 *
 * @throws {BerthError} InvalidArgument naming what has no entry or is out of range
 */
export function resolveUser(input: UserInput): ResolvedUser {
  const [userText = "", groupText = ""] = split(input.user);
  const entry = findUser(input.passwd, userText);
  const uid = entry?.uid ?? idOf(userText, `unable to find user ${userText}`, "passwd");
  const groups = parseGroups(input.group);
  const member = entry === undefined ? [] : groups.filter((group) => group.members.includes(entry.name));
  const gid = groupText === "" ? (entry?.gid ?? 0) : groupId(groups, groupText);
  const own = groupText === "" ? member.map((group) => group.gid) : [];
  const added = input.groupAdd.map((text) => groupId(groups, text));
  return { uid, gid, additionalGids: [...new Set([gid, ...own, ...added])], home: entry?.home ?? "" };
}

function split(text: string): readonly string[] {
  const at = text.indexOf(":");
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

function findUser(passwd: string | undefined, text: string): Passwd | undefined {
  const id = text === "" ? 0 : numberOf(text);
  return parsePasswd(passwd).find((entry) => (id === undefined ? entry.name === text : entry.uid === id));
}

function groupId(groups: readonly Group[], text: string): number {
  const id = numberOf(text);
  const found = groups.find((group) => (id === undefined ? group.name === text : group.gid === id));
  return found?.gid ?? idOf(text, `unable to find group ${text}`, "group");
}

function idOf(text: string, what: string, file: string): number {
  if (text === "") return 0;
  const id = numberOf(text);
  if (id === undefined) throw invalid(what, `no matching entries in ${file} file`);
  if (id > MAX_ID) throw invalid(what, `ids must be in the range 0-${MAX_ID}`);
  return id;
}

/** Undefined if it is no number; negative ones are refused here, since no entry can match them. */
function numberOf(text: string): number | undefined {
  if (/^-\d+$/.test(text)) throw invalid(`parse id ${text}`, `ids must be in the range 0-${MAX_ID}`);
  return /^\+?\d+$/.test(text) ? Number(text) : undefined;
}

function parsePasswd(text: string | undefined): readonly Passwd[] {
  return lines(text).flatMap(([name = "", , uid = "", gid = "", , home = ""]) =>
    isId(uid) && isId(gid) ? [{ name, uid: Number(uid), gid: Number(gid), home }] : [],
  );
}

function parseGroups(text: string | undefined): readonly Group[] {
  return lines(text).flatMap(([name = "", , gid = "", members = ""]) =>
    isId(gid) ? [{ name, gid: Number(gid), members: members.split(",").filter(Boolean) }] : [],
  );
}

/** An entry of an image with an id that the kernel would cut off, such as 2^32 for root, is none. */
function isId(text: string): boolean {
  return /^\d{1,10}$/.test(text) && Number(text) <= MAX_ID;
}

function lines(text: string | undefined): readonly (readonly string[])[] {
  return (text ?? "")
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.split(":"));
}
