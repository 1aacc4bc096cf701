export { ERROR_CODES, type ErrorCode, type WireError } from "./errors.ts";
export {
  EXIT_ENGINE_ERROR,
  EXIT_NOT_EXECUTABLE,
  EXIT_NOT_FOUND,
  EXIT_SIGNAL_BASE,
  type ExitRecord,
} from "./exit.ts";
export type { HostReply, HostStep, IdRange, LayerProbe, MountIdMap, UnpackResult, UserNamespace } from "./host.ts";
export {
  FRAME_EVENT,
  FRAME_MAX,
  FRAME_REPLY,
  FRAME_REQUEST,
  FRAME_STDERR,
  FRAME_STDIN,
  FRAME_STDIN_EOF,
  FRAME_STDOUT,
  type MonitorConfig,
  type MonitorEvent,
  type MonitorMount,
  type MonitorPhase,
  type MonitorReply,
  type MonitorRequest,
  type MonitorState,
} from "./monitor.ts";
