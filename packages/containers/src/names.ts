import { randomBytes } from "@berth/base";
import { invalid } from "./errors.ts";

const ADJECTIVES: readonly string[] = (
  "able airy amber ample arctic azure balmy bold brave breezy bright brisk calm candid cheery clear coastal cobalt cool coral " +
  "crisp daring deep eager early fair fleet fluent foggy free fresh gentle golden grand happy hardy hearty honest humble " +
  "jolly keen kind light lively loyal lucid lunar marine mellow merry mighty misty modest noble patient placid polar proud " +
  "quick quiet rapid ready robust rolling salty serene silver smooth solid spry stable steady stellar sturdy sunny swift " +
  "tidal tranquil true trusty upbeat vast vivid warm western windy wise witty young"
).split(" ");
const NOUNS: readonly string[] = (
  "albatross anchor atoll barge bay beacon binnacle boatswain bollard bow bridge brig buoy cabin canal canoe capstan captain " +
  "catamaran channel clipper cog compass corvette cove cutter cuttlefish deck delta dinghy dock dolphin estuary ferry fjord " +
  "frigate galley gannet gull harbour hawser heron inlet island jetty junk kayak keel ketch lagoon lantern lighthouse lock " +
  "longboat lugger marina mariner mast mooring narwhal navigator oar orca osprey otter pelican pier pilot plover porpoise " +
  "port quay raft reef rudder sail sailor schooner seal sextant shoal skiff skipper sloop sounding starboard strait tender " +
  "tern tide tiller trawler tug turtle voyager walrus wave wharf yawl"
).split(" ");

/** A name such as `brisk_lighthouse`; with `again`, after one was taken, also a digit. */
export function randomName(again = false): string {
  // 32 bits over some hundred words: as even as a name has to be
  const below = (limit: number): number => randomBytes(4).readUInt32BE() % limit;
  const pick = (words: readonly string[]): string => words[below(words.length)] ?? "";
  return `${pick(ADJECTIVES)}_${pick(NOUNS)}${again ? below(10) : ""}`;
}

/**
 * Docker's rule, except that one character is enough.
 *
 * @throws {BerthError} InvalidArgument
 */
export function checkName(name: string): void {
  if (/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$/.test(name)) return;
  throw invalid(
    `name container "${name}"`,
    "not a valid name",
    "use letters, digits, _, . and -, beginning with a letter or digit",
  );
}
