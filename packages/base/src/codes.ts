import { type ErrorCode, EXIT_ENGINE_ERROR } from "@berth/protocol";

/** gRPC status number of each code (grpc.io "Status codes and their use in gRPC"). */
export const GRPC_STATUS: Readonly<Record<ErrorCode, number>> = {
  Cancelled: 1,
  InvalidArgument: 3,
  DeadlineExceeded: 4,
  NotFound: 5,
  AlreadyExists: 6,
  PermissionDenied: 7,
  ResourceExhausted: 8,
  FailedPrecondition: 9,
  Aborted: 10,
  Unimplemented: 12,
  Internal: 13,
  Unavailable: 14,
  DataLoss: 15,
  Unauthenticated: 16,
};

/** HTTP status of each code, as clients of Docker's API expect it. */
export const HTTP_STATUS: Readonly<Record<ErrorCode, number>> = {
  Cancelled: 499,
  InvalidArgument: 400,
  DeadlineExceeded: 504,
  NotFound: 404,
  AlreadyExists: 409,
  PermissionDenied: 403,
  ResourceExhausted: 507,
  FailedPrecondition: 409,
  Aborted: 409,
  Unimplemented: 501,
  Internal: 500,
  Unavailable: 503,
  DataLoss: 500,
  Unauthenticated: 401,
};

/**
 * Exit code of a command that failed with this error: 125 for commands that start a container (docker's convention,
 * so that the container's own codes stay apart), else 1; 130 when the user interrupted.
 */
export function exitCodeOf(code: ErrorCode, startsContainer: boolean): number {
  if (code === "Cancelled") return 130;
  return startsContainer ? EXIT_ENGINE_ERROR : 1;
}
